"""kill -9 right after each record is on disk; then the run goes on from what the journal knows."""

from __future__ import annotations

import os
import signal
from contextlib import closing

import pytest
from engine import FakeGates, FakePlaybooks, options, plan_of

from orchestrator.events import PlaybookStarted, RunOutcome
from orchestrator.journal import open_journal, read_journal
from orchestrator.recovery import recover
from orchestrator.state import UP, RunState, fold

GRAPH = {"routing": (), "dns": ("routing",), "time": ("routing",), "portal": ("dns", "time")}
WHOLE = 42  # records of an undisturbed run, as the first test counts them


class Site:
    """Fakes whose effects outlive their process, as those of a real playbook do."""

    def __init__(self, folder, *, healthy=()):
        self.healthy = set(healthy)
        self.effects = folder / "effects"
        self.effects.touch()
        during = {name: lambda name=name: self._bring_back(name) for name in GRAPH}
        self.playbooks = FakePlaybooks(during=during)

    def _bring_back(self, name):
        with self.effects.open("a") as effects:
            effects.write(f"{name}\n")

    def started(self):
        return self.effects.read_text().split()

    def gates(self, request, tell, stop):
        return FakeGates(green=self.healthy | set(self.started()))(request, tell, stop)


def run(folder, state, *, kill_after=None, healthy=()):
    """Recover as the command does; die after the Nth record when asked to."""
    site = Site(folder, healthy=healthy)
    plan = plan_of(GRAPH)
    with (
        open_journal(folder / "state") as journal,
        closing(
            recover(plan, state, site.playbooks, site.gates, options=options(max_parallel=2))
        ) as records,
    ):
        for number, record in enumerate(records, 1):
            journal.append(record)
            if number == kill_after:
                os.kill(os.getpid(), signal.SIGKILL)


def recorded(folder):
    with read_journal(folder / "state") as journal:
        return journal.records("r1")


def test_an_undisturbed_run_has_as_many_records_as_are_killed_after_below(tmp_path):
    run(tmp_path, RunState())
    assert len(recorded(tmp_path)) == WHOLE


def killed_after(folder, number, **site):
    """Run in a child that dies after that record; False when the run was over before."""
    child = os.fork()
    if child == 0:
        run(folder, RunState(), kill_after=number, **site)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in {signal.SIGKILL, 0}
    return status == signal.SIGKILL


@pytest.mark.parametrize("number", range(1, WHOLE + 1))
def test_whenever_it_is_killed_the_run_can_go_on_and_does_nothing_twice_that_was_proven(
    tmp_path, number
):
    assert killed_after(tmp_path, number)
    goes_on(tmp_path, number, dark=GRAPH)


@pytest.mark.parametrize("number", range(1, WHOLE + 1))
def test_killed_while_components_are_looked_at_ahead_it_can_go_on_too(tmp_path, number):
    healthy = {"routing", "time", "portal"}
    if killed_after(tmp_path, number, healthy=healthy):
        goes_on(tmp_path, number, dark={"dns"}, healthy=healthy)
    else:
        assert number > WHOLE / 2


def goes_on(folder, number, *, dark, **site):
    """What a killed run has left is whole, and the same call again brings the rest back."""
    before = recorded(folder)
    assert len(before) == number
    begun = [r.event.component for r in before if isinstance(r.event, PlaybookStarted)]
    effects = Site(folder).started()
    assert set(effects) <= set(begun)
    proven = {c.name for c in fold(before).among(UP)}
    if fold(before).finished:
        return

    run(folder, fold(before), **site)
    after = recorded(folder)
    assert [r.seq for r in after] == list(range(1, len(after) + 1))
    assert fold(after).outcome is RunOutcome.RECOVERED
    again = Site(folder).started()[len(effects) :]
    assert not set(again) & proven
    assert sorted(set(effects) | set(again)) == sorted(dark)
