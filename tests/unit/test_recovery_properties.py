"""The engine against a model of a few lines, on random graphs and random luck."""

from __future__ import annotations

from engine import FakeGates, FakePlaybooks, options, plan_of, run_to_end, verdicts
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator import order
from orchestrator.events import (
    ComponentBlocked,
    ComponentHealthy,
    ComponentHeld,
    ComponentVerified,
    GateFinished,
    GateStarted,
    PlaybookOutcome,
    PlaybookStarted,
    RunOutcome,
)
from orchestrator.state import UP, ComponentState
from orchestrator.work import GateResult

HEALTHY, REPAIRED, BROKEN, RED, UNAPPROVED = "healthy", "repaired", "broken", "red", "unapproved"
VERDICT = {
    HEALTHY: ComponentState.HEALTHY,
    REPAIRED: ComponentState.VERIFIED,
    BROKEN: ComponentState.FAILED,
    RED: ComponentState.FAILED,
    UNAPPROVED: ComponentState.HELD,
}


@st.composite
def graphs(draw):
    """A graph without cycles: each component stands on some of those drawn before it."""
    names = [f"c{number}" for number in range(draw(st.integers(1, 7)))]
    return {
        name: tuple(draw(st.sets(st.sampled_from(names[:place])))) if place else ()
        for place, name in enumerate(names)
    }


def model(graph, luck):
    """What must come out: a verdict for each component, and whom to blame for a blocked one."""
    expected, blame = {}, {}
    for name, below in graph.items():
        blamed = {root for b in below if expected[b] not in UP for root in blame[b]}
        expected[name] = ComponentState.BLOCKED if blamed else VERDICT[luck[name]]
        blame[name] = blamed or {name}
    return expected, blame


@settings(max_examples=150, deadline=None)
@given(graph=graphs(), data=st.data(), max_parallel=st.integers(1, 4))
def test_verdicts_order_and_blame_are_those_of_the_model(graph, data, max_parallel):
    luck = {name: data.draw(st.sampled_from(list(VERDICT)), label=name) for name in graph}
    of = {kind: {name for name in graph if luck[name] == kind} for kind in VERDICT}
    playbooks = FakePlaybooks(outcomes=dict.fromkeys(of[BROKEN], PlaybookOutcome.FAILED))
    gates = FakeGates(
        green=of[HEALTHY],
        repaired_by=playbooks,
        red_after_playbook=dict.fromkeys(of[RED], 10**6),
    )
    plan = plan_of(graph, settle=0, approval=dict.fromkeys(of[UNAPPROVED], "Sure?"))
    records = run_to_end(plan, playbooks, gates, options=options(max_parallel=max_parallel))

    expected, blame = model(graph, luck)
    assert verdicts(records) == expected
    recovered = set(expected.values()) <= UP
    assert (records[-1].event.outcome is RunOutcome.RECOVERED) == recovered
    blocked = {r.event.component: set(r.event.by) for r in records if is_blocked(r)}
    assert blocked == {n: blame[n] for n in graph if expected[n] is ComponentState.BLOCKED}

    order_is_kept(graph, records)
    blocked = {n for n in graph if expected[n] is ComponentState.BLOCKED}
    assert set(playbooks.started) == set(graph) - blocked - of[HEALTHY] - of[UNAPPROVED]
    assert len(playbooks.started) == len(set(playbooks.started))


@settings(max_examples=150, deadline=None)
@given(graph=graphs(), data=st.data(), max_parallel=st.integers(1, 4))
def test_what_is_red_only_because_of_what_it_stands_on_is_left_alone_in_its_turn(
    graph, data, max_parallel
):
    """Gates see the world: one is red as long as anything below is down, however healthy it is."""
    luck = {name: data.draw(st.sampled_from([HEALTHY, REPAIRED]), label=name) for name in graph}
    slow = {name: data.draw(st.sampled_from([0, 0.001, 0.004])) for name in graph}
    reach = order.stands_on(graph)
    playbooks = FakePlaybooks()
    own = FakeGates(green={n for n in graph if luck[n] == HEALTHY}, repaired_by=playbooks)

    def gates(request, tell, stop):
        stop.wait(slow[request.component])
        up = own.green | playbooks.succeeded
        result = own(request, tell, stop)
        return result if up.issuperset(reach[request.component]) else GateResult(green=False)

    plan = plan_of(graph, settle=30)
    records = run_to_end(plan, playbooks, gates, options=options(max_parallel=max_parallel))
    assert verdicts(records) == {name: VERDICT[luck[name]] for name in graph}
    order_is_kept(graph, records)


def order_is_kept(graph, records):
    """Nothing is done to a component before what it stands on is up; no stale look counts."""
    reach = order.stands_on(graph)
    up, verified, looks = {}, {}, {}
    for record in records:
        event, seq = record.event, record.seq
        name = getattr(event, "component", "")
        below = reach.get(name, ())
        match event:
            case GateStarted(attempt=0):
                assert name not in looks, "looked at ahead twice"
                assert all(n in looks for n in below)
                assert all(n in up and n not in verified for n in below if not graph[n])
                looks[name] = (seq, None)
            case GateStarted() | PlaybookStarted() | ComponentHeld():
                assert all(n in up for n in below)
                if isinstance(event, GateStarted):
                    looks[name] = (seq, None)
            case GateFinished(green=green):
                looks[name] = (looks[name][0], green)
            case ComponentHealthy():
                began, green = looks[name]
                assert green
                assert all(n in up for n in below)
                assert all(verified[n] < began for n in below if n in verified)
                up[name] = seq
            case ComponentVerified():
                assert all(n in up for n in below)
                up[name] = verified[name] = seq
            case ComponentBlocked():
                assert looks.get(name, (0, False))[1] is not None, "blocked in the midst of a look"


def is_blocked(record):
    return isinstance(record.event, ComponentBlocked)
