"""What an SRE passes through to Ansible reaches playbook and gate as it was meant."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from asking_sudo import PASSWORD as BECOME
from asking_sudo import asking_sudo
from small_site import SmallSite
from sshd import Sshd

from orchestrator.errors import InputError
from orchestrator.events import PlaybookOutcome, TaskFailed
from orchestrator.gate import TestinfraGates
from orchestrator.work import AnsibleOptions

SECRET = "canary-of-the-vault"
USES_SECRET = """
- name: Use the secret
  ansible.builtin.assert:
    that: pin == "canary-of-the-vault"
    quiet: true
"""


@pytest.fixture
def site(tmp_path):
    return SmallSite(tmp_path)


@pytest.fixture
def vaulted(site, tmp_path):
    """The site with a variable `pin` that only the vault's password opens; returns its file."""
    password = tmp_path / "vault-password"
    password.write_text("open sesame\n")
    vars_file = site.write("group_vars/servers.yml", f"pin: {SECRET}\n")
    vault = Path(sys.executable).with_name("ansible-vault")
    words = [vault, "encrypt", "--vault-password-file", password, vars_file]
    subprocess.run(words, check=True, capture_output=True)
    return password


def ok(result):
    return (result.outcome, result.reasons) == (PlaybookOutcome.SUCCEEDED, ())


def test_the_vault_opens_with_its_password_file_or_id(site, vaulted):
    assert ok(site.play(USES_SECRET, vault_password_file=vaulted))
    assert ok(site.play(USES_SECRET, vault_ids=(f"room@{vaulted}",)))


def test_without_the_vaults_password_the_reason_is_told(site, vaulted):
    result = site.play(USES_SECRET)
    assert result.outcome is PlaybookOutcome.FAILED
    assert "vault" in "; ".join(result.reasons)


@pytest.mark.parametrize("how", ["file", "id"])
def test_a_gate_reads_the_vault_too_and_does_not_tell(site, vaulted, how):
    gate = (
        "def test_a(host):\n"
        f"    assert host.ansible.get_variables()['pin'] == '{SECRET}'\n"
        "def test_b(host):\n    assert 0, 'the password=' + host.ansible.get_variables()['pin']\n"
    )
    given = {"file": {"vault_password_file": vaulted}, "id": {"vault_ids": (f"room@{vaulted}",)}}
    site.gates = TestinfraGates(AnsibleOptions(**given[how]))
    result = site.check(gate)
    assert {c.check: c.outcome.value for c in result.checks} == {
        "test_a": "passed",
        "test_b": "failed",
    }
    assert SECRET not in str(result)


def test_a_gate_without_the_vaults_password_is_red(site, vaulted):
    result = site.check("def test_a(host): pass\n")
    assert not result.green
    assert "vault" in "; ".join(result.reasons)


def test_extra_variables_keep_their_types_and_win(site):
    text = "no: '\"$(id) \\ é\n"
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
    assert ok(site.play(tasks, extra_vars=given))


def test_check_mode_changes_nothing_and_shows_the_difference(site):
    target = site.project / "made"
    task = f"- ansible.builtin.copy: {{content: new-line, dest: {target}, mode: '0600'}}"
    result = site.play(task, hosts=("h1", "h2"), check=True, diff=True)
    assert ok(result)
    assert not target.exists()
    assert result.stats["h1"].changed == 1
    assert "+new-line" in str(site.log())


def test_ansible_cfg_of_the_project_applies(site):
    site.write("ansible.cfg", "[defaults]\nroles_path = my_roles\n")
    site.write("my_roles/greet/tasks/main.yml", "- ansible.builtin.debug: {msg: x}\n")
    play = "- hosts: servers\n  gather_facts: false\n  roles: [greet]\n"
    assert ok(site.play(play))


def test_the_locale_of_whoever_starts_it_does_not_matter(site, monkeypatch):
    monkeypatch.setenv("LC_ALL", "xx_XX.ISO-8859-1")
    assert ok(site.play("- ansible.builtin.debug: {msg: é}"))
    assert site.check("def test_a(host): assert host.run('echo é').stdout == 'é\\n'\n").green


