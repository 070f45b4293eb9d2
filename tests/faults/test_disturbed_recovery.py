"""A real recovery, stopped at every event it shows: it ends as one that nothing happened to."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from pathlib import Path

import pytest
from disturbed import (
    COMPONENTS,
    LAYERS,
    MIXED,
    MIXED_POINTS,
    MIXED_STATES,
    UP,
    DisturbedSite,
    kill,
    lost_of,
    name_of,
    points,
    repeated,
    wait_until,
)
from pausing import pause

from orchestrator.attempt import processes_of
from orchestrator.state import fold

pytestmark = pytest.mark.once

POINTS = tuple(points())
AT_WORK = tuple(p for p in POINTS if p[1] in {"gate_collected", "task_started"})
FROZEN = 1.0  # seconds that a stopped process stands still


@pytest.fixture
def memory():
    """The attempts' folders in memory, apart from those of others."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def site(make_project, state, memory):
    made = DisturbedSite(make_project(LAYERS), state, memory)
    yield made
    for process in made.left():
        kill(process.pid)


@pytest.fixture
def mixed(make_project, state, memory):
    """A site that cannot be recovered whole, in every layer."""
    project = make_project(MIXED, extra={"order": "dependencies"})
    made = DisturbedSite(project, state, memory)
    for layer, host in (("network", "r1"), ("storage", "db1"), ("applications", "img1")):
        (project / f"marks/{layer}-up-{host}").write_text("up")
        bad = project / f"playbooks/{layer}/{layer}-bad.yml"
        bad.write_text(bad.read_text() + "\n    - name: Fail\n      ansible.builtin.fail:\n")
        gate = project / f"playbooks/{layer}/test_{layer}-bad.py"
        gate.write_text("minimum_checks = 1\n\n\ndef test_it(host):\n    assert not host\n")
    yield made
    for process in made.left():
        kill(process.pid)


def kill_drcli(run):
    kill(run.process.pid)


def kill_the_group(run):
    os.killpg(run.process.pid, signal.SIGKILL)


def end_by_sigterm(run):
    run.process.send_signal(signal.SIGTERM)


def freeze_and_thaw(run):
    pause(run.process.pid)
    time.sleep(FROZEN)
    run.process.send_signal(signal.SIGCONT)


def kill_the_work(run):
    """The playbook or the gate that is at work, with all that it has started."""
    work = processes_of(f"{run.site.runs()[-1]}/")
    assert work
    for process in work:
        kill(process.pid)


FAULTS = {
    "kill -9 of drcli": kill_drcli,
    "kill -9 of drcli's process group": kill_the_group,
    "SIGTERM of drcli": end_by_sigterm,
    "SIGSTOP, then SIGCONT, of drcli": freeze_and_thaw,
    "kill -9 of the playbook or gate at work": kill_the_work,
}
EVERY = [
    (fault, point)
    for fault in FAULTS
    for point in (AT_WORK if FAULTS[fault] is kill_the_work else POINTS)
]
QUICK = [
    ("kill -9 of drcli", ("routing", "gate_started", 2)),
    ("kill -9 of drcli's process group", ("imaging", "playbook_started", 1)),
    ("SIGTERM of drcli", ("volumes", "gate_finished", 1)),
    ("kill -9 of the playbook or gate at work", ("routing", "task_started", 1)),
]


def named(value):
    return value.replace(" ", "-") if isinstance(value, str) else name_of(value)


def test_an_undisturbed_recovery_shows_the_events_at_which_it_is_stopped_below(site):
    run = site.start("recover")
    assert run.to_the_end() == 0
    shown = [(r["event"].get("component", ""), r["event"]["kind"]) for r in run.shown]
    assert shown == [(component, kind) for component, kind, _ in POINTS]


@pytest.mark.parametrize(("fault", "point"), QUICK, ids=named)
def test_it_ends_as_if_nothing_had_happened(site, record_property, fault, point):
    survives(site, record_property, fault, point)


@pytest.mark.long
@pytest.mark.parametrize(("fault", "point"), EVERY, ids=named)
def test_whenever_it_is_disturbed_it_ends_as_if_nothing_had_happened(
    site, record_property, fault, point
):
    survives(site, record_property, fault, point)


@pytest.mark.long
@pytest.mark.parametrize("point", MIXED_POINTS, ids=name_of)
def test_killed_where_not_all_can_be_brought_back_it_tells_the_same_truth(
    mixed, record_property, point
):
    record_property("fault", "kill -9 of drcli")
    run = mixed.start("recover")
    assert run.hold_at(point), run.said()
    kill_drcli(run)
    run.to_the_end()
    before = mixed.records()
    lost = lost_of(run.shown, before)
    record_property("events_lost", lost)
    assert lost == 0
    wait_until(lambda: not mixed.left(), "its processes outlive it")
    assert mixed.finish() == 1, run.said()
    assert mixed.states() == MIXED_STATES
    assert mixed.met() == []
    assert mixed.left() == []
    assert list(mixed.memory.iterdir()) == []


def survives(site, record_property, fault, point):
    record_property("fault", fault)
    run = site.start("recover")
    assert run.hold_at(point), run.said()
    FAULTS[fault](run)
    code = run.to_the_end()
    before = site.records()
    lost = lost_of(run.shown, before)
    record_property("events_lost", lost)
    assert lost == 0
    if code:
        assert code in {1, 130, -signal.SIGKILL}, run.said()
        wait_until(lambda: not site.left(), "its processes outlive it")
        assert site.finish() == 0, run.said()
    after = site.records()
    came_to_its_end = code != 0 and not fold(before).resumable  # what failed is recovered anew
    assert len(site.runs()) == (2 if came_to_its_end else 1)
    assert [r.seq for r in after] == list(range(1, len(after) + 1))
    if after[0].run == before[0].run:
        assert after[: len(before)] == before
        assert not repeated(after, len(before))
    assert site.states().keys() == set(COMPONENTS)
    assert set(site.states().values()) <= UP
    assert site.marks() == ["imaging-img1", "routing-r1", "volumes-db1"]
    assert site.met() == []
    assert site.left() == []
    assert list(site.memory.iterdir()) == []
