"""What an SRE passes through to Ansible reaches playbook and gate as it was meant."""

from __future__ import annotations

import hashlib
import json

import pytest
from small_site import SmallSite
from sshd import Sshd

from orchestrator import attempt
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


def test_nobody_is_asked_for_a_password_in_the_middle_of_a_run(site):
    asks = "[defaults]\nask_pass = True\nask_vault_pass = True\n"
    site.write("ansible.cfg", f"{asks}[privilege_escalation]\nbecome_ask_pass = True\n")
    assert ok(site.play("- ansible.builtin.ping:", timeout=20))


def test_check_mode_changes_nothing_and_shows_the_difference(site):
    target = site.project / "made"
    task = f"- ansible.builtin.copy: {{content: new-line, dest: {target}, mode: '0600'}}"
    site.pass_through(check=True, diff=True)
    result = site.play(task)
    assert ok(result)
    assert not target.exists()
    assert result.stats["h1"].changed == 1
    assert "+new-line" in json.dumps(site.log())


@pytest.mark.parametrize("written", ["false", "'{{ not ansible_check_mode }}'"])
def test_a_dry_run_that_changes_something_all_the_same_is_no_success(site, written):
    target = site.project / "made"
    tasks = f"""
        - name: Make a file
          ansible.builtin.copy: {{content: real, dest: {target}, mode: '0600'}}
          check_mode: {written}
        - name: Look only
          ansible.builtin.command: echo seen
          changed_when: false
          check_mode: false
        """
    site.pass_through(check=True)
    result = site.play(tasks, hosts=("h1",))
    assert target.exists()
    assert result.outcome is PlaybookOutcome.FAILED
    [reason] = result.reasons
    assert "h1: task 'Make a file'" in reason
    assert "check_mode: false" in reason


# Passwords and keys. What stands in for sudo takes one password, for anybody.

BECOME = "canary open sesame"
SUDO = f"""\
#!/bin/sh
echo "$*" >>LOG
while [ $# -gt 0 ]; do case $1 in
  -p) prompt=$2; shift 2;;
  -u) shift 2;;
  -*) shift;;
  *) break;;
esac; done
printf %s "$prompt" >&2
IFS= read -r given
[ "$given" = "{BECOME}" ] && exec "$@"
echo "Sorry, try again." >&2
exit 1
"""
TASK = "- name: Do it\n  ansible.builtin.raw: 'true'\n"
UP = "def test_a(host):\n    assert host.run('echo up; cat').stdout == 'up\\n'\n"


@pytest.fixture
def asking(site, monkeypatch):
    """The site, with hosts on which sudo asks for a password."""
    site.write("group_vars/servers.yml", "ansible_become: true\nansible_become_user: operator\n")
    path = site.write("bin/sudo", SUDO.replace("LOG", str(site.project / "log")))
    path.chmod(0o755)
    environment = gate_and_playbook_path(path.parent)
    monkeypatch.setattr("orchestrator.gate.environment", environment)
    monkeypatch.setattr("orchestrator.playbook.environment", environment)
    return site


def gate_and_playbook_path(folder):
    def environment(*words):
        found = attempt.environment(*words)
        return {**found, "PATH": f"{folder}:{found['PATH']}"}

    return environment


def test_the_become_password_reaches_playbook_and_gate_and_no_command(asking):
    asking.pass_through(become_password=BECOME)
    assert ok(asking.play(TASK))
    assert green(asking.check(UP))
    assert BECOME not in (asking.project / "log").read_text()


@pytest.mark.parametrize("password", [None, "canary shut"])
def test_without_the_right_become_password_both_are_red(asking, password):
    asking.pass_through(become_password=password)
    assert asking.play(TASK).outcome is PlaybookOutcome.FAILED
    result = asking.check(UP)
    assert not result.green
    assert "canary" not in str(result)
    if password:
        assert "sudo does not take the become password" in "; ".join(result.reasons)


def test_a_become_password_of_the_inventory_wins_as_it_does_with_ansible(asking):
    asking.write("host_vars/h1.yml", f"ansible_become_pass: {BECOME}\n")
    asking.write("host_vars/h2.yml", f"ansible_become_password: {BECOME}\n")
    asking.pass_through(become_password="canary shut")
    assert ok(asking.play(TASK))
    assert green(asking.check(UP))


def test_an_ssh_password_of_the_inventory_is_in_no_argument_of_a_gate(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    fake = site.write(
        "bin/sshpass",
        f'#!/bin/sh\necho "$*" >>{site.project}/log\ncat "$2" >>{site.project}/given\n'
        'shift 2\nexec "$@"\n',
    )
    fake.chmod(0o755)
    site.write("host_vars/s1.yml", 'ansible_user: root\nansible_password: "canary:@/%7"\n')
    assert green(site.check("def test_a(host): assert host.run('true').rc == 0\n", ("s1",)))
    assert "canary" not in (site.project / "log").read_text()
    assert (site.project / "given").read_text().splitlines()[0] == "canary:@/%7"


@pytest.fixture
def server(tmp_path):
    """An SSH server on loopback that takes the key `id` alone."""
    server = Sshd(tmp_path / "sshd")
    yield server
    server.stop()


@pytest.mark.parametrize("key", ["id", "other"])
def test_the_private_key_given_is_the_one_that_is_used(site, server, key):
    site.inventory.write_text(
        json.dumps({"all": {"children": {"servers": {"hosts": {"s1": server.variables}}}}})
    )
    site.pass_through(private_key=server.folder / key)
    played = site.play("- ansible.builtin.ping:", hosts=("s1",))
    checked = site.check("def test_a(host): assert host.run('true').rc == 0\n", ("s1",))
    assert (ok(played), green(checked)) == (key == "id", key == "id")
    if key == "other":
        assert "s1: unreachable" in "; ".join(played.reasons)
        assert "s1: unreachable" in "; ".join(checked.reasons)
