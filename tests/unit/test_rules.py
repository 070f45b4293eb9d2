"""A component that cannot be had whole goes on by a written rule of the site file, and says so."""

from __future__ import annotations

import io
import random
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from engine import PATIENCE, FakeGates, FakePlaybooks, options, plan_of, run_to_end, verdicts
from pydantic import ValidationError
from simulation import Process, World

from orchestrator.console import Console
from orchestrator.events import GatePurpose, HostStats, PlaybookOutcome, RunOutcome
from orchestrator.inbox import Inbox
from orchestrator.report import as_json, evidence, exit_code, state_line, summary
from orchestrator.run import Clock
from orchestrator.site import Component
from orchestrator.site_types import written
from orchestrator.state import ComponentState, fold
from orchestrator.work import PlaybookResult

GRAPH = {"database": (), "imaging": ("database",)}


class ByRuleAlone(FakePlaybooks):
    """The database's playbook succeeds only when it is told that it may go on by the rule."""

    def __call__(self, request, tell, stop):
        if request.component == "database" and not request.variables.get("allow_async"):
            self.requests.append(request)
            return PlaybookResult(outcome=PlaybookOutcome.FAILED, reasons=("db2 is away",))
        return super().__call__(request, tell, stop)


class StandbyDark(FakePlaybooks):
    """A host of the database is dark, whatever the rule; `others` is how its other host went.

    Or it is there (not `dark`) and cannot be reached all the same.
    """

    def __init__(self, others, *, dark=("db2",)):
        super().__init__()
        self.others, self.dark = others, frozenset(dark)

    def __call__(self, request, tell, stop):
        done = super().__call__(request, tell, stop)
        if request.component != "database":
            return done
        if not request.variables:
            self.succeeded.discard("database")
        stats = {"db1": self.others, "db2": HostStats(unreachable=1)}
        return replace(
            done,
            outcome=PlaybookOutcome.FAILED,
            reasons=("db2: unreachable",),
            stats=stats,
            dark=self.dark,
        )


@pytest.fixture
def time():
    """A clock whose seconds pass only while somebody waits."""
    now = [0.0]

    def wait(seconds, _):
        now[0] += seconds

    return Clock(monotonic=lambda: now[0], wait=wait)


def run(time, *, rule=600.0, recheck=60.0, gates=None, inbox=None, playbooks=None):
    playbooks = playbooks or ByRuleAlone()
    gates = gates or FakeGates(repaired_by=playbooks)
    gates.repaired_by = playbooks
    plan = plan_of(GRAPH, allow_async={"database": rule}, recheck=recheck)
    records = run_to_end(plan, playbooks, gates, clock=time, inbox=inbox or Inbox())
    return records, playbooks, gates


def events(records, kind):
    return [record.event for record in records if record.event.kind == kind]


def test_without_the_rule_it_is_a_failure_and_nothing_above_starts(time):
    records, playbooks, _ = run(time, rule=None)
    assert verdicts(records) == {
        "database": ComponentState.FAILED,
        "imaging": ComponentState.BLOCKED,
    }
    assert [request.component for request in playbooks.requests] == ["database"]
    assert not events(records, "rule_awaited")


def test_when_its_time_has_come_it_goes_on_and_what_stands_on_it_too(time):
    records, playbooks, _ = run(time)
    assert {*verdicts(records).values()} == {ComponentState.VERIFIED}
    assert [(r.component, dict(r.variables)) for r in playbooks.requests] == [
        ("database", {}),
        ("database", {"allow_async": True}),
        ("imaging", {}),
    ]
    [applied] = events(records, "rule_applied")
    assert applied.rule == "allow_async: after 10m"
    at = next(record.elapsed for record in records if record.event == applied)
    assert at == pytest.approx(600)


def test_its_time_counts_from_when_it_was_seen_down_however_long_that_look_took(time):
    """A dark host: the first look takes its whole time limit."""

    class Slow(FakeGates):
        def __call__(self, request, tell, stop):
            if not self.asked:
                time.wait(290.0, stop)
            return super().__call__(request, tell, stop)

    records, _, _ = run(time, gates=Slow())
    at = {record.event.kind: record.elapsed for record in reversed(records)}
    assert at["rule_applied"] - at["gate_finished"] == pytest.approx(600)


