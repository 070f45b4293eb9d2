"""What people ask of a run that goes on, on fakes: answers, holds, retries, waivers, its end."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from engine import FakeGates, FakePlaybooks, options, plan_of, verdicts

from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentHeld,
    GatePurpose,
    PlaybookOutcome,
    RunOutcome,
)
from orchestrator.inbox import HungUp, Inbox
from orchestrator.recovery import recover
from orchestrator.requests import (
    Approve,
    Cancel,
    Deny,
    Hold,
    Release,
    Requested,
    Retry,
    Waive,
)
from orchestrator.run import Clock
from orchestrator.state import ComponentState, RunState, fold
from orchestrator.work import GateResult

CHAIN = {"routing": (), "dns": ("routing",), "portal": ("dns",)}
SIDE = {"routing": (), "dns": ("routing",), "portal": ("dns",), "time": ()}
WAITING = options(wait=True, by="ann")
LATER = datetime.now(UTC) + timedelta(hours=4)


class Talk:
    """A recovery, and what people ask right after an event: `{(kind, component): request}`."""

    def __init__(self, plan, playbooks, gates, asks, *, by="bob", given=WAITING, **how):
        state = how.pop("state", RunState())
        self.inbox = Inbox()
        self.asks = {when: self._several(what) for when, what in asks.items()}
        self.by = by
        self.number = 0
        self.records = []
        engine = recover(plan, state, playbooks, gates, options=given, inbox=self.inbox, **how)
        with closing(engine) as records:
            for record in records:
                self.records.append(record)
                event = record.event
                for key in ((event.kind, getattr(event, "component", "")), event.kind):
                    for request in self.asks.pop(key, ()):
                        self.ask(request)
        assert not self.asks, "never came to that"

    @staticmethod
    def _several(what):
        return what if isinstance(what, list) else [what]

    def ask(self, request):
        self.number += 1
        by = self.by
        at = datetime.now(UTC)
        self.inbox.put(Requested(id=self.number, by=by, at=at, request=request))

    def kinds(self, component=None):
        return [
            r.event.kind
            for r in self.records
            if component is None or getattr(r.event, "component", "") == component
        ]

    def of(self, kind):
        return [r.event for r in self.records if r.event.kind == kind]

    @property
    def end(self):
        return self.records[-1].event

    @property
    def verdicts(self):
        return verdicts(self.records)


def asking(**given):
    """A plan whose dns asks for approval."""
    plan = plan_of(CHAIN, approval={"dns": "Primary chosen?"})
    components = tuple(replace(c, **given) if c.name == "dns" else c for c in plan.components)
    return replace(plan, components=components)


def dark():
    playbooks = FakePlaybooks()
    return playbooks, FakeGates(repaired_by=playbooks)


def test_a_run_waits_for_the_approval_and_goes_on_with_it():
    playbooks, gates = dark()
    asks = {("component_held", "dns"): Approve(component="dns", reason="db2 it is")}
    run = Talk(asking(), playbooks, gates, asks)
    [held] = run.of("component_held")
    assert (held.asks, held.hint) == (True, "drcli approve r1 dns")
    [given] = run.of("approval_given")
    assert (given.by, given.reason, given.request) == ("bob", "db2 it is", 1)
    assert run.end.outcome is RunOutcome.RECOVERED
    assert playbooks.started == ["routing", "dns", "portal"]


def test_after_the_approval_the_component_is_looked_at_again_first():
    playbooks, gates = dark()
    asks = {("component_held", "dns"): Approve(component="dns")}
    Talk(asking(), playbooks, gates, asks)
    assert [purpose for name, purpose in gates.asked if name == "dns"] == [
        GatePurpose.OBSERVE,
        GatePurpose.OBSERVE,
        GatePurpose.VERIFY,
    ]


def test_what_was_blocked_by_the_question_waits_again_once_it_is_answered():
    playbooks, gates = dark()
    asks = {("component_blocked", "portal"): Approve(component="dns")}
    run = Talk(asking(), playbooks, gates, asks)
    until = [r.event.kind for r in run.records].index("approval_given")
    assert fold(run.records[:until]).components["portal"].state is ComponentState.BLOCKED
    state = fold(run.records[: until + 1])
    assert state.components["portal"].state is ComponentState.PENDING
    assert state.components["dns"].state is ComponentState.PENDING
    assert run.verdicts["portal"] is ComponentState.VERIFIED


def test_other_components_go_on_while_a_question_is_open():
    playbooks, gates = dark()
    plan = plan_of(SIDE, approval={"dns": "Sure?"})
    asks = {("component_verified", "time"): Approve(component="dns")}
    run = Talk(plan, playbooks, gates, asks)
    assert run.end.outcome is RunOutcome.RECOVERED


def test_an_approval_may_come_before_the_question():
    playbooks, gates = dark()
    run = Talk(asking(), playbooks, gates, {"run_started": Approve(component="dns")})
    assert run.of("component_held") == []
    assert run.end.outcome is RunOutcome.RECOVERED


def test_a_denied_component_stays_held_and_the_run_ends():
    playbooks, gates = dark()
    asks = {("component_held", "dns"): Deny(component="dns", reason="standby is primary")}
    run = Talk(asking(), playbooks, gates, asks)
    assert run.end.outcome is RunOutcome.NOT_RECOVERED
    dns = fold(run.records).components["dns"]
    assert dns.state is ComponentState.HELD
    assert dns.reason == "Primary chosen? (denied by bob: standby is primary)"
    assert playbooks.started == ["routing"]


def test_a_question_that_nobody_answers_in_time_stays_held():
    playbooks, gates = dark()
    run = Talk(asking(approval_expires=0.2), playbooks, gates, {})
    assert run.kinds("dns")[-1] == "approval_expired"
    assert run.verdicts["dns"] is ComponentState.HELD
    assert playbooks.started == ["routing"]


def test_after_its_time_a_question_takes_no_answer_until_it_is_asked_again():
    playbooks, gates = dark()
    both = [Approve(component="dns"), Retry(component="dns")]
    asks = {("approval_expired", "dns"): both}
    plan = asking(approval_expires=0.5)
    run = Talk(plan, playbooks, gates, asks)
    [refused] = run.of("request_refused")
    assert "nobody approved it in time; have it asked again: drcli retry r1 dns" in refused.reason
    assert len(run.of("component_held")) == 2
    assert playbooks.started == ["routing"]


def test_who_started_the_run_may_not_approve_what_another_must():
    playbooks, gates = dark()
    plan = asking(by_another=True, approval_expires=0.5)
    asks = {("component_held", "dns"): Approve(component="dns")}
    run = Talk(plan, playbooks, gates, asks, by="ann")
    [refused] = run.of("request_refused")
    assert refused.reason == "ann started the run: dns must be approved by another person"
    asks = {("component_held", "dns"): Approve(component="dns")}
    playbooks, gates = dark()
    other = Talk(plan, playbooks, gates, asks, by="bob")
    assert other.end.outcome is RunOutcome.RECOVERED


def test_without_wait_a_run_ends_at_the_question():
    playbooks, gates = dark()
    run = Talk(asking(), playbooks, gates, {}, given=options())
    assert run.end.outcome is RunOutcome.NOT_RECOVERED
    [held] = run.of("component_held")
    assert held.hint == "drcli recover --site lab-a --approve dns"


def test_a_stop_ends_the_wait_and_the_run_can_go_on_later():
    playbooks, gates = dark()
    run = Talk(
        asking(), playbooks, gates, {("component_blocked", "portal"): Cancel(reason="lunch")}
    )
    assert run.end.outcome is RunOutcome.INTERRUPTED
    assert run.end.reason == "cancelled by bob: lunch"
    assert fold(run.records).resumable


def test_on_hold_nothing_new_starts_and_what_is_under_way_ends():
    inbox_free = threading.Event()
    playbooks = FakePlaybooks(during={"routing": lambda: inbox_free.wait(10)})
    gates = FakeGates(repaired_by=playbooks)
    run = []

    def release_later():
        run_records = run[0].records
        assert run_records

    asks = {
        ("playbook_started", "routing"): Hold(reason="smoke in the room"),
        ("component_verified", "routing"): Release(),
    }

    class Watched(Talk):
        def ask(self, request):
            super().ask(request)
            if isinstance(request, Hold):
                threading.Timer(0.1, inbox_free.set).start()

    talk = Watched(plan_of(CHAIN), playbooks, gates, asks)
    run.append(talk)
    release_later()
    kinds = talk.kinds()
    between = kinds[kinds.index("run_held") : kinds.index("run_released")]
    assert "component_verified" in between
    assert "playbook_started" not in between
    assert talk.end.outcome is RunOutcome.RECOVERED


def test_what_is_found_down_on_hold_is_not_begun_and_is_looked_at_again_after():
    playbooks, gates = dark()
    asks = {
        ("gate_started", "routing"): Hold(),
        ("component_postponed", "routing"): Release(),
    }
    looking = threading.Event()

    def slow(request, tell, stop):
        if not looking.is_set():
            looking.wait(0.3)  # until the hold is there
        return gates(request, tell, stop)

    run = Talk(plan_of(CHAIN), playbooks, slow, asks)
    kinds = run.kinds("routing")
    place = kinds.index("component_postponed")
    assert "playbook_started" not in kinds[:place]
    assert kinds[place + 1] == "gate_started"
    assert fold(run.records[: len(run.records)]).decided.hold is None
    assert run.end.outcome is RunOutcome.RECOVERED


def test_a_hold_outlives_the_process():
    playbooks, gates = dark()
    run = Talk(plan_of(CHAIN), playbooks, gates, {"run_started": [Hold(), Cancel()]})
    state = fold(run.records)
    assert state.decided.hold.by == "bob"
    again = Talk(plan_of(CHAIN), playbooks, gates, {"run_resumed": Release()}, state=state)
    assert "playbook_started" not in again.kinds()[: again.kinds().index("run_released")]
    assert again.end.outcome is RunOutcome.RECOVERED


def test_a_failed_component_is_tried_again_and_what_it_blocked_goes_on():
    playbooks = FakePlaybooks(outcomes={"dns": PlaybookOutcome.FAILED})
    gates = FakeGates(repaired_by=playbooks)

    class Mends(Talk):
        def ask(self, request):
            playbooks.outcomes.clear()
            super().ask(request)

    asks = {("component_failed", "dns"): Retry(component="dns", reason="disk is in")}
    run = Mends(plan_of(CHAIN), playbooks, gates, asks)
    assert run.end.outcome is RunOutcome.RECOVERED
    assert [r.attempt for r in playbooks.requests if r.component == "dns"] == [1, 2]
    [asked] = run.of("retry_asked")
    assert (asked.by, asked.reason) == ("bob", "disk is in")


class OneHostIsDead:
    """Gates of real shape: every check of `dead` is unreachable until its component is mended."""

    def __init__(self, playbooks, dead="dns-2", check=None):
        self.playbooks, self.dead, self.check = playbooks, dead, check
        self.requests = []

    def __call__(self, request, tell, stop):
        self.requests.append(request)
        up = request.component in self.playbooks.succeeded
        checks = []
        for host in request.hosts:
            bad = not up
            if request.component == "dns" and not bad:
                bad = host == self.dead if self.check is None else True
            outcome = CheckOutcome.PASSED
            if bad:
                dead = host == self.dead and self.check is None
                outcome = CheckOutcome.UNREACHABLE if dead else CheckOutcome.FAILED
            name = self.check or "test_it_works"
            checks.append(
                CheckFinished(
                    component=request.component, check=name, host=host, outcome=outcome, seconds=0
                )
            )
        gone = tuple(c.host for c in checks if c.outcome is CheckOutcome.UNREACHABLE)
        green = all(c.outcome is CheckOutcome.PASSED for c in checks)
        return GateResult(green=green, checks=tuple(checks), unreachable=gone, attributed=True)


def waive(**given):
    return Waive(**{"reason": "its disk is dead", "until": LATER} | given)


def test_a_waived_host_does_not_turn_the_gate_red_and_stays_visible():
    playbooks = FakePlaybooks()
    gates = OneHostIsDead(playbooks)
    run = Talk(plan_of(CHAIN, settle=0), playbooks, gates, {"run_started": waive(host="dns-2")})
    assert run.verdicts == {
        "routing": ComponentState.VERIFIED,
        "dns": ComponentState.WAIVED,
        "portal": ComponentState.VERIFIED,
    }
    [request] = [r for r in playbooks.requests if r.component == "dns"]
    assert request.hosts == ("dns-1",)
    dns = fold(run.records).components["dns"]
    assert dns.waived == ("host dns-2 of dns",)
    assert [c.outcome for c in dns.failing] == [CheckOutcome.UNREACHABLE]
    assert run.end.outcome is RunOutcome.DEGRADED


def test_without_the_waiver_the_same_host_turns_it_red():
    playbooks = FakePlaybooks()
    run = Talk(plan_of(CHAIN, settle=0), playbooks, OneHostIsDead(playbooks), {})
    assert run.verdicts["dns"] is ComponentState.FAILED


def test_a_waiver_of_another_host_changes_nothing():
    playbooks = FakePlaybooks()
    asks = {"run_started": waive(host="dns-1")}
    run = Talk(plan_of(CHAIN, settle=0), playbooks, OneHostIsDead(playbooks), asks)
    assert run.verdicts["dns"] is ComponentState.FAILED


def test_a_waiver_for_a_failed_component_has_its_gate_run_again():
    playbooks = FakePlaybooks()
    gates = OneHostIsDead(playbooks, check="test_quorum")
    asks = {("component_failed", "dns"): waive(check="test_quorum", component="dns")}
    run = Talk(plan_of(CHAIN, settle=0), playbooks, gates, asks)
    assert run.verdicts["dns"] is ComponentState.WAIVED
    assert run.verdicts["portal"] is ComponentState.VERIFIED
    assert len([r for r in playbooks.requests if r.component == "dns"]) == 1


def test_with_a_waiver_the_look_before_the_playbook_runs_every_check():
    playbooks = FakePlaybooks()
    gates = OneHostIsDead(playbooks)
    Talk(plan_of(CHAIN, settle=0), playbooks, gates, {"run_started": waive(host="dns-2")})
    looks = [r for r in gates.requests if r.purpose is GatePurpose.OBSERVE]
    assert {r.component for r in looks if r.to_the_end} == {"dns"}


def test_a_waiver_that_expires_turns_the_component_red_again():
    playbooks = FakePlaybooks()
    gates = OneHostIsDead(playbooks)
    until = datetime.now(UTC) + timedelta(seconds=1.5)
    graph = {**CHAIN, "slow": ()}
    playbooks.during["slow"] = lambda: threading.Event().wait(2.5)
    asks = {"run_started": waive(host="dns-2", until=until)}
    run = Talk(plan_of(graph, settle=0), playbooks, gates, asks)
    kinds = run.kinds("dns")
    assert kinds.index("component_waived") < kinds.index("waiver_expired")
    assert run.verdicts["dns"] is ComponentState.FAILED
    assert run.end.outcome is RunOutcome.NOT_RECOVERED


def test_a_wall_clock_that_goes_back_does_not_lengthen_a_waiver():
    playbooks = FakePlaybooks()
    begun = datetime.now(UTC)
    now = [begun]
    clock = Clock(wall=lambda: now[0])
    until = begun + timedelta(seconds=1)
    playbooks.during["slow"] = lambda: threading.Event().wait(2.5)

    class BackInTime(Talk):
        def ask(self, request):
            super().ask(request)
            threading.Timer(0.3, lambda: now.__setitem__(0, begun - timedelta(days=1))).start()

    run = BackInTime(
        plan_of({**CHAIN, "slow": ()}, settle=0),
        playbooks,
        OneHostIsDead(playbooks),
        {"run_started": waive(host="dns-2", until=until)},
        clock=clock,
    )
    assert len(run.of("waiver_expired")) == 1


def test_a_component_waived_as_a_whole_is_left_out_and_what_stands_on_it_goes_on():
    playbooks = FakePlaybooks(outcomes={"dns": PlaybookOutcome.FAILED})
    gates = FakeGates(repaired_by=playbooks)
    asks = {("component_failed", "dns"): waive(component="dns")}
    run = Talk(plan_of(CHAIN), playbooks, gates, asks)
    assert run.verdicts == {
        "routing": ComponentState.VERIFIED,
        "dns": ComponentState.WAIVED,
        "portal": ComponentState.VERIFIED,
    }
    assert run.end.outcome is RunOutcome.DEGRADED


def test_a_component_waived_before_its_turn_is_never_touched():
    playbooks, gates = dark()
    run = Talk(plan_of(CHAIN), playbooks, gates, {"run_started": waive(component="dns")})
    assert playbooks.started == ["routing", "portal"]
    assert "dns" not in {name for name, _ in gates.asked}
    assert run.end.outcome is RunOutcome.DEGRADED


def test_a_waiver_outlives_the_process():
    playbooks = FakePlaybooks()
    plan = plan_of(CHAIN, settle=0)
    gates = OneHostIsDead(playbooks)
    asks = {"run_started": waive(host="dns-2"), ("gate_started", "dns"): Cancel()}
    run = Talk(plan, playbooks, gates, asks)
    again = Talk(plan, playbooks, gates, {}, state=fold(run.records))
    assert again.end.outcome is RunOutcome.DEGRADED


def test_a_cancelled_run_ends_what_it_has_started():
    playbooks = FakePlaybooks(patient={"dns"})
    gates = FakeGates(repaired_by=playbooks)
    run = Talk(plan_of(CHAIN), playbooks, gates, {("task_started", "dns"): Cancel(reason="wrong")})
    assert run.end.outcome is RunOutcome.INTERRUPTED
    assert run.end.reason == "cancelled by bob: wrong"
    assert not playbooks.running
    assert run.kinds("dns")[-1] == "playbook_finished"


def test_what_is_asked_of_a_run_that_ends_is_refused():
    playbooks = FakePlaybooks(patient={"dns"})
    gates = FakeGates(repaired_by=playbooks)
    both = [Cancel(), Hold()]
    run = Talk(plan_of(CHAIN), playbooks, gates, {("task_started", "dns"): both})
    assert [e.reason for e in run.of("request_refused")] == ["the run is ending"]


def test_a_request_that_came_before_the_run_went_on_is_refused():
    playbooks, gates = dark()
    inbox = Inbox()
    late = Requested(id=7, by="bob", at=datetime.now(UTC), request=Cancel(), late=True)
    inbox.put(late)
    with closing(
        recover(plan_of(CHAIN), RunState(), playbooks, gates, options=WAITING, inbox=inbox)
    ) as records:
        events = [r.event for r in records]
    [refused] = [e for e in events if e.kind == "request_refused"]
    assert (refused.request, refused.asked) == (7, "cancel")
    assert "ask again" in refused.reason
    assert events[-1].outcome is RunOutcome.RECOVERED


def test_a_lost_terminal_is_recorded_once_and_ends_nothing():
    playbooks, gates = dark()

    class HangsUp(Talk):
        def ask(self, request):
            self.inbox.put(HungUp())
            self.inbox.put(HungUp())

    run = HangsUp(plan_of(CHAIN), playbooks, gates, {"run_started": Hold()})
    assert len(run.of("terminal_lost")) == 1
    assert run.end.outcome is RunOutcome.RECOVERED


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (Approve(component="dsn"), "no component 'dsn' in this run; did you mean 'dns'?"),
        (Approve(component="dns"), "dns asks for no approval"),
        (Deny(component="dns"), "dns is pending: nobody is asked"),
        (Release(), "nobody holds it"),
        (Retry(component="dns"), "dns is pending: only what failed is tried again"),
        (waive(host="dns-9"), "no component of this run has a host 'dns-9'"),
        (waive(host="dns-1", component="portal"), "portal has no host 'dns-1'"),
        (waive(check="test_b", component="dns"), "check 'test_b' of dns is not bad; none of its"),
        (None, "this version of drcli does not know it"),
    ],
)
def test_what_cannot_be_honoured_is_refused_with_the_reason(request_, reason):
    playbooks, gates = dark()
    run = Talk(plan_of(CHAIN), playbooks, gates, {"run_started": [request_]})
    [refused] = run.of("request_refused")
    assert reason in refused.reason
    assert run.end.outcome is RunOutcome.RECOVERED


def test_a_waiver_that_is_over_already_is_refused():
    playbooks, gates = dark()
    past = datetime.now(UTC) - timedelta(minutes=1)
    run = Talk(plan_of(CHAIN), playbooks, gates, {"run_started": waive(host="dns-1", until=past)})
    [refused] = run.of("request_refused")
    assert "is over already" in refused.reason


def test_a_held_component_has_its_own_event_each_time_it_is_asked():
    playbooks, gates = dark()
    asks = {
        ("component_held", "dns"): Deny(component="dns"),
        ("approval_denied", "dns"): Retry(component="dns"),
    }

    class ThenApproves(Talk):
        def ask(self, request):
            super().ask(request)
            if isinstance(request, Retry):
                self.asks[("component_held", "dns")] = [Approve(component="dns")]

    run = ThenApproves(asking(), playbooks, gates, asks)
    assert len([r for r in run.records if isinstance(r.event, ComponentHeld)]) == 2
    assert run.end.outcome is RunOutcome.RECOVERED
