"""Playbooks forked from a warm process are what they are from a cold one, and end as surely."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Event as Flag

import pytest
from small_site import SmallSite

from orchestrator.attempt import processes_of
from orchestrator.events import PlaybookOutcome, TaskStarted
from orchestrator.playbook_process import WarmAnsible

STAND_IN = Path(__file__).parents[2] / "orchestrator/playbook_stand_in.py"
HANG = "- name: Hang\n  ansible.builtin.command: sleep 600\n"
DEBUG = "- ansible.builtin.debug: {msg: x}"


@pytest.fixture
def site(tmp_path):
    site = SmallSite(tmp_path)
    yield site
    site.playbooks.close()


def parent(pid):
    """The number of its parent; 0 when it has ended meanwhile."""
    try:
        stat = (Path("/proc") / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat.rpartition(")")[2].split()[1])


def servers():
    """The warm processes that this process has started."""
    found = processes_of(f"playbook-server/{os.getpid()}/")
    return [p.pid for p in found if parent(p.pid) == os.getpid()]


def at_task(name, act):
    """A teller that acts when this task starts."""

    def tell(event):
        if isinstance(event, TaskStarted) and event.task == name:
            act()

    return tell


def test_playbooks_come_from_one_warm_process(site):
    seen = []
    for _ in range(2):
        stop = Flag()

        def look(stop=stop):
            seen.append((servers(), {parent(p.pid) for p in site.left()}))
            stop.set()

        assert site.play(HANG, tell=at_task("Hang", look), stop=stop).reasons
    (first, among), (second, _) = seen
    assert len(first) == 1
    assert first == second
    assert first[0] in among
    site.playbooks.close()
    assert servers() == []


def world(site):
    """What a task of a local host sees of the world."""
    look = "import json, os; print(json.dumps([dict(os.environ), os.getcwd(), os.umask(0)]))"
    result = site.play(
        f"- name: Look\n  ansible.builtin.command: {{argv: [python3, -c, '{look}']}}", hosts=("h1",)
    )
    assert result.outcome is PlaybookOutcome.SUCCEEDED
    kept = next(e for e in site.log() if e["event"] == "runner_on_ok")
    environment, *rest = json.loads(kept["event_data"]["res"]["stdout"])
    changing = {"DRCLI_ATTEMPT", "ANSIBLE_LOCAL_TEMP", "AWX_ISOLATED_DATA_DIR"}
    return {k: v for k, v in environment.items() if k not in changing}, rest


def test_the_world_of_a_forked_playbook_is_that_of_a_cold_one(site, monkeypatch):
    monkeypatch.setenv("SOME_PASSWORD", "x")
    warm = world(site)
    monkeypatch.setattr(WarmAnsible, "words", lambda *_, **__: [])
    cold = world(site)
    for one in (warm, cold):
        one[0].pop("_", None)
        one[0].pop("LINES", None)
        one[0].pop("COLUMNS", None)
    assert warm == cold
    assert "SOME_PASSWORD" not in warm[0]


def test_a_warm_process_that_died_is_followed_by_another(site):
    site.play(DEBUG)
    (first,) = servers()
    os.kill(first, signal.SIGKILL)
    assert site.play(DEBUG).outcome is PlaybookOutcome.SUCCEEDED
    assert servers() != [first]


def test_a_warm_process_that_dies_takes_its_playbook_along(site):
    result = site.play(HANG, tell=at_task("Hang", lambda: os.kill(servers()[0], signal.SIGKILL)))
    assert result.outcome is PlaybookOutcome.FAILED
    assert "the warm Ansible process is gone" in result.reasons[0]
    assert site.left() == ()
    assert site.play(DEBUG).outcome is PlaybookOutcome.SUCCEEDED


def test_settings_changed_between_two_playbooks_count(site):
    site.write("ansible.cfg", "[defaults]\n")
    assert site.play(DEBUG).outcome is PlaybookOutcome.SUCCEEDED
    site.write("ansible.cfg", "[tags]\nrun = never_there\n")
    assert site.play(DEBUG).outcome is PlaybookOutcome.FAILED


def test_a_role_changed_between_two_playbooks_counts(site):
    play = "- hosts: servers\n  gather_facts: false\n  roles: [one]\n"
    for word in ("before", "after"):
        site.write("roles/one/tasks/main.yml", f"- ansible.builtin.debug: {{msg: {word}}}\n")
        site.write(
            "roles/one/filter_plugins/f.py",
            f"class FilterModule:\n    def filters(self): return {{'f': lambda _: '{word}'}}\n",
        )
        site.write("roles/one/tasks/main.yml", '- ansible.builtin.debug: {msg: "{{ 1 | f }}"}\n')
        site.play(play)
        assert word in str(site.log())


def test_a_killed_drcli_leaves_no_playbook(tmp_path):
    code = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from small_site import SmallSite
site = SmallSite(Path({str(tmp_path)!r}))
site.run = "killed-{os.getpid()}"
site.play({HANG!r}, tell=lambda event: print(event, flush=True))
"""
    drcli = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert "Hang" in drcli.stdout.readline()
    assert processes_of(f"killed-{os.getpid()}/")
    drcli.kill()
    drcli.wait()
    patience = time.monotonic() + 20
    while processes_of(f"killed-{os.getpid()}/") or processes_of(f"playbook-server/{drcli.pid}/"):
        assert time.monotonic() < patience
        time.sleep(0.1)


def test_a_stand_in_that_finds_nobody_ready_goes_on_alone(tmp_path):
    command = [sys.executable, "-I", "-S", STAND_IN, tmp_path / "door", "sh", "-c", "exit 7"]
    assert subprocess.run(command, check=False).returncode == 7
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door"))
        door.listen()
        waiting = subprocess.Popen(command)
        door.accept()[0].close()
        assert waiting.wait(20) == 7