def test_until_then_it_is_held_and_its_gate_is_repeated(time):
    records, _, gates = run(time)
    waited = events(records, "rule_awaited")
    assert [event.seconds for event in waited] == [600.0 - 60 * n for n in range(10)]
    assert "db2 is away" in waited[0].reason
    looks = [purpose for name, purpose in gates.asked if name == "database"]
    assert looks.count(GatePurpose.OBSERVE) == 11
    told = fold(records[: records_until(records, waited[0])])
    assert told.components["database"].state is ComponentState.HELD
    assert "db2 is away" in told.components["database"].reason
    said = summary(told.components["database"], alive=True)
    assert said.startswith("by the site's rule `allow_async: after 10m` it goes on in 600 s; ")


def test_killed_while_it_waits_by_the_rule_it_was_under_way_and_does_not_go_on(time):
    records, _, _ = run(time)
    state = fold(records[: records_until(records, events(records, "rule_awaited")[0])])
    line = state_line(state)
    assert "its process is gone: database held cut short; 1 not started" in line
    assert "held: database" not in line
    assert state_line(state, alive=True).endswith("database held; 1 not started")
    said = summary(state.components["database"])
    assert (
        said == "waited by the site's rule `allow_async: after 10m`; playbook failed; db2 is away"
    )
    assert (0, said) in evidence(state.components["database"], alive=False)
    assert as_json(state, alive=False)["components"][0]["reason"] == said


def test_a_person_is_told_of_the_wait_in_the_table_and_in_json(time):
    records, _, _ = run(time)
    upto = records[: records_until(records, events(records, "rule_awaited")[0])]
    out = io.StringIO()
    Console(out=out).status(fold(upto), alive=False)
    assert "cut short held" in out.getvalue()
    assert "it goes on in 600 s" in as_json(fold(upto), alive=True)["components"][0]["reason"]


def test_by_the_rule_a_dark_host_is_for_the_gate_to_judge(time):
    dark = StandbyDark(HostStats(ok=9))
    records, _, _ = run(time, playbooks=dark)
    assert {*verdicts(records).values()} == {ComponentState.VERIFIED}
    assert fold(records).outcome is RunOutcome.DEGRADED
    gates = FakeGates(red_after_playbook={"database": 1_000_000})
    assert verdicts(run(time, playbooks=dark, gates=gates)[0])["database"] is ComponentState.FAILED


@pytest.mark.parametrize(
    ("rule", "others"),
    [(None, HostStats(ok=9)), (600.0, HostStats(failures=1)), (600.0, HostStats(unreachable=1))],
)
def test_a_dark_host_fails_it_without_the_rule_or_when_the_others_are_not_well(time, rule, others):
    records, _, _ = run(time, rule=rule, playbooks=StandbyDark(others))
    assert verdicts(records)["database"] is ComponentState.FAILED


def test_a_host_that_is_there_and_lets_nobody_in_is_not_left_out(time):
    playbooks = StandbyDark(HostStats(ok=9), dark=())
    records, _, _ = run(time, playbooks=playbooks)
    assert verdicts(records)["database"] is ComponentState.FAILED


def records_until(records, event):
    return next(n for n, record in enumerate(records, start=1) if record.event == event)


def test_what_is_whole_again_before_that_needs_no_rule(time):
    class Mended(FakeGates):
        def __call__(self, request, tell, stop):
            if time.monotonic() >= 120:
                self.green = {"database"}
            return super().__call__(request, tell, stop)

    records, playbooks, _ = run(time, gates=Mended())
    assert not events(records, "rule_applied")
    assert records[-1].event.outcome is RunOutcome.RECOVERED
    assert playbooks.requests[-1].component == "imaging"


