"""Mitogen makes playbooks fast and nothing else: each event is as without it; no failure is its."""

from __future__ import annotations

import json
import os
from importlib.metadata import PackageNotFoundError

import pytest
from small_site import SmallSite

from orchestrator import mitogen_way
from orchestrator.events import PlaybookOutcome, TaskStarted
from orchestrator.mitogen_way import SWITCH, FastWay, fast_way, settings

pytest.importorskip("mitogen")
TASKS = """\
- hosts: servers
  gather_facts: false
  vars: {folder: "{{ playbook_dir }}/out", secret: canary}
  tasks:
    - name: Make a folder
      ansible.builtin.file: {path: "{{ folder }}", state: directory, mode: "0750"}
      run_once: true
    - name: Template
      ansible.builtin.template:
        src: one.j2
        dest: "{{ folder }}/one-{{ inventory_hostname }}"
        mode: "0640"
        validate: grep hello %s
    - name: Template again
      ansible.builtin.template:
        src: one.j2
        dest: "{{ folder }}/one-{{ inventory_hostname }}"
        mode: "0640"
    - name: Copy in a loop
      ansible.builtin.copy:
        content: "{{ item.text }}\\n"
        dest: "{{ folder }}/{{ inventory_hostname }}-{{ item.name }}"
        mode: "0600"
      loop: [{name: a, text: first}, {name: b, text: "é ☃"}]
      loop_control: {label: "{{ item.name }}"}
    - name: Command that fails
      ansible.builtin.command: {argv: [sh, -c, "echo out; echo err >&2; exit 3"]}
      ignore_errors: true
    - name: Command that is not there
      ansible.builtin.command: /nonexistent/command
      ignore_errors: true
    - name: Standard input
      ansible.builtin.command: {argv: [cat], stdin: "a\\nb"}
      register: fed
      changed_when: false
    - name: Environment
      ansible.builtin.command: {argv: [sh, -c, "echo $ONE $LANG; pwd"], chdir: /}
      environment: {ONE: "1"}
    - name: Shell
      ansible.builtin.shell: "echo $((6 * 7)) | tr 4 5"
    - name: Hidden
      ansible.builtin.command: {argv: [echo, "{{ secret }}"]}
      no_log: true
    - name: Hidden failure
      ansible.builtin.command: {argv: [sh, -c, "echo {{ secret }}; false"]}
      no_log: true
      ignore_errors: true
    - name: Elsewhere
      ansible.builtin.command: {argv: [echo, "for {{ inventory_hostname }}"]}
      delegate_to: h2
    - name: Asynchronous
      ansible.builtin.command: {argv: [echo, late]}
      async: 20
      poll: 1
    - name: Again and again
      ansible.builtin.command:
        argv: [sh, -c, "echo x >> {{ file }}; test $(wc -l < {{ file }}) -ge 2"]
      vars: {file: "{{ folder }}/{{ inventory_hostname }}-n"}
      register: tried
      until: tried is success
      retries: 3
      delay: 0
    - name: A script
      ansible.builtin.script: {cmd: "one.py word", executable: python3}
    - name: Read
      ansible.builtin.slurp: {src: "{{ folder }}/one-{{ inventory_hostname }}"}
      when: not ansible_check_mode
    - name: Look
      ansible.builtin.stat: {path: "{{ folder }}/nothing"}
    - name: Wrong arguments
      ansible.builtin.file: {path: "{{ folder }}", state: nonsense}
      ignore_errors: true
    - name: Become
      ansible.builtin.command: {argv: [id, -un]}
      become: "{{ sudo }}"
    - block:
        - name: Doomed
          ansible.builtin.command: /bin/false
      rescue:
        - name: Rescued
          ansible.builtin.debug: {var: fed.stdout_lines}
    - block:
        - name: Too slow
          ansible.builtin.command: sleep 30
          timeout: 1
          check_mode: false
      rescue:
        - name: On the host, while that goes on
          ansible.builtin.stat: {path: "{{ folder }}/nothing"}
    - name: The end
      ansible.builtin.fail: {msg: "as meant on {{ inventory_hostname }}"}
      when: inventory_hostname == 'h2'
"""
PASSING = {
    "start", "end", "delta", "atime", "mtime", "ctime", "inode", "src", "_original_basename",
    "after_header",  # of a difference: the name of a temporary file
    "ansible_job_id", "results_file", "ansible_async_watchdog_pid",
    "data",  # empty, in the result of an asynchronous task
}  # fmt: skip
LEFT_OUT = {
    "A script": {"stdout", "stderr", "stderr_lines"},  # on a terminal, as over Ansible's own ssh
    "Asynchronous": {"warnings"},  # of the type of a field
}


@pytest.fixture(autouse=True)
def asked(monkeypatch):
    """A person asked for the fast way."""
    monkeypatch.setenv(SWITCH, "1")


@pytest.fixture
def site(tmp_path):
    site = SmallSite(tmp_path)
    site.write("one.j2", "hello {{ inventory_hostname }}\n")
    site.write("one.py", "import sys; print(sys.argv[1:], sys.version_info[0])\n")
    yield site
    site.playbooks.close()


def lasting(value):
    """A result without what differs from run to run."""
    if isinstance(value, dict):
        return {k: lasting(v) for k, v in value.items() if k not in PASSING}
    return [lasting(v) for v in value] if isinstance(value, list) else value


