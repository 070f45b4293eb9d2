"""A scenario says what is broken and what must come of it; whatever is wrong in it is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.lab.definition import load_lab
from orchestrator.lab.scenario import load_scenario, scenario_file, scenario_names
from orchestrator.site import load_site

PROJECT = Path(__file__).parents[2]
SITE = "hosting-a"
GOOD = """\
title: A drill
explains: What happens in it.
held: [database]
steps:
  - cut: {feed: A}
  - break: wrong-primary
  - power-on: {hosts: "db*"}
meanwhile:
  - after: network
    do:
      - controller: dies
"""


@pytest.fixture(scope="module")
def lab():
    return load_lab(PROJECT, SITE)


@pytest.fixture(scope="module")
def site():
    return load_site(PROJECT, SITE)


@pytest.fixture
def load(lab, site, tmp_path):
    def load(text):
        path = tmp_path / "drill.yml"
        path.write_text(text)
        return load_scenario(path, lab, site)

    return load


@pytest.mark.parametrize("name", scenario_names(PROJECT, SITE))
def test_every_scenario_of_the_site_is_a_good_one(name, lab, site):
    assert load_scenario(scenario_file(PROJECT, SITE, name), lab, site).steps


def test_the_site_has_at_least_eight_and_they_use_every_way_to_break_it():
    names = scenario_names(PROJECT, SITE)
    assert len(names) >= 8
    text = "".join(scenario_file(PROJECT, SITE, name).read_text() for name in names)
    for word in ("feed:", "hosts:", "break:", "controller:", "meanwhile:", "expert:", "held:"):
        assert word in text


def test_its_steps_are_the_commands_that_a_person_would_type(load):
    scenario = load(GOOD)
    assert [step.command(SITE) for step in scenario.steps] == [
        ("lab", "cut", "--site", SITE, "--feed", "A"),
        ("lab", "break", "wrong-primary", "--site", SITE),
        ("lab", "power-on", "--site", SITE, "--hosts", "db*"),
    ]
    assert scenario.steps[0].command(SITE, at_once=True)[-2:] == ("--writes", "0")
    assert scenario.faults == ("wrong-primary",)
    assert scenario.cuts == 1


@pytest.mark.parametrize(
    ("now", "then", "told"),
    [
        ("title: A drill", "titel: A drill", "titel"),
        ("wrong-primary", "wrong-primry", "did you mean 'wrong-primary'"),
        ("[database]", "[databse]", "no component 'databse'; did you mean 'database'"),
        ("[database]", "[]", "holds database"),
        ("after: network", "after: netwrk", "no layer or component 'netwrk'"),
        ("{feed: A}", "{feed: Q}", "feed Q"),
        ("{feed: A}", "some", "cut"),
        ("{feed: A}", "{feed: A, hosts: db1}", "either"),
        ('{hosts: "db*"}', "{feed: A}", "power comes back to"),
        ("- cut: {feed: A}", "- controller: dies", "nothing runs yet"),
        ("- cut: {feed: A}", "- {cut: all, break: wrong-primary}", "exactly one"),
        ("- controller: dies", "- controller: lives", "controller"),
        ("title: A drill\n", "", "title"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(load, now, then, told):
    assert now in GOOD
    with pytest.raises(InputError) as error:
        load(GOOD.replace(now, then))
    assert told in error.value.message
    assert "drill.yml:" in error.value.message


def test_an_unknown_scenario_gets_the_near_name():
    with pytest.raises(InputError, match="did you mean 'feed-b-lost'"):
        scenario_file(PROJECT, SITE, "feed-b-los")


def test_a_file_outside_of_the_project_is_refused(tmp_path):
    with pytest.raises(InputError):
        scenario_file(PROJECT, SITE, str(tmp_path / "x.yml"))