def test_host_keys_are_checked_unless_ansible_cfg_says_otherwise(site):
    """ansible-runner alone would turn it off."""
    gate = (
        "- ansible.builtin.command: env\n  register: it\n- ansible.builtin.debug: {var: it.stdout}"
    )
    assert ok(site.play(gate))
    assert "HOST_KEY_CHECKING" not in str(site.log())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("- ansible.builtin.debug: {msg: '{{ nowhere }}'}", "web.yml:4"),
        ("- nosuch.module.here: {}", "web.yml:4"),
        ("- hosts: servers\n  roles: [nosuch]", "role 'nosuch' was not found"),
        ("- hosts: servers\n  tasks:\n    - name: x\n     y: z", "web.yml:4:6"),
        ("- hosts: servers\n\ttasks: []", "web.yml:2:1"),
    ],
    ids=["undefined variable", "unknown module", "missing role", "syntax", "tab"],
)
def test_a_mistake_in_the_playbook_is_named_with_its_place(site, text, reason):
    result = site.play(text)
    assert result.outcome is PlaybookOutcome.FAILED
    assert reason in "; ".join(result.reasons)


def test_a_failure_names_the_host_and_the_observed_state(site):
    site.play("- name: Count\n  ansible.builtin.command: sh -c 'echo seen >&2; exit 7'")
    told = [t for t in site.told if isinstance(t, TaskFailed)]
    assert sorted(t.host for t in told) == ["h1", "h2"]
    assert all("exit code 7\nstderr: seen" in t.message for t in told)


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
    result = site.play(tasks, hosts=("h1",), check=True)
    assert target.exists()
    assert result.outcome is PlaybookOutcome.FAILED
    [reason] = result.reasons
    assert "h1: task 'Make a file'" in reason
    assert "check_mode: false" in reason
    assert [(t.host, t.task) for t in site.told if isinstance(t, TaskFailed)] == [
        ("h1", "Make a file")
    ]
    assert result.stats["h1"].really_changed == 1


def test_a_real_run_may_have_tasks_without_check_mode(site):
    task = f"""
        - ansible.builtin.copy: {{content: real, dest: {site.project}/made, mode: '0600'}}
          check_mode: false
        """
    assert ok(site.play(task))


def test_what_failed_after_a_real_change_in_a_dry_run_is_told_twice(site):
    task = """
        - name: Change and fail
          ansible.builtin.command: sh -c 'exit 7'
          check_mode: false
        """
    result = site.play(task, hosts=("h1",), check=True)
    assert result.stats["h1"].really_changed == 1
    assert any("exit code 7" in reason for reason in result.reasons)


@pytest.fixture
def asking(site):
    """The site with hosts on which sudo asks for a password."""
    site.write("group_vars/servers.yml", json.dumps(asking_sudo(site.project)))
    return site


def gate_with(site, **options):
    site.gates = TestinfraGates(AnsibleOptions(**options))
    with site.gates:
        return site.check("def test_a(host):\n    assert host.run('echo up').stdout == 'up\\n'\n")


TASK = "- name: Do it\n  ansible.builtin.raw: 'true'\n"


def test_the_become_password_reaches_playbook_and_gate(asking):
    assert ok(asking.play(TASK, become_password=BECOME))
    result = gate_with(asking, become_password=BECOME)
    assert (result.green, result.reasons) == (True, ())


@pytest.mark.parametrize("password", [None, "canary shut"])
def test_without_the_right_become_password_both_are_red(asking, password):
    assert asking.play(TASK, become_password=password).outcome is PlaybookOutcome.FAILED
    result = gate_with(asking, become_password=password)
    assert not result.green
    assert "canary" not in str(result)
    if password:
        assert "become password is wrong" in "; ".join(result.reasons)


