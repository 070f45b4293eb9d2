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
    HostStats,
    PlannedComponent,
    PlaybookFinished,
    PlaybookOutcome,
    PlaybookStarted,
    Record,
    RunFinished,
    RunOutcome,
    RunResumed,
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
        ((ComponentVerified(component="dns", degraded=("ns2",)),), ComponentState.DEGRADED),
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
    assert dns.gates == 3


def test_checks_are_those_of_the_last_gate_and_the_failing_ones_are_named():
    dns = dns_after(
        gate_started(),
        check(CheckOutcome.FAILED),
        gate_started(VERIFY),
        check(CheckOutcome.PASSED),
        check(CheckOutcome.SKIPPED, host="ns2"),
    )
    assert (dns.passed, dns.checks) == (1, 2)
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


@pytest.mark.parametrize(
    ("green", "state"), [(True, ComponentState.HEALTHY), (False, ComponentState.PENDING)]
)
def test_a_dry_run_leaves_a_component_as_its_gate_found_it(green, state):
    stats = {"ns1": HostStats(ok=3, changed=2)}
    dns = dns_after(
        gate_started(),
        gate_finished(green=green),
        PLAYBOOK,
        playbook_finished(stats=stats),
        dry_run=True,
    )
    assert (dns.state, dns.changed) == (state, 2)


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


RESUMED = RunResumed(plan_hash="1", components=(DNS,), away=7.0, approved=("dns",))


@pytest.mark.parametrize(
    "before",
    [
        [gate_started()],
        [PLAYBOOK],
        [PLAYBOOK, playbook_finished(), gate_started(VERIFY)],
        [ComponentVerified(component="dns")],
        [ComponentFailed(component="dns", reason="x", hint="y")],
        [ComponentHeld(component="dns", reason="x", hint="y")],
        [ComponentBlocked(component="dns", by=("routing",))],
        [RunFinished(outcome=RunOutcome.INTERRUPTED, seconds=1.0)],
    ],
)
def test_nothing_of_a_run_that_goes_on_counts_as_up_or_down_or_under_way(before):
    state = fold(records(*before, RESUMED))
    dns = state.components["dns"]
    assert (dns.state, dns.reason, dns.hint, dns.blocked_by, dns.task) == (
        ComponentState.PENDING, "", "", (), ""
    )  # fmt: skip
    assert (state.outcome, state.plan_hash, state.resumed) == (None, "1", (7.0,))
    assert state.approved == {"dns"}


@pytest.mark.parametrize(
    ("before", "then"),
    [((PLAYBOOK,), ComponentState.VERIFIED), ((gate_started(),), ComponentState.HEALTHY)],
    ids=["this run had worked on it", "nobody had"],
)
def test_what_a_run_that_goes_on_finds_up(before, then):
    found = (gate_started(), gate_finished(green=True), ComponentHealthy(component="dns"))
    assert dns_after(*before, RESUMED, *found).state is then
    again = dns_after(PLAYBOOK, RESUMED, *found)
    assert again.attempts == 1


def test_a_run_that_goes_on_may_be_of_other_components():
    web = PlannedComponent(name="web", layer="applications", hosts=("w1",))
    resumed = RunResumed(plan_hash="1", components=(web,), away=0.0)
    assert list(fold(records(PLAYBOOK, resumed)).components) == ["web"]


@pytest.mark.parametrize(
    ("outcome", "resumable"),
    [(None, True)] + [(outcome, outcome is RunOutcome.INTERRUPTED) for outcome in RunOutcome],
)
def test_what_can_go_on(outcome, resumable):
    end = [RunFinished(outcome=outcome, seconds=1.0)] if outcome else []
    assert fold(records(*end)).resumable is resumable
    assert not fold(records(*end, dry_run=True)).resumable


def recheck(*checks, green, **given):
    purpose = GatePurpose.RECHECK
    counts = {"passed": 1, "total": 2, "seconds": 1.0}
    ended = GateFinished(
        component="dns", purpose=purpose, attempt=1, green=green, **counts, **given
    )
    return (gate_started(purpose), *checks, ended)


def test_a_gate_that_is_repeated_leaves_what_is_known_and_is_counted_apart():
    up = (PLAYBOOK, playbook_finished(), gate_started(VERIFY), check(CheckOutcome.PASSED))
    up += (gate_finished(VERIFY, green=True), ComponentVerified(component="dns"))
    before = dns_after(*up)
    after = dns_after(*up, *recheck(check(CheckOutcome.FAILED), green=False))
    assert (after.rechecks, after.recheck_seconds) == (1, 1.0)
    for name in ("state", "since", "gates", "gate", "passed", "failing", "gate_seconds"):
        assert getattr(after, name) == getattr(before, name)


def test_a_repeated_gate_says_which_hosts_are_open_work_now():
    up = (PLAYBOOK, ComponentVerified(component="dns"))
    degraded = dns_after(*up, *recheck(green=True, degraded=("ns2",)))
    assert (degraded.state, degraded.degraded) == (ComponentState.DEGRADED, ("ns2",))
    whole = dns_after(*up, *recheck(green=True, degraded=("ns2",)), *recheck(green=True))
    assert (whole.state, whole.degraded) == (ComponentState.VERIFIED, ())


def test_what_turned_red_or_is_held_back_waits_and_says_why():
    up = (PLAYBOOK, ComponentVerified(component="dns", degraded=("ns2",)))
    red = dns_after(*up, TURNED_RED)
    assert (red.reason, red.turned_red, red.degraded) == ("gate red", 2, ())
    held = dns_after(*up, ComponentHeldBack(component="dns", by=("routing",)))
    assert held.blocked_by == ("routing",)
    looked_at = dns_after(*up, ComponentHeldBack(component="dns", by=("routing",)), gate_started())
    assert looked_at.blocked_by == ()
