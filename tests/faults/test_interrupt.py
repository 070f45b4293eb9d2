"""Ctrl-C and its relatives in each phase: children ended, journal closed, exit 130, then status."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
from pausing import pause

PHASES = {
    "observe": {"kind": "gate_started", "purpose": "observe"},
    "playbook": {"kind": "task_started", "task": "Hang on start"},
    "verify": {"kind": "gate_started", "purpose": "verify"},
}


def left_of(project):
    """The processes of attempts at this project that are alive."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:
            continue
        if b"DRCLI_ATTEMPT=" in words and str(project).encode() in words:
            found.append((entry.name, (entry / "cmdline").read_bytes()))
    return found


def children_of(pid):
    """The processes that this one has started."""
    tasks = Path("/proc", str(pid), "task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def begun(recovery, project, phase):
    """A recovery that hangs in this phase; its child is seen to be there first."""
    run = recovery(project)
    fields = dict(PHASES[phase])
    run.wait_for(fields.pop("kind"), **fields)
    return run


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("observe", signal.SIGINT),
        ("playbook", signal.SIGINT),
        ("verify", signal.SIGINT),
        ("playbook", signal.SIGTERM),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_signal_ends_children_and_run_in_good_order(hanging, recovery, drcli, phase, number):
    project = hanging(phase)
    run = begun(recovery, project, phase)
    assert phase != "playbook" or left_of(project)
    run.ctrl_c(number)
    code, events, _ = run.end()
    assert code == 130
    assert left_of(project) == []
    assert (events[-1]["kind"], events[-1]["reason"]) == ("run_finished", number.name)
    starts = [e["kind"] for e in events].count("playbook_started")
    assert [e["kind"] for e in events].count("playbook_finished") == starts
    status = drcli("status", "--site", "room-a", cwd=project)
    assert status.returncode == 0
    assert "interrupted after" in status.stdout
    assert "routing" in status.stdout.splitlines()[-1]
    assert status.stdout.endswith("Next: drcli resume --site room-a\n")


def test_a_second_ctrl_c_kills_a_child_that_will_not_go(hanging, recovery):
    project = hanging("playbook")
    playbook = project / "playbooks/network/routing.yml"
    stubborn = "bash -c 'trap \"\" TERM INT HUP; while :; do sleep 1; done'"
    playbook.write_text(playbook.read_text().replace("sleep 600", stubborn))
    run = begun(recovery, project, "playbook")
    run.ctrl_c()
    run.ctrl_c()
    code, events, _ = run.end()
    assert code == 130
    assert events[-1]["outcome"] == "interrupted"
    assert left_of(project) == []


def test_after_kill_9_status_says_interrupted_and_its_playbook_is_gone(hanging, recovery, drcli):
    project = hanging("playbook")
    run = begun(recovery, project, "playbook")
    assert left_of(project)
    run.process.kill()
    run.process.wait(timeout=60)
    until(lambda: not left_of(project))
    status = drcli("status", "--site", "room-a", cwd=project)
    assert "its process is gone: routing recovering cut short" in status.stdout


def test_what_outlives_a_killed_run_and_its_children_is_ended_before_the_next(hanging, recovery):
    project = hanging("playbook")
    run = begun(recovery, project, "playbook")
    until(lambda: any(b"sleep" in words for _, words in left_of(project)))
    pause(run.process.pid)  # it sees none of them go
    for child in children_of(run.process.pid):
        os.kill(child, signal.SIGKILL)
    run.process.kill()
    run.process.wait(timeout=60)
    orphans = left_of(project)
    assert orphans
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("sleep 600", "sleep 0"))
    again = recovery(project, command=["resume", "--replan"])
    again.wait_for("run_resumed")
    assert not {pid for pid, _ in orphans} & {pid for pid, _ in left_of(project)}
    code, _, errors = again.end()
    assert code == 0
    assert "was killed; ending what it left" in errors


@pytest.mark.parametrize("phase", ["observe", "verify"])
def test_no_process_of_a_gate_outlives_a_drcli_that_is_killed(hanging, recovery, phase):
    project = hanging(phase)
    run = begun(recovery, project, phase)
    until(lambda: any(b"sleep" in words for _, words in left_of(project)))
    run.process.kill()
    run.process.wait(timeout=60)
    until(lambda: not left_of(project))


def test_the_second_of_two_runs_is_told_who_holds_the_site_and_status_says_running(
    hanging, recovery, drcli
):
    project = hanging("playbook")
    first = begun(recovery, project, "playbook")
    code, events, errors = recovery(project).end()
    assert (code, events) == (1, [])
    assert f"process {first.process.pid}" in errors
    assert "hint: Follow it: drcli watch --site room-a" in errors
    status = drcli("status", "--site", "room-a", cwd=project)
    assert "room-a: running for" in status.stdout
    assert "Hang on start" in status.stdout
    first.ctrl_c()
    assert first.end()[0] == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_a_verification_in_good_order(hanging, recovery, drcli, state, number):
    project = hanging("observe")  # its gate hangs as long as the component is not up
    run = recovery(project, command=("verify",))
    run.wait_for("gate_started")
    until(lambda: left_of(project))
    run.ctrl_c(number)
    code, events, _ = run.end()
    assert code == 130
    assert left_of(project) == []
    assert (events[-1]["kind"], events[-1]["reason"]) == ("run_finished", number.name)
    assert not state.exists(), "a verification keeps nothing"
