"""The catalogue of faults: read whole or refused with the place of each mistake."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner
from services_on_the_lab import SERVICES

from orchestrator.cli.lab import lab
from orchestrator.cli.lab_break import _lines
from orchestrator.errors import InputError
from orchestrator.lab.broken import Broken
from orchestrator.lab.definition import load_definition
from orchestrator.lab.faults import elsewhere, load_faults
from orchestrator.lab.instance import Instance
from orchestrator.site import load_site
from orchestrator.yaml_file import read_yaml

PROJECT = Path(__file__).parents[2]
FAULT = {
    "name": "gone",
    "explains": "Something is gone.",
    "effect": "It must come back.",
    "component": "database",
    "expect": "recovered",
    "hosts": ["db1"],
    "script": "true",
    "proof": "true",
}
HELD = FAULT | {"expect": "held", "reason": "gone", "undo": "true"}
HOSTS = """
    all:
      children:
        routers: {hosts: {r1: {host_number: 11}, r2: {host_number: 12, power_feed: B}}}
        databases:
          hosts:
            db1: {host_number: 31, lab_disks: {data0: 64M}}
            db2: {host_number: 32, power_feed: B}
        clients: {hosts: {client1: {host_number: 91, lab_outside: true, power_feed: C}}}
"""
COMPONENTS = [{"name": "routing", "hosts": "routers"}, {"name": "database", "hosts": "databases"}]


@pytest.fixture
def make(tmp_path):
    """Write a site with these faults; return its definition."""

    def make(*faults, text=None, prelude=""):
        folder = tmp_path / "inventories" / "tiny"
        (folder / "lab").mkdir(parents=True, exist_ok=True)
        layers = [{"name": "storage", "components": COMPONENTS}]
        (folder / "site.yml").write_text(json.dumps({"site": "tiny", "layers": layers}))
        (folder / "hosts.yml").write_text(textwrap.dedent(HOSTS))
        (folder / "lab" / "lab.yml").write_text("suite: bookworm\n")
        content = json.dumps({"prelude": prelude, "faults": list(faults)}, indent=1)
        (folder / "lab" / "faults.yml").write_text(content if text is None else text)
        return load_definition(tmp_path, "tiny")

    return make


def test_a_catalogue_has_what_the_file_says(make):
    catalogue = load_faults(make(FAULT, HELD | {"name": "held"}, prelude="x=1"))
    assert [fault.name for fault in catalogue.faults] == ["gone", "held"]
    assert catalogue.prelude == "x=1"
    assert not catalogue.faults[0].has_undo
    assert catalogue.faults[1].has_undo


def without(field, fault=FAULT):
    return {key: value for key, value in fault.items() if key != field}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (FAULT | {"nmae": "x"}, "nmae"),
        (FAULT | {"name": "No Name"}, "faults[0].name"),
        (without("effect"), "effect"),
        (FAULT | {"explains": "two\nlines, no less"}, "explains"),
        (FAULT | {"component": "databse"}, "no component 'databse'; did you mean 'database'?"),
        (FAULT | {"expect": "better"}, "expect"),
        (FAULT | {"hosts": []}, "hosts"),
        (FAULT | {"hosts": ["db3"]}, "'db3' is no host of database"),
        (FAULT | {"hosts": ["r1"]}, "'r1' is no host of database"),
        (without("script"), "write exactly one of script"),
        (FAULT | {"host_key": "new"}, "found ['script', 'host_key']"),
        (without("script") | {"power": "flickers"}, "power"),
        (without("script") | {"boot_delay": 0}, "boot_delay"),
        (without("script") | {"boot_delay": 601}, "boot_delay"),
        (without("script") | {"disk": {"name": "data0", "do": "melt"}}, "disk.do"),
        (without("script") | {"disk": {"name": "data7", "do": "blank"}}, "no disk 'data7'"),
        (without("script") | {"disk": {"name": "data0", "do": "blank", "length": "1X"}}, "no size"),
        (without("proof"), "needs a proof"),
        (without("reason", HELD), "needs a reason"),
        (without("undo", HELD), "needs an undo"),
        (HELD | {"reason": "(gone"}, "no regular expression"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(make, fault, said):
    with pytest.raises(InputError) as caught:
        load_faults(make(fault))
    assert re.search(r"faults\.yml:\d+:\d+: faults\[0\]", caught.value.message)
    assert said in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "faults.yml:1:1"),
        ("faults: []", "faults.yml:1:9"),
        ("faults: [\n", "faults.yml:2:1"),
        ("- a list", "faults.yml:1:1"),
        ("prelude: 3\nfaults: []", "faults.yml:1:10"),
    ],
)
def test_a_file_that_is_no_catalogue_is_refused(make, text, said):
    with pytest.raises(InputError) as caught:
        load_faults(make(text=text))
    assert said in caught.value.message


def test_a_missing_file_and_a_name_given_twice_are_refused(make):
    definition = make(FAULT, FAULT)
    with pytest.raises(InputError, match="stands twice"):
        load_faults(definition)
    (definition.own / "faults.yml").unlink()
    with pytest.raises(InputError, match=r"faults\.yml"):
        load_faults(definition)


def test_a_misspelt_fault_gets_the_near_one(make):
    with pytest.raises(InputError, match=r"no fault 'gnoe'; did you mean 'gone'\?"):
        load_faults(make(FAULT)).find("gnoe", site="tiny")


def test_a_fault_can_be_put_on_another_host_of_its_component(make):
    definition = make(FAULT)
    fault = load_faults(definition).faults[0]
    assert elsewhere(definition, fault, "db2").hosts == ("db2",)


@pytest.mark.parametrize(
    ("changes", "host", "why"),
    [
        ({}, "r1", "database is not on it, but on db1, db2"),
        ({}, "nobody", "database is not on it"),
        ({"hosts": ["db1", "db2"]}, "db2", "it is on db1 and db2 at once"),
        ({"fixed": "db2 is a standby"}, "db2", "db2 is a standby"),
        ({"script": None, "disk": {"name": "data0", "do": "blank"}}, "db2", "has no disk 'data0'"),
    ],
)
def test_where_it_makes_no_sense_it_is_refused(make, changes, host, why):
    fault = {key: value for key, value in (FAULT | changes).items() if value is not None}
    definition = make(fault)
    with pytest.raises(InputError) as caught:
        elsewhere(definition, load_faults(definition).faults[0], host)
    assert why in caught.value.message


def test_a_feed_has_the_hosts_of_the_room_that_hang_on_it(make):
    definition = make(FAULT)
    assert [host.name for host in definition.on_feed("B")] == ["r2", "db2"]
    with pytest.raises(InputError) as caught:
        definition.on_feed("C")  # only what stands outside
    assert "Its feeds: A, B" in caught.value.hint


def test_what_is_broken_is_known_until_it_is_undone():
    broken = Broken().give("a", ["h1"]).give("a", ["h2", "h1"]).keep_off("a", ["h2"])
    broken = broken.take_out("h1", "data0")
    assert broken.given == {"a": ("h1", "h2")}
    assert broken.off == {"h2": "a"}
    assert broken.out["h1"] == ("data0",)
    mended = broken.take_back("a", ["h1"]).let_on(["h2"]).put_in("h1", "data0")
    assert mended.given == {"a": ("h2",)}
    assert not mended.off
    assert not mended.out["h1"]
    assert not mended.take_back("a", ["h2"]).given


def test_the_list_has_what_comes_of_each_fault_and_what_takes_it_back(make, monkeypatch):
    monkeypatch.chdir(make(FAULT, HELD | {"name": "stuck"}).project)
    done = CliRunner().invoke(lab, ["break", "--list", "--site", "tiny", "--name", "no-such-lab"])
    assert done.output.splitlines() == [
        "FAULT  COMPONENT  HOSTS  ENDS       UNDO",
        "gone   database   db1    recovered  a recovery",
        "  Something is gone. It must come back.",
        "stuck  database   db1    held       --undo",
        "  Something is gone. It must come back.",
        "Undo of every fault: drcli lab reset --site tiny --name no-such-lab",
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_list_fits_a_terminal(columns):
    catalogue = load_faults(load_definition(PROJECT, "hosting-a"))
    broken = Broken(given={fault.name: fault.hosts for fault in catalogue.faults})
    lines = list(_lines(catalogue, broken, columns))
    assert max(map(len, lines)) <= columns
    assert "given: r1, r2" in "\n".join(lines)
    shown = " ".join(line.strip() for line in lines)
    assert all(f"{one.explains} {one.effect}" in shown for one in catalogue.faults)


@pytest.mark.parametrize(
    ("fault", "undo"),
    [
        (FAULT, "a recovery"),
        (HELD, "drcli lab break gone --undo --site tiny --name copy"),
    ],
)
def test_a_fault_that_was_given_says_what_comes_of_it_and_how_to_undo_it(
    make, tmp_path, monkeypatch, fault, undo
):
    definition = make(fault)
    copy = Instance(
        name="copy",
        site="tiny",
        project=tmp_path,
        subnet="10.78.3.0/24",
        short="a1b2c3",
        made="2026-01-01T00:00:00Z",
    )
    monkeypatch.setattr("orchestrator.lab.lab_lock.LABS", tmp_path)
    monkeypatch.setattr("orchestrator.cli.lab_break.load_lab", lambda *_: (definition, copy))
    monkeypatch.setattr("orchestrator.cli.lab_break.power.require_made", lambda *_: None)
    monkeypatch.setattr("orchestrator.cli.lab_break.Breaker.give", lambda *_: ("db1: done",))
    done = CliRunner().invoke(lab, ["break", "gone", "--site", "tiny", "--name", "copy"])
    assert done.output.splitlines() == [
        "gone: Something is gone.",
        "  It must come back.",
        "  db1: done",
        f"Undo: {undo}; every fault: drcli lab reset --site tiny --name copy",
        "Next: drcli recover --site tiny --lab copy",
    ]


def test_the_catalogue_of_this_repository_has_a_fault_for_most_components():
    definition = load_definition(PROJECT, "hosting-a")
    catalogue = load_faults(definition)
    layers = {c.name: layer.name for layer, c in load_site(PROJECT, "hosting-a").components}
    assert {layers[fault.component] for fault in catalogue.faults} == set(layers.values())
    assert len(catalogue.faults) >= 20


def test_every_component_has_its_services_in_the_table():
    components = {c.name for _, c in load_site(PROJECT, "hosting-a").components}
    assert set(SERVICES) == components
    assert all(SERVICES.values())


def test_the_reliability_page_names_every_case_once_and_only_tests_that_exist():
    page = (PROJECT / "docs" / "reliability.md").read_text(encoding="utf-8")
    cases = page.partition("## Every case")[2]
    numbers = [int(found) for found in re.findall(r"^\| (\d+) \|", cases, re.MULTILINE)]
    assert numbers == list(range(1, 41))
    for name, test in re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", page):
        assert f"def {test}(" in (PROJECT / "tests" / name).read_text(encoding="utf-8"), test
    faults = read_yaml(PROJECT / "inventories" / "hosting-a" / "lab" / "faults.yml")["faults"]
    known = {fault["name"] for fault in faults}
    named = set(re.findall(r"`make faults` \(([\w, -]+)\)", page))
    assert {name for names in named for name in names.split(", ")} <= known