def events(site):
    """What each host was told of each task: kind, host, task, result."""
    found = []
    for event in site.log():
        data = event.get("event_data") or {}
        if event["event"].startswith("runner_") and event["event"] != "runner_on_start":
            result = lasting(data.get("res") or {})
            left_out = LEFT_OUT.get(data["task"], set())
            result = {k: v for k, v in result.items() if k not in left_out}
            keys = (data["task"], data["host"], event["event"], result)
            found.append(json.dumps(keys, sort_keys=True))
    return sorted(found)


@pytest.mark.parametrize("options", [{}, {"check": True, "diff": True}], ids=["run", "check"])
def test_each_event_is_as_without_it(site, monkeypatch, options):
    seen = {}
    for switch in ("0", "1"):
        monkeypatch.setenv(SWITCH, switch)
        for path in (site.project / "out").glob("*"):
            path.unlink()
        if (site.project / "out").exists():
            (site.project / "out").rmdir()
        site.playbooks = type(site.playbooks)(site.state)
        result = site.play(
            TASKS, extra_vars={"sudo": os.access("/usr/bin/sudo", os.X_OK)}, timeout=300, **options
        )
        assert result.outcome is PlaybookOutcome.FAILED
        seen[switch] = (
            events(site),
            dict(result.stats),
            sorted(result.reasons),
        )
        site.playbooks.close()
    assert seen["1"] == seen["0"]
    assert seen["0"][0]


# Only what this task itself runs below: other tests on the machine may go the fast way just now.
LOOK = """\
- ansible.builtin.shell: |
    above=$PPID
    while [ "$above" -gt 1 ]; do
      tr '\\0' ' ' </proc/$above/cmdline
      above=$(awk '/^PPid:/ {print $2}' /proc/$above/status)
    done
"""


def test_it_is_used_when_it_is_there_and_not_when_it_is_switched_off(site, monkeypatch):
    site.play(LOOK)
    assert "mitogen:" in str(site.log())  # its Python on the host
    monkeypatch.setenv(SWITCH, "0")
    site.playbooks = type(site.playbooks)(site.state)
    site.play(LOOK)
    assert "mitogen:" not in str(site.log())


def test_a_strategy_of_the_project_is_left_alone(site):
    config = site.write("ansible.cfg", "[defaults]\nstrategy = free\n")
    assert settings(config) == {}
    assert fast_way(config).why_not.startswith(f"{config} chooses the strategy free: ")
    config.write_text("[defaults]\nforks = 3\n")
    assert fast_way(config) == FastWay(usable=True)


def test_that_it_is_not_installed_is_said(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(mitogen_way, "version", missing)
    assert "Mitogen is not installed (pip install 'drcli[fast]')" in fast_way().why_not
    monkeypatch.delenv(SWITCH)
    assert fast_way() == FastWay()


def test_other_versions_than_those_that_were_tried_are_not_used(monkeypatch):
    versions = {"mitogen": "0.3.54", "ansible-core": "2.99.1"}
    monkeypatch.setattr(mitogen_way, "version", versions.__getitem__)
    assert "not with 2.99.1" in fast_way().why_not
    versions |= {"mitogen": "0.3.9", "ansible-core": "2.19.1"}
    assert "older than 0.3.54" in fast_way().why_not
    versions |= {"mitogen": "0.3.54", "ansible-core": "2.21.0rc1"}
    assert fast_way() == FastWay(usable=True)
    monkeypatch.delenv(SWITCH)
    assert fast_way() == FastWay()  # nobody asked for it


@pytest.mark.parametrize("way", ["its strategy is broken", "it cannot speak to a host"])
def test_a_failure_of_its_own_is_followed_by_an_attempt_without_it(
    site, monkeypatch, tmp_path, way
):
    if way == "its strategy is broken":
        broken = tmp_path / "strategy"
        broken.mkdir()
        (broken / "mitogen_linear.py").write_text("raise RuntimeError('broken')\n")
        chosen = {"ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": str(broken)}
        monkeypatch.setattr(mitogen_way, "settings", lambda _: chosen)
    else:
        site.write("group_vars/all.yml", "mitogen_via: {no: sense}\n")
    task = "- name: Do it\n  ansible.builtin.command: 'true'"
    assert site.play(task).outcome is PlaybookOutcome.SUCCEEDED
    told = [t.task for t in site.told if isinstance(t, TaskStarted)]
    assert [name for name in told if name.startswith("Once more without Mitogen")]
    assert site.play(task).outcome is PlaybookOutcome.SUCCEEDED
    told = [t.task for t in site.told if isinstance(t, TaskStarted)]
    assert told == ["Do it"]


def test_an_ordinary_failure_is_not_tried_twice(site):
    site.play("- name: Fail\n  ansible.builtin.fail: {msg: as meant}")
    assert [t.task for t in site.told if isinstance(t, TaskStarted)] == ["Fail"]


HANGS = """\
- name: Connect
  ansible.builtin.command: 'true'
- block:
    - name: Hang
      ansible.builtin.command: {argv: [sh, -c, "sleep 45; touch {{ late }}"]}
      timeout: 2
  rescue:
    - name: Look
      ansible.builtin.stat: {path: "{{ late }}"}
      register: found
    - name: Nothing was waited for
      ansible.builtin.assert: {that: not found.stat.exists, quiet: true}
"""


@pytest.mark.parametrize("switch", ["0", "1"])
def test_a_task_that_is_given_up_holds_nobody(site, monkeypatch, switch):
    monkeypatch.setenv(SWITCH, switch)
    site.playbooks = type(site.playbooks)(site.state)
    result = site.play(HANGS, ["h1"], extra_vars={"late": str(site.project / "late")})
    assert (result.outcome, result.reasons) == (PlaybookOutcome.SUCCEEDED, ())