def test_a_become_password_of_the_inventory_wins_as_it_does_with_ansible(asking):
    asking.write("host_vars/h1.yml", f"ansible_become_pass: {BECOME}\n")
    asking.write("host_vars/h2.yml", f"ansible_become_password: {BECOME}\n")
    assert ok(asking.play(TASK, become_password="canary shut"))
    assert gate_with(asking, become_password="canary shut").green


def test_a_gate_does_not_tell_the_become_password(asking):
    asking.gates = TestinfraGates(AnsibleOptions(become_password=BECOME))
    words = (
        "import os, pathlib\n"
        "def test_a(host):\n"
        "    known = str(host.ansible.get_variables()) + str(dict(os.environ))\n"
        "    known += pathlib.Path('/proc/self/cmdline').read_text()\n"
        "    print('canary' in known, known)\n"
        "    assert 0, known\n"
    )
    with asking.gates:
        result = asking.check(words)
    assert not result.green
    assert "canary" not in str(result)
    assert "canary" not in str(asking.told)


def test_extra_variables_are_the_hosts_for_playbook_and_gate(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    fake = site.project / "bin/ssh"
    told = site.project / "told"
    fake.write_text(fake.read_text().replace("#!/bin/sh", f'#!/bin/sh\necho "$*" >>{told}', 1))
    site.write("host_vars/s1.yml", "ansible_user: from-inventory\nansible_port: 22\n")
    given = {"ansible_user": "operator", "ansible_port": "2022", "seen": [1, {"x": True}]}
    play = "- hosts: remote\n  gather_facts: false\n  tasks: [{ansible.builtin.raw: 'true'}]\n"
    assert ok(site.play(play, hosts=["s1"], extra_vars=given))
    words = told.read_text()
    assert "Port=2022" in words
    assert 'User="operator"' in words
    assert "from-inventory" not in words
    told.unlink()
    site.gates = TestinfraGates(AnsibleOptions(extra_vars=given))
    with site.gates:
        result = site.check(
            "def test_a(host):\n"
            "    assert host.run('true').rc == 0\n"
            "    assert host.ansible.get_variables()['seen'] == [1, {'x': True}]\n",
            hosts=["s1"],
        )
    assert (result.green, result.reasons) == (True, ())
    words = told.read_text()
    assert "Port=2022" in words
    assert 'User="operator"' in words
    assert "from-inventory" not in words


def test_a_gate_refuses_an_extra_variable_that_is_an_expression(site):
    """As a playbook does: Ansible's templating would run it on this machine."""
    with pytest.raises(InputError, match="Jinja"):
        TestinfraGates(AnsibleOptions(extra_vars={"ansible_host": "{{ lookup('pipe', 'id') }}"}))


def test_the_number_of_forks_reaches_ansible(site):
    task = "- ansible.builtin.assert: {that: ansible_forks == 3, quiet: true}"
    assert ok(site.play(task, forks=3))


@pytest.fixture
def server(tmp_path):
    """An SSH server that takes one key alone."""
    server = Sshd(tmp_path / "sshd", shared=False)
    yield server
    server.stop()


@pytest.mark.parametrize("right", [True, False], ids=["its key", "another key"])
def test_the_private_key_given_is_the_one_that_is_used(site, server, right):
    options = f"-F /dev/null -o UserKnownHostsFile={server.known} -o IdentitiesOnly=yes"
    options += " -o IdentityAgent=none -o ControlMaster=no -o ControlPath=none"
    variables = {
        "ansible_host": "127.0.0.1",
        "ansible_port": server.port,
        "ansible_user": server.user,
        "ansible_ssh_common_args": options,
        "ansible_python_interpreter": sys.executable,
    }
    site.inventory.write_text(
        json.dumps({"all": {"children": {"servers": {"hosts": {"s1": variables}}}}})
    )
    server.make_key("other")
    key = server.folder / ("id" if right else "other")
    result = site.play("- ansible.builtin.ping:", hosts=("s1",), private_key=key)
    assert ok(result) == right
    if not right:
        assert "s1: unreachable" in "; ".join(result.reasons)
