"""The fold: what a run's records come to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from engine import FakeGates, FakePlaybooks, plan_of, run_to_end

from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentHeldBack,
    ComponentTurnedRed,
    ComponentVerified,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlannedComponent,
    PlaybookFinished,
    PlaybookOutcome,
    PlaybookStarted,
    Record,
    RunOutcome,
    RunStarted,
    TaskFailed,
    TaskStarted,
    UnknownEvent,
)
from orchestrator.state import ComponentState, RunState, advance, fold

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DNS = PlannedComponent(name="dns", layer="network", hosts=("ns1", "ns2"), needs=("routing",))
OBSERVE, VERIFY = GatePurpose.OBSERVE, GatePurpose.VERIFY


def records(*events, dry_run=False):
    started = RunStarted(site="lab-a", plan_hash="0", components=(DNS,), dry_run=dry_run)
    return [
        Record(run="r1", seq=seq, at=NOON, elapsed=float(seq), event=event)
        for seq, event in enumerate((started, *events), start=1)
    ]


def dns_after(*events, dry_run=False):
    return fold(records(*events, dry_run=dry_run)).components["dns"]


def gate_started(purpose=OBSERVE, attempt=1):
    return GateStarted(component="dns", purpose=purpose, attempt=attempt)


def gate_finished(purpose=OBSERVE, *, green=False, seconds=2.0):
    counts = {"passed": int(green), "total": 1}
    return GateFinished(
        component="dns", purpose=purpose, attempt=1, green=green, seconds=seconds, **counts
    )


def check(outcome, host="ns1"):
    return CheckFinished(component="dns", check="t", host=host, outcome=outcome, seconds=0.1)


TURNED_RED = ComponentTurnedRed(component="dns", times=2, reason="gate red")
PLAYBOOK = PlaybookStarted(component="dns", playbook="dns.yml", hosts=("ns1",), attempt=1)


def playbook_finished(outcome=PlaybookOutcome.SUCCEEDED, **given):
    return PlaybookFinished(component="dns", attempt=1, outcome=outcome, seconds=5.0, **given)


def test_nothing_recorded_is_an_empty_state():
    assert fold([]) == RunState()


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ((), ComponentState.PENDING),
        ((gate_started(),), ComponentState.OBSERVING),
        ((gate_started(), PLAYBOOK), ComponentState.RECOVERING),
        ((PLAYBOOK, playbook_finished(), gate_started(VERIFY)), ComponentState.VERIFYING),
        ((ComponentHealthy(component="dns"),), ComponentState.HEALTHY),
        ((ComponentVerified(component="dns"),), ComponentState.VERIFIED),
        ((TURNED_RED,), ComponentState.PENDING),
        ((ComponentHeldBack(component="dns", by=("routing",)),), ComponentState.PENDING),
        ((ComponentFailed(component="dns", reason="no"),), ComponentState.FAILED),
        ((ComponentHeld(component="dns", reason="ask"),), ComponentState.HELD),
        ((ComponentBlocked(component="dns", by=("routing",)),), ComponentState.BLOCKED),
    ],
    ids=lambda value: value.value if isinstance(value, ComponentState) else "",
)
def test_each_event_leads_to_its_state(events, state):
    assert dns_after(*events).state is state


def test_seconds_are_summed_by_what_they_were_spent_on():
    dns = dns_after(
        gate_started(),
        gate_finished(seconds=1.5),
        PLAYBOOK,
        playbook_finished(),
        gate_started(VERIFY),
        gate_finished(VERIFY, seconds=2.0),
        gate_started(VERIFY, attempt=2),
        gate_finished(VERIFY, green=True, seconds=3.0),
    )
    assert (dns.observe_seconds, dns.playbook_seconds, dns.gate_seconds) == (1.5, 5.0, 5.0)


def test_checks_are_those_of_the_last_gate_and_the_failing_ones_are_named():
    dns = dns_after(
        gate_started(),
        check(CheckOutcome.FAILED),
        gate_started(VERIFY),
        check(CheckOutcome.PASSED),
        check(CheckOutcome.SKIPPED, host="ns2"),
    )
    assert dns.passed == 1
    assert [c.host for c in dns.failing] == ["ns2"]


def test_failures_are_kept_ignored_and_rescued_ones_too():
    failures = [
        TaskFailed(component="dns", host="ns1", task="a", message="m", ignored=True),
        TaskFailed(component="dns", host="ns1", task="b", message="m", rescued=True),
    ]
    assert dns_after(PLAYBOOK, *failures).failures == tuple(failures)


def test_the_current_task_is_known_and_since_when_the_state_lasts():
    task = TaskStarted(component="dns", play="p", task="Start unbound")
    dns = dns_after(gate_started(), PLAYBOOK, task)
    assert (dns.task, dns.since, dns.attempts) == ("Start unbound", 3.0, 1)


def test_unknown_kinds_and_unknown_components_change_nothing_but_the_count():
    known = records()
    state = fold(known)
    for seq, event in enumerate(
        [UnknownEvent(kind="moon_landed", on="sunday"), ComponentVerified(component="moon")], 2
    ):
        state = advance(state, Record(run="r1", seq=seq, at=NOON, elapsed=9.0, event=event))
    assert state.components == fold(known).components
    assert (state.last_seq, state.elapsed) == (3, 9.0)


def test_folding_all_at_once_and_one_by_one_is_the_same_for_a_real_run():
    playbooks = FakePlaybooks()
    graph = {"routing": (), "dns": ("routing",)}
    whole = run_to_end(plan_of(graph), playbooks, FakeGates(repaired_by=playbooks))
    state = RunState()
    for record in whole:
        state = advance(state, record)
    assert state == fold(whole)
    assert state.outcome is RunOutcome.RECOVERED
    assert {layer: [c.name for c in of] for layer, of in state.layers.items()} == {
        "network": ["routing", "dns"]
    }


def recheck(*checks, green, **given):
    purpose = GatePurpose.RECHECK
    counts = {"passed": 1, "total": 2, "seconds": 1.0}
    ended = GateFinished(
        component="dns", purpose=purpose, attempt=1, green=green, **counts, **given
    )
    return (gate_started(purpose), *checks, ended)


def test_a_gate_that_is_repeated_leaves_what_is_known():
    up = (PLAYBOOK, playbook_finished(), gate_started(VERIFY), check(CheckOutcome.PASSED))
    up += (gate_finished(VERIFY, green=True), ComponentVerified(component="dns"))
    before = dns_after(*up)
    after = dns_after(*up, *recheck(check(CheckOutcome.FAILED), green=False))
    for name in ("state", "since", "gate", "passed", "failing", "gate_seconds"):
        assert getattr(after, name) == getattr(before, name)


UP = (PLAYBOOK, gate_started(VERIFY), gate_finished(VERIFY, green=True))
UP += (ComponentVerified(component="dns"),)


@pytest.mark.parametrize(
    ("later", "red"),
    [
        ((), False),
        (recheck(green=False), True),
        (recheck(green=False) + recheck(green=False), True),
        (recheck(green=False) + recheck(green=True), False),
        ((*recheck(green=False), TURNED_RED), False),
        (recheck(green=False, reasons=("stopped",)), False),
        (recheck(green=False, reasons=("stopped before it started",)), False),
        (recheck(green=False) + recheck(green=False, reasons=("stopped",)), True),
    ],
    ids=["none", "once", "twice", "green since", "decided", "stopped", "not begun", "kept"],
)
def test_a_red_look_at_what_is_up_is_known_until_a_green_one_or_a_verdict(later, red):
    assert dns_after(*UP, *later).red_again is red


def test_what_turned_red_or_is_held_back_waits_and_says_why():
    up = (PLAYBOOK, ComponentVerified(component="dns"))
    red = dns_after(*up, TURNED_RED)
    assert (red.reason, red.turned_red) == ("gate red", 2)
    held = dns_after(*up, ComponentHeldBack(component="dns", by=("routing",)))
    assert held.blocked_by == ("routing",)
    looked_at = dns_after(*up, ComponentHeldBack(component="dns", by=("routing",)), gate_started())
    assert looked_at.blocked_by == ()
