"""What an SRE passes through to Ansible reaches playbook and gate as it was meant."""

from __future__ import annotations

import hashlib
import json

import pytest
from small_site import SmallSite

from orchestrator.events import PlaybookOutcome


@pytest.fixture
def site(tmp_path):
    return SmallSite(tmp_path)


def ok(result):
    return (result.outcome, result.reasons) == (PlaybookOutcome.SUCCEEDED, ())


def green(result):
    return (result.green, result.reasons) == (True, ())


def test_extra_variables_keep_their_types_and_win(site):
    text = "no: '\"$(id) \\ é\n"
    site.write("host_vars/h1.yml", "number: 4\n")
    tasks = f"""
        - ansible.builtin.assert:
            quiet: true
            that:
              - number == 3
              - flag is true
              - deep.list[1].x is none
              - text | hash("sha256") == "{hashlib.sha256(text.encode()).hexdigest()}"
        """
    given = {"number": 3, "flag": True, "deep": {"list": [1, {"x": None}]}, "text": text}
    site.pass_through(extra_vars=given)
    assert ok(site.play(tasks))
    gate = (
        "def test_a(host):\n"
        "    known = host.ansible.get_variables()\n"
        f"    assert {{name: known[name] for name in {list(given)}}} == {given!r}\n"
    )
    assert green(site.check(gate))


def test_the_variables_of_one_request_win_over_those_that_a_person_gave(site):
    site.pass_through(extra_vars={"slow": False, "kept": 1})
    task = "- ansible.builtin.assert: {that: [slow is true, kept == 1], quiet: true}"
    assert ok(site.play(task, variables={"slow": True}))
    gate = (
        "def test_a(host):\n"
        "    known = host.ansible.get_variables()\n"
        "    assert (known['slow'], known['kept']) == (True, 1)\n"
    )
    assert green(site.check(gate, variables={"slow": True}))


@pytest.mark.parametrize("how", ["person", "request"])
def test_an_expression_is_refused_by_playbook_and_gate(site, tmp_path, how):
    made = tmp_path / "made"
    bad = {"x": ["{{ lookup('pipe', 'touch MADE') }}".replace("MADE", str(made))]}
    variables = bad if how == "request" else {}
    site.pass_through(extra_vars=bad if how == "person" else {})
    played = site.play("- ansible.builtin.debug: {var: x}", variables=variables)
    checked = site.check("def test_a(host): pass\n", variables=variables)
    assert played.outcome is PlaybookOutcome.FAILED
    assert not checked.green
    for result in (played, checked):
        assert "Jinja is refused" in "; ".join(result.reasons)
    assert not made.exists()


@pytest.mark.parametrize(
    ("options", "config", "forks"),
    [({"forks": 3}, "forks = 7", 3), ({}, "forks = 7", 7), ({}, "", 2)],
    ids=["asked", "ansible.cfg", "one a host"],
)
def test_forks_are_those_asked_for_or_of_ansible_cfg(site, options, config, forks):
    site.write("ansible.cfg", f"[defaults]\n{config}\n")
    site.pass_through(**options)
    task = f"- ansible.builtin.assert: {{that: ansible_forks == {forks}, quiet: true}}"
    assert ok(site.play(task))


def test_ansible_cfg_of_the_project_applies(site):
    site.write("ansible.cfg", "[defaults]\nroles_path = my_roles\n")
    site.write("my_roles/greet/tasks/main.yml", "- ansible.builtin.debug: {msg: x}\n")
    assert ok(site.play("- hosts: servers\n  gather_facts: false\n  roles: [greet]\n"))


def test_check_mode_changes_nothing_and_shows_the_difference(site):
    target = site.project / "made"
    task = f"- ansible.builtin.copy: {{content: new-line, dest: {target}, mode: '0600'}}"
    site.pass_through(check=True, diff=True)
    result = site.play(task)
    assert ok(result)
    assert not target.exists()
    assert result.stats["h1"].changed == 1
    assert "+new-line" in json.dumps(site.log())
