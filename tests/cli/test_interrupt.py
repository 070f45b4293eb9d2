"""Ctrl-C and its relatives in each phase: children ended, journal closed, exit 130, then status."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

PHASES = {
    "observe": {"kind": "gate_started", "purpose": "observe"},
    "playbook": {"kind": "task_started", "task": "Hang on start"},
    "verify": {"kind": "gate_started", "purpose": "verify"},
}
PATIENCE = 60


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


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def begun(recovery, project, phase):
    """A recovery that hangs in this phase; its child is seen to be there first."""
    run = recovery(project)
    fields = dict(PHASES[phase])
    run.wait_for(fields.pop("kind"), **fields)
    until(lambda: any(b"sleep" in words for _, words in left_of(project)))
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
    assert status.stdout.endswith("Next: drcli recover --site room-a\n")


def test_after_kill_9_status_says_so_and_its_playbook_is_gone(hanging, recovery, drcli):
    project = hanging("playbook")
    run = begun(recovery, project, "playbook")
    run.process.kill()
    run.process.wait(timeout=PATIENCE)
    until(lambda: not left_of(project))
    status = drcli("status", "--site", "room-a", cwd=project)
    assert "its process is gone" in status.stdout


def test_the_second_of_two_runs_is_told_who_holds_the_site_and_status_says_running(
    hanging, recovery, drcli
):
    project = hanging("playbook")
    first = begun(recovery, project, "playbook")
    code, events, errors = recovery(project).end()
    assert (code, events) == (1, [])
    assert f"process {first.process.pid}" in errors
    assert "hint: " in errors
    status = drcli("status", "--site", "room-a", cwd=project)
    assert "room-a: running for" in status.stdout
    assert "Hang on start" in status.stdout
    first.ctrl_c()
    assert first.end()[0] == 130


def test_a_signal_ends_a_verification_in_good_order(hanging, recovery, tmp_path):
    project = hanging("observe")  # its gate hangs as long as the component is not up
    run = recovery(project, command="verify")
    run.wait_for("gate_started")
    until(lambda: left_of(project))
    run.ctrl_c(signal.SIGINT)
    code, events, _ = run.end()
    assert code == 130
    assert left_of(project) == []
    assert (events[-1]["kind"], events[-1]["reason"]) == ("run_finished", "SIGINT")
    assert not (tmp_path / "state").exists(), "a verification keeps nothing"