def test_by_the_rule_one_whole_host_is_enough_for_its_gate_and_for_no_other(time):
    _, _, gates = run(time)
    asked = [(r.component, r.one_is_enough, bool(r.variables)) for r in gates.requests]
    assert ("database", True, True) in asked
    assert {one for name, one, _ in asked if name == "imaging"} == {False}
    first = next(r for r in gates.requests if r.component == "database")
    assert not first.one_is_enough
    last = [r for r in gates.requests if r.component == "database"][-1]
    assert last.one_is_enough  # the gates that stay on know the rule, too
    assert not last.ends_early


def test_the_end_says_degraded_and_is_no_success(time):
    state = fold(run(time)[0])
    assert state.outcome is RunOutcome.DEGRADED
    assert exit_code(state) == 1
    assert "DEGRADED, by the site's rule: database (allow_async: after 10m)" in state_line(state)


def test_what_waits_by_the_rule_holds_up_nothing_that_does_not_stand_on_it():
    """However few slots there are, and however many wait."""
    waiting = ("database", "mirror", "archive")
    graph = {**dict.fromkeys(waiting, ()), "other": (), "third": ("other",)}
    third_began, now = threading.Event(), [0.0]

    def wait(seconds, _):
        assert third_began.wait(PATIENCE), "it waits for those that wait"
        now[0] += seconds

    playbooks = FakePlaybooks(
        outcomes=dict.fromkeys(waiting, PlaybookOutcome.FAILED), during={"third": third_began.set}
    )
    records = run_to_end(
        plan_of(graph, allow_async=dict.fromkeys(waiting, 60.0)),
        playbooks,
        FakeGates(repaired_by=playbooks),
        options=options(max_parallel=1),
        clock=Clock(monotonic=lambda: now[0], wait=wait),
    )
    assert verdicts(records)["third"] is ComponentState.VERIFIED
    assert playbooks.most_at_once == 1


def one_slot():
    """The database's time has come when the only slot is taken by another component."""
    graph = {"database": (), "other": ()}
    plan = plan_of(graph, settle=0, allow_async={"database": 60.0})
    world = World(graph, random.Random(1), broken={"database"})
    process = Process(plan, world, max_parallel=1)
    pending = process.workers.pending
    process.held = lambda name: name == "other" and any(w.component == "database" for w in pending)
    return process


def test_when_its_time_has_come_it_waits_for_a_slot_as_any_other():
    kinds = [(r.event.kind, getattr(r.event, "component", "")) for r in one_slot().run()]
    other_is_up = kinds.index(("component_verified", "other"))
    assert kinds.index(("playbook_started", "other")) < other_is_up
    assert other_is_up < kinds.index(("rule_applied", "database"))
    assert kinds.count(("playbook_started", "database")) == 2


def test_a_stop_ends_the_waiting_for_a_slot():
    process = one_slot()

    def watch(record):
        if record.event.kind == "playbook_started" and record.event.component == "other":
            process.inbox.request_stop("ctrl-c")

    records = process.run(watch=watch)
    assert records[-1].event.outcome is RunOutcome.INTERRUPTED
    assert not events(records, "rule_applied")


def test_a_stop_ends_the_waiting(time):
    inbox = Inbox()
    stopping = replace(time, wait=lambda *_: inbox.request_stop("ctrl-c"))
    records, playbooks, _ = run(stopping, inbox=inbox)
    assert records[-1].event.outcome is RunOutcome.INTERRUPTED
    assert not any(request.variables for request in playbooks.requests)


@pytest.mark.parametrize(
    "text", ["10m", "after", "after ten", "before 10m", 600, None, "after  5m"]
)
def test_a_rule_is_written_as_after_and_a_time(text):
    with pytest.raises(ValidationError) as caught:
        Component.model_validate({"name": "a", "hosts": "b", "allow_async": text or ""})
    assert "write it as" in str(caught.value)


def test_a_rule_that_is_written_well():
    component = Component.model_validate({"name": "a", "hosts": "b", "allow_async": "after 1h30m"})
    assert component.allow_async == timedelta(minutes=90)


@pytest.mark.parametrize(
    ("seconds", "text"), [(600, "10m"), (5400, "1h30m"), (90, "1m30s"), (0, "0s")]
)
def test_seconds_as_a_site_file_says_them(seconds, text):
    assert written(seconds) == text
