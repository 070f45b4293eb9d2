"""Gates that must hold, and components that can do without some of their hosts."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from engine import plan_of
from simulation import Process, World

from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentTurnedRed,
    ComponentVerified,
    GateFinished,
    GatePurpose,
    HostStats,
    PlaybookOutcome,
    PlaybookStarted,
    RunOutcome,
)
from orchestrator.recovery import verify
from orchestrator.report import as_json, evidence, next_command, state_line, summary
from orchestrator.state import ComponentState, fold
from orchestrator.work import GateResult, PlaybookResult

HOSTS = ("web-1", "web-2", "web-3", "web-4")
OBSERVE, VERIFY, RECHECK = GatePurpose.OBSERVE, GatePurpose.VERIFY, GatePurpose.RECHECK


def plan(*, quorum=None, passes=1, over=0.0, settle=0.0, graph=None):
    made = plan_of(graph or {"web": ()}, settle=settle, recheck=5.0)
    first, *rest = made.components
    first = replace(first, hosts=HOSTS, quorum=quorum, passes=passes, over=over)
    return replace(made, components=(first, *rest))


class Farm:
    """Hosts that are up or not, each for itself; its playbook brings up all but the lost ones."""

    def __init__(self, *, up=(), lost=(), seed=0):
        self.world = World({"web": (), "portal": ("web",)}, random.Random(seed))
        self.up, self.lost = set(up), set(lost)
        self.broken_play = None
        self.requests, self.at = [], []

    def gates(self, request, tell, stop):
        self.requests.append(request)
        self.at.append(self.process.now)
        checks = tuple(
            CheckFinished(
                component=request.component,
                check="test_serves",
                host=host,
                outcome=CheckOutcome.PASSED if self.is_up(host) else CheckOutcome.UNREACHABLE,
                seconds=0.0,
            )
            for host in request.hosts
        )
        down = tuple(host for host in request.hosts if not self.is_up(host))
        return GateResult(
            green=not down,
            checks=checks,
            unreachable=down,
            attributed=not request.ends_early,
            reasons=tuple(f"{host}: no answer" for host in down),
        )

    def is_up(self, host):
        return host in self.up

    def playbooks(self, request, tell, stop):
        if self.broken_play:
            return self.broken_play
        self.up |= set(request.hosts) - self.lost
        lost = self.lost & set(request.hosts)
        stats = {host: HostStats(ok=1) for host in request.hosts if host not in lost}
        stats |= {host: HostStats(unreachable=1) for host in lost}
        outcome = PlaybookOutcome.FAILED if lost else PlaybookOutcome.SUCCEEDED
        return PlaybookResult(outcome=outcome, stats=stats)

    def recover(self, plan, **given):
        self.process = Process(plan, self.world, **given)
        self.process.gates = self.gates
        self.world.playbooks = self.playbooks
        return self.process.run()

    def passes(self):
        return [(at, r) for at, r in zip(self.at, self.requests, strict=True)]


def looks(records, purpose):
    return [
        e
        for e in (r.event for r in records)
        if isinstance(e, GateFinished) and e.purpose is purpose
    ]


def test_with_its_quorum_up_a_component_is_degraded_and_the_run_is_no_plain_success():
    records = Farm(lost={"web-3"}).recover(plan(quorum=3))
    state = fold(records)
    web = state.components["web"]
    assert state.outcome is RunOutcome.DEGRADED
    assert (web.state, web.degraded) == (ComponentState.DEGRADED, ("web-3",))
    assert "but DEGRADED: open work: web on web-3" in state_line(state)
    assert "open work on web-3" in summary(web)
    said = [line for _, line in evidence(web)]
    assert "open work: host web-3 is not up" in said
    assert any("no answer" in line for line in said)
    told = as_json(state, alive=False, at=records[-1].at)
    assert told["state"] == "degraded"
    assert told["components"][0]["degraded"] == ["web-3"]
    assert next_command(state) == "drcli show r1"


def test_what_stands_on_a_degraded_component_is_recovered():
    graph = {"web": (), "portal": ("web",)}
    records = Farm(lost={"web-3"}).recover(plan(quorum=3, graph=graph))
    assert fold(records).components["portal"].state is ComponentState.VERIFIED
    assert fold(records).outcome is RunOutcome.DEGRADED


def test_below_its_quorum_a_component_fails_and_says_how_many_are_up():
    records = Farm(lost={"web-3", "web-4"}).recover(plan(quorum=3))
    [failed] = [r.event for r in records if r.event.kind == "component_failed"]
    assert fold(records).outcome is RunOutcome.NOT_RECOVERED
    assert "unreachable" in failed.reason or "playbook failed" in failed.reason


def test_below_its_quorum_a_gate_says_how_many_are_up():
    farm = Farm(lost={"web-3", "web-4"})
    usual = farm.playbooks
    farm.playbooks = lambda *given: replace(usual(*given), outcome=PlaybookOutcome.SUCCEEDED)
    records = farm.recover(plan(quorum=3))
    [failed] = [r.event for r in records if r.event.kind == "component_failed"]
    assert "2 of 4 hosts are up, at least 3 must be" in failed.reason


def test_without_a_quorum_every_host_must_be_up():
    records = Farm(lost={"web-3"}).recover(plan())
    assert fold(records).outcome is RunOutcome.NOT_RECOVERED


def test_with_all_hosts_up_nothing_is_degraded():
    records = Farm().recover(plan(quorum=3))
    assert fold(records).outcome is RunOutcome.RECOVERED


def test_what_is_degraded_before_its_playbook_is_not_healthy():
    """The playbook may bring the missing hosts back."""
    farm = Farm(up=set(HOSTS) - {"web-2"})
    records = farm.recover(plan(quorum=3))
    assert farm.requests[0].ends_early
    assert [e.kind for e in (r.event for r in records) if isinstance(e, PlaybookStarted)]
    assert fold(records).components["web"].state is ComponentState.VERIFIED


@pytest.mark.parametrize(
    "outcome", [PlaybookOutcome.TIMED_OUT, PlaybookOutcome.LOST, PlaybookOutcome.FAILED]
)
def test_a_playbook_that_failed_otherwise_than_on_a_few_hosts_fails_the_component(outcome):
    farm = Farm()
    stats = {host: HostStats(ok=1) for host in HOSTS}
    farm.broken_play = PlaybookResult(outcome=outcome, stats=stats, reasons=("no such play",))
    assert fold(farm.recover(plan(quorum=3))).outcome is RunOutcome.NOT_RECOVERED


def test_hosts_the_playbook_did_not_fail_on_are_waited_for_as_long_as_the_component_settles():
    class SlowToBoot(Farm):
        def is_up(self, host):
            slow = host == "web-4" and self.process.now < ready
            return super().is_up(host) and not slow

    ready = 2_000.0
    records = SlowToBoot().recover(plan(quorum=3, settle=100_000.0))
    assert fold(records).components["web"].state is ComponentState.VERIFIED
    records = SlowToBoot().recover(plan(quorum=3, settle=1.0))
    assert fold(records).components["web"].degraded == ("web-4",)


def test_hosts_the_playbook_failed_on_are_not_waited_for():
    farm = Farm(lost={"web-3"})
    farm.recover(plan(quorum=3, settle=100_000.0))
    assert [r.purpose for r in farm.requests] == [OBSERVE, VERIFY]


def test_hosts_that_come_and_go_later_change_what_is_open_work():
    graph = {"web": (), "portal": ("web",)}
    for seed in range(30):
        farm = Farm(seed=seed)
        process_plan = plan(quorum=3, graph=graph)
        usual = farm.playbooks

        def playbooks(request, tell, stop, farm=farm, usual=usual):
            if request.component == "portal":
                farm.up.discard("web-2")
            return usual(request, tell, stop)

        farm.playbooks = playbooks
        records = farm.recover(process_plan)
        again = looks(records, RECHECK)
        if again and again[-1].degraded:
            break
    assert again[-1].green
    assert not [r for r in records if isinstance(r.event, ComponentTurnedRed)]
    state = fold(records)
    assert state.components["web"].degraded == ("web-2",)
    assert state.outcome is RunOutcome.DEGRADED


def test_gates_alone_say_degraded_too():
    farm = Farm(up=set(HOSTS) - {"web-1"})
    farm.process = Process(plan(quorum=3), farm.world)
    records = list(verify(plan(quorum=3), farm.gates, options=farm.process.options))
    state = fold(records)
    assert state.outcome is RunOutcome.DEGRADED
    assert state_line(state).startswith("lab-a: up but DEGRADED: open work: web on web-1")


def test_a_gate_must_pass_as_often_and_as_long_as_the_site_wants():
    farm = Farm()
    records = farm.recover(plan(passes=3, over=10.0))
    verified = [e for e in looks(records, VERIFY) if e.green]
    assert [(e.passes, e.wanted) for e in verified] == [(1, 3), (2, 3), (3, 3)]
    at = [at for at, r in farm.passes() if r.purpose is VERIFY]
    assert at[-1] - at[0] >= 10.0
    assert fold(records).components["web"].state is ComponentState.VERIFIED


def test_a_host_that_flaps_is_not_verified():
    class Flaps(Farm):
        def gates(self, request, tell, stop):
            self.flaps = len(self.requests) % 2
            return super().gates(request, tell, stop)

        def is_up(self, host):
            return super().is_up(host) and not (self.flaps and host == "web-1")

    records = Flaps().recover(plan(passes=2, over=5.0, settle=300.0))
    assert not [r for r in records if isinstance(r.event, ComponentVerified)]
    assert fold(records).outcome is RunOutcome.NOT_RECOVERED
    assert max(e.passes for e in looks(records, VERIFY)) == 1


def test_what_was_up_from_the_start_must_hold_as_well():
    farm = Farm(up=HOSTS)
    records = farm.recover(plan(passes=3, over=10.0))
    assert [e.passes for e in looks(records, OBSERVE)] == [1, 2, 3]
    assert fold(records).components["web"].state is ComponentState.HEALTHY


def test_a_gate_that_must_hold_is_not_looked_at_ahead_of_its_turn():
    graph = {"web": (), "portal": ("web",)}
    made = plan(graph=graph)
    web, portal = made.components
    made = replace(made, components=(web, replace(portal, passes=2, over=1.0)))
    farm = Farm(up=(*HOSTS, "portal-1", "portal-2"))
    records = farm.recover(made)
    assert {e.attempt for e in looks(records, OBSERVE)} == {1}
    assert fold(records).outcome is RunOutcome.RECOVERED


def test_how_far_a_gate_has_held_is_shown():
    farm = Farm()
    records = farm.recover(plan(passes=3, over=10.0))
    second = next(n for n, r in enumerate(records) if getattr(r.event, "passes", 0) == 2)
    web = fold(records[: second + 1]).components["web"]
    assert summary(web) == "4 of 4 checks passed; holds: 2 of 3 passes in a row"
