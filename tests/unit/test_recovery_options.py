"""A run that a person narrowed: from a component on, or as a dry run that changes nothing."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from engine import PATIENCE, FakeGates, FakePlaybooks, options, plan_of, run_to_end, verdicts

from orchestrator.events import (
    GatePurpose,
    PlaybookOutcome,
    RunOutcome,
    RunStarted,
)
from orchestrator.report import exit_code, state_line
from orchestrator.state import ComponentState, fold

CHAIN = {"routing": (), "dns": ("routing",), "database": ("routing", "dns")}
ASIDE = {**CHAIN, "alone": ()}


def from_(start, graph=None):
    plan = plan_of(graph or CHAIN)
    names = [component.name for component in plan.components]
    early = names[: names.index(start)]
    components = tuple(replace(c, gate_only=c.name in early) for c in plan.components)
    return replace(plan, components=components)


def test_what_comes_before_is_looked_at_and_not_touched():
    playbooks = FakePlaybooks()
    gates = FakeGates(green={"routing"}, repaired_by=playbooks)
    states = verdicts(run_to_end(from_("dns"), playbooks, gates))
    assert playbooks.started == ["dns", "database"]
    assert ("routing", GatePurpose.OBSERVE) in gates.asked
    assert [*states.values()] == ["healthy", "verified", "verified"]


def test_what_comes_before_and_is_down_fails_and_blocks_what_stands_on_it():
    playbooks = FakePlaybooks()
    gates = FakeGates(repaired_by=playbooks)
    records = run_to_end(from_("dns", ASIDE), playbooks, gates)
    components = fold(records).components
    assert playbooks.started == ["alone"]
    assert [c.state for c in components.values()] == ["failed", "blocked", "blocked", "verified"]
    assert "down, and --from leaves its playbook out" in components["routing"].reason
    assert records[-1].event.outcome is RunOutcome.NOT_RECOVERED


def test_what_comes_before_and_turns_red_later_is_not_touched_either():
    playbooks = FakePlaybooks()
    gates = FakeGates(green={"routing"}, repaired_by=playbooks)

    def fall():
        gates.green.discard("routing")
        deadline = time.monotonic() + PATIENCE
        while gates.asked.count(("routing", GatePurpose.RECHECK)) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    playbooks.during = {"dns": fall}
    plan = from_("dns")
    plan = replace(plan, components=tuple(replace(c, recheck=0.001) for c in plan.components))
    states = verdicts(run_to_end(plan, playbooks, gates))
    assert "routing" not in playbooks.started
    assert states["routing"] == "failed"


def dry(playbooks, gates, plan=None, **given):
    return run_to_end(
        plan or plan_of(CHAIN), playbooks, gates, options=options(check=True, **given)
    )


def test_a_dry_run_goes_through_the_whole_plan_and_verifies_nothing():
    playbooks = FakePlaybooks()
    gates = FakeGates(green={"routing"})
    records = dry(playbooks, gates)
    state = fold(records)
    assert playbooks.started == ["dns", "database"]
    assert {purpose for _, purpose in gates.asked} == {GatePurpose.OBSERVE}
    assert [c.state for c in state.components.values()] == [
        ComponentState.HEALTHY,
        ComponentState.WOULD_RECOVER,
        ComponentState.WOULD_RECOVER,
    ]
    assert next(r.event for r in records if isinstance(r.event, RunStarted)).dry_run
    assert state.outcome is RunOutcome.DRY_RUN_ENDED_WELL
    assert exit_code(state) == 0
    said = state_line(state)
    assert "dry run: nothing was changed; 0 tasks would change" in said
    assert "2 would recover; 1 healthy already" in said
    assert "recovered in" not in said


def test_a_playbook_that_fails_in_a_dry_run_blocks_what_stands_on_it():
    playbooks = FakePlaybooks(outcomes={"dns": PlaybookOutcome.FAILED})
    state = fold(dry(playbooks, FakeGates()))
    assert [c.state for c in state.components.values()] == ["would recover", "failed", "blocked"]
    assert state.components["dns"].reason.startswith("dry run: playbook failed")
    assert state.outcome is RunOutcome.DRY_RUN_FAILED
    assert exit_code(state) == 1
    assert "nothing was changed" not in state_line(state)


def test_a_dry_run_asks_nobody_and_leaves_out_what_comes_before():
    playbooks = FakePlaybooks()
    plan = plan_of({"dns": ()}, approval={"dns": "Sure?"})
    assert verdicts(dry(playbooks, FakeGates(), plan)) == {"dns": "would recover"}
    playbooks = FakePlaybooks()
    assert verdicts(dry(playbooks, FakeGates(), from_("dns")))["routing"] == "failed"
    assert playbooks.started == []


def test_a_dry_run_does_not_look_again_at_what_would_be_up():
    playbooks = FakePlaybooks()
    gates = FakeGates(green={"routing"})
    plan = plan_of(CHAIN, recheck=0.0001)
    dry(playbooks, gates, plan)
    assert [name for name, _ in gates.asked] == ["routing", "dns", "database"]


@pytest.mark.parametrize("check", [True, False])
def test_the_last_line_of_a_limited_run_names_the_hosts_and_claims_no_site(check):
    playbooks = FakePlaybooks()
    gates = FakeGates(repaired_by=playbooks)
    given = options(check=check, limit="dns-*")
    state = fold(run_to_end(plan_of({"dns": ()}), playbooks, gates, options=given))
    assert " on dns-1, dns-2 only" in state_line(state)
