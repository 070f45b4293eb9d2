"""The engine, on fast fakes of playbooks and gates: what it starts, when, and what it says."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest
from engine import PATIENCE, FakeGates, FakePlaybooks, options, plan_of, run_to_end, verdicts

from orchestrator.errors import MachineError
from orchestrator.events import (
    CheckOutcome,
    ComponentBlocked,
    ComponentFailed,
    ComponentHeld,
    GateFinished,
    GatePurpose,
    PlaybookFinished,
    PlaybookOutcome,
    PlaybookStarted,
    RunFinished,
    RunOutcome,
    TaskStarted,
)
from orchestrator.inbox import Inbox
from orchestrator.recovery import recover, verify
from orchestrator.run import Clock
from orchestrator.state import ComponentState, fold
from orchestrator.work import GateResult, PlaybookResult

CHAIN = {"routing": (), "dns": ("routing",), "portal": ("dns",)}
FORK = {"routing": (), "dns": ("routing",), "time": ("routing",), "portal": ("dns",)}


def kinds(records, component):
    return [r.event.kind for r in records if getattr(r.event, "component", "") == component]


def finished(records):
    assert isinstance(records[-1].event, RunFinished)
    return records[-1].event


def test_a_dark_site_is_recovered_in_order_each_component_proven_first():
    playbooks = FakePlaybooks()
    records = run_to_end(plan_of(CHAIN), playbooks, FakeGates(repaired_by=playbooks))
    assert finished(records).outcome is RunOutcome.RECOVERED
    assert playbooks.started == ["routing", "dns", "portal"]
    assert kinds(records, "dns") == [
        "gate_started",
        "check_finished",
        "gate_finished",
        "playbook_started",
        "task_started",
        "playbook_finished",
        "gate_started",
        "check_finished",
        "gate_finished",
        "component_verified",
    ]


def test_what_is_healthy_is_left_alone():
    playbooks = FakePlaybooks()
    records = run_to_end(plan_of(CHAIN), playbooks, FakeGates(green={"routing", "dns", "portal"}))
    assert playbooks.started == []
    assert set(verdicts(records).values()) == {ComponentState.HEALTHY}
    assert finished(records).outcome is RunOutcome.RECOVERED


def test_records_count_from_one_without_gaps_on_a_clock_that_only_goes_forward():
    playbooks = FakePlaybooks()
    records = run_to_end(plan_of(FORK), playbooks, FakeGates(repaired_by=playbooks))
    assert [r.seq for r in records] == list(range(1, len(records) + 1))
    assert [r.elapsed for r in records] == sorted(r.elapsed for r in records)


def test_a_playbook_that_succeeds_opens_nothing_when_the_gate_stays_red():
    playbooks = FakePlaybooks()
    gates = FakeGates(green={"routing"})
    records = run_to_end(plan_of(FORK, settle=0.2), playbooks, gates)
    assert verdicts(records) == {
        "routing": ComponentState.HEALTHY,
        "dns": ComponentState.FAILED,
        "time": ComponentState.FAILED,
        "portal": ComponentState.BLOCKED,
    }
    assert "portal" not in playbooks.started
    assert finished(records).outcome is RunOutcome.NOT_RECOVERED


@pytest.mark.parametrize("outcome", [PlaybookOutcome.FAILED, PlaybookOutcome.TIMED_OUT])
def test_a_playbook_that_did_not_succeed_fails_the_component_without_asking_the_gate(outcome):
    playbooks = FakePlaybooks(outcomes={"dns": outcome})
    gates = FakeGates(repaired_by=playbooks)
    records = run_to_end(plan_of(CHAIN), playbooks, gates)
    assert verdicts(records)["dns"] is ComponentState.FAILED
    assert (("dns", GatePurpose.VERIFY)) not in gates.asked
    [failed] = [r.event for r in records if isinstance(r.event, ComponentFailed)]
    assert outcome.value.replace("_", " ") in failed.reason
    assert "because the test says so" in failed.reason


def test_a_failure_blocks_all_that_stands_on_it_and_nothing_else():
    playbooks = FakePlaybooks(outcomes={"dns": PlaybookOutcome.FAILED})
    records = run_to_end(plan_of(FORK), playbooks, FakeGates(repaired_by=playbooks))
    assert verdicts(records) == {
        "routing": ComponentState.VERIFIED,
        "dns": ComponentState.FAILED,
        "time": ComponentState.VERIFIED,
        "portal": ComponentState.BLOCKED,
    }


def test_what_is_blocked_names_the_components_at_the_root_of_it():
    graph = {"a": (), "b": (), "c": ("a",), "d": ("c", "b")}
    playbooks = FakePlaybooks(
        outcomes={"a": PlaybookOutcome.FAILED, "b": PlaybookOutcome.TIMED_OUT}
    )
    records = run_to_end(plan_of(graph), playbooks, FakeGates())
    blocked = {r.event.component: r.event.by for r in records if type(r.event) is ComponentBlocked}
    assert blocked == {"c": ("a",), "d": ("a", "b")}


def test_the_gate_is_repeated_until_it_is_green_within_settle():
    playbooks = FakePlaybooks()
    gates = FakeGates(repaired_by=playbooks, red_after_playbook={"dns": 3})
    records = run_to_end(plan_of(CHAIN, settle=30), playbooks, gates)
    attempts = [
        r.event.attempt
        for r in records
        if isinstance(r.event, GateFinished)
        and r.event.component == "dns"
        and r.event.purpose is GatePurpose.VERIFY
    ]
    assert attempts == [1, 2, 3, 4]
    assert verdicts(records)["dns"] is ComponentState.VERIFIED


def test_a_component_that_wants_approval_is_held_with_its_question():
    plan = plan_of(CHAIN, approval={"dns": "Primary chosen?"})
    playbooks = FakePlaybooks()
    records = run_to_end(plan, playbooks, FakeGates(repaired_by=playbooks))
    [held] = [r.event for r in records if isinstance(r.event, ComponentHeld)]
    assert held.reason == "Primary chosen?"
    assert playbooks.started == ["routing"]
    assert verdicts(records)["portal"] is ComponentState.BLOCKED


def test_an_approved_component_goes_on():
    plan = plan_of(CHAIN, approval={"dns": "Primary chosen?"})
    playbooks = FakePlaybooks()
    gates = FakeGates(repaired_by=playbooks)
    records = run_to_end(plan, playbooks, gates, options=options(approved=frozenset({"dns"})))
    assert finished(records).outcome is RunOutcome.RECOVERED


def test_a_healthy_component_needs_no_approval():
    plan = plan_of(CHAIN, approval={"dns": "Primary chosen?"})
    records = run_to_end(plan, FakePlaybooks(), FakeGates(green=set(CHAIN)))
    assert finished(records).outcome is RunOutcome.RECOVERED


def test_independent_components_run_side_by_side():
    both = threading.Barrier(2, timeout=10)  # breaks, and fails the playbooks, if one comes alone
    playbooks = FakePlaybooks(during={"a": both.wait, "b": both.wait})
    records = run_to_end(plan_of({"a": (), "b": ()}), playbooks, FakeGates(repaired_by=playbooks))
    assert finished(records).outcome is RunOutcome.RECOVERED


def test_never_more_than_max_parallel_at_once():
    graph = dict.fromkeys("abcdef", ())
    playbooks = FakePlaybooks(during=dict.fromkeys(graph, lambda: time.sleep(0.02)))
    run_to_end(
        plan_of(graph), playbooks, FakeGates(repaired_by=playbooks), options=options(max_parallel=2)
    )
    assert playbooks.most_at_once == 2


def test_verify_runs_every_gate_once_and_no_playbook():
    gates = FakeGates(green={"routing", "portal"})
    with closing(verify(plan_of(CHAIN), gates, options=options())) as records:
        events = list(records)
    assert finished(events).outcome is RunOutcome.NOT_VERIFIED
    assert sorted(gates.asked) == sorted((name, GatePurpose.VERIFY) for name in CHAIN)
    assert verdicts(events)["portal"] is ComponentState.VERIFIED


def test_verify_of_a_site_that_is_up_is_verified():
    with closing(verify(plan_of(CHAIN), FakeGates(green=set(CHAIN)), options=options())) as records:
        assert finished(list(records)).outcome is RunOutcome.VERIFIED


def test_components_left_out_of_the_plan_are_not_waited_for():
    plan = plan_of({"portal": ("dns",)})
    playbooks = FakePlaybooks()
    run_to_end(plan, playbooks, FakeGates(repaired_by=playbooks))
    assert playbooks.started == ["portal"]


def test_a_check_told_on_the_way_and_one_only_in_the_result_are_each_recorded_once():
    for tells in (True, False):
        gates = FakeGates(green={"dns"}, tells=tells)
        records = run_to_end(plan_of({"dns": ()}), FakePlaybooks(), gates)
        assert kinds(records, "dns").count("check_finished") == 1


def test_an_expected_error_of_a_tool_fails_its_component_alone():
    def no_disk():
        raise MachineError("no room for artifacts", hint="Free some.")

    playbooks = FakePlaybooks(during={"dns": no_disk})
    records = run_to_end(plan_of(FORK), playbooks, FakeGates(repaired_by=playbooks))
    states = verdicts(records)
    assert (states["dns"], states["time"]) == (ComponentState.FAILED, ComponentState.VERIFIED)
    assert "Free some." in fold(records).components["dns"].reason


def test_a_bug_in_a_worker_ends_the_run_and_its_end_is_recorded_before_it_is_raised():
    def bug():
        raise ZeroDivisionError

    playbooks = FakePlaybooks(during={"dns": bug})
    records = []
    events = recover(plan_of(FORK), playbooks, FakeGates(repaired_by=playbooks), options=options())
    with pytest.raises(ZeroDivisionError), closing(events):
        records.extend(events)
    assert finished(records).outcome is RunOutcome.INTERRUPTED
    assert "ZeroDivisionError" in finished(records).reason


@pytest.mark.parametrize(
    "kind", ["gate_started", "check_finished", "playbook_started", "gate_finished"]
)
def test_a_stop_request_ends_work_and_run_in_good_order(kind):
    playbooks = FakePlaybooks(patient={"dns"})
    inbox, records = Inbox(), []
    gates = FakeGates(repaired_by=playbooks)
    events = recover(plan_of(FORK), playbooks, gates, options=options(), inbox=inbox)
    with closing(events):
        for record in events:
            records.append(record)
            if record.event.kind == kind and record.event.component == "dns":
                inbox.request_stop("SIGINT")
    assert finished(records).outcome is RunOutcome.INTERRUPTED
    assert finished(records).reason == "SIGINT"
    assert "portal" not in playbooks.started
    assert not playbooks.running
    started = [r.event for r in records if isinstance(r.event, PlaybookStarted)]
    ended = [r.event for r in records if isinstance(r.event, PlaybookFinished)]
    assert sorted(e.component for e in started) == sorted(e.component for e in ended)


@pytest.mark.parametrize(
    ("takes", "longest"),
    [
        (0.0, 1.0),
        (0.2, 1.0),
        (0.5, 2.0),
        (3.0, 5.0),
    ],  # of a gate; four times as long, within 1 to 5
)
def test_waits_within_settle_grow_from_a_tenth_of_a_second_and_fill_it(takes, longest):
    now, waited = [0.0], []

    def wait(seconds, _stop):
        waited.append(seconds)
        now[0] += seconds + 1e-6  # as any clock, it never stands still

    class Slow(FakeGates):
        def __call__(self, *asked):
            now[0] += takes
            return super().__call__(*asked)

    gates = Slow()
    records = run_to_end(
        plan_of({"dns": ()}, settle=40),
        FakePlaybooks(),
        gates,
        clock=Clock(monotonic=lambda: now[0], wait=wait),
    )
    assert verdicts(records) == {"dns": ComponentState.FAILED}
    assert len(gates.asked) == 1 + len(waited) + 1  # observed; then a gate before and after each
    *grown, last = waited
    assert grown == pytest.approx([min(0.1 * 1.5**n, longest) for n in range(len(grown))])
    assert 0 < last <= longest
    in_gates = takes * (len(waited) + 1)
    assert 40 - 0.01 <= sum(waited) + in_gates <= 40 + takes + 0.01


def test_a_stop_during_settle_does_not_wait_for_its_end():
    inbox, records = Inbox(), []
    plan = plan_of({"dns": ()}, settle=600)
    events = recover(plan, FakePlaybooks(), FakeGates(), options=options(), inbox=inbox)
    begun = time.monotonic()
    with closing(events):
        for record in events:
            records.append(record)
            if isinstance(record.event, GateFinished) and record.event.attempt == 3:
                inbox.request_stop("SIGTERM")
    assert time.monotonic() - begun < 300
    assert finished(records).outcome is RunOutcome.INTERRUPTED


def test_a_stop_after_the_last_verdict_does_not_take_the_result_away():
    inbox, records = Inbox(), []
    events = recover(
        plan_of({"dns": ()}),
        FakePlaybooks(),
        FakeGates(green={"dns"}),
        options=options(),
        inbox=inbox,
    )
    with closing(events):
        for record in events:
            records.append(record)
            if record.event.kind == "component_healthy":
                inbox.request_stop("SIGINT")
    assert finished(records).outcome is RunOutcome.RECOVERED


def test_a_run_that_winds_down_waits_for_its_workers_and_asks_for_nothing_else():
    """A look that would be due is not to come any more."""
    asked = []

    class Counting(Inbox):
        def get(self, patience):
            asked.append(patience)
            return super().get(patience)

    inbox = Counting()

    def stop_then_work_on():
        inbox.request_stop("SIGTERM")
        deadline = time.monotonic() + 0.2
        while time.monotonic() < deadline:
            time.sleep(0.01)

    playbooks = FakePlaybooks(during={"portal": stop_then_work_on})
    plan = plan_of({"routing": (), "portal": ("routing",)}, recheck=0.01, settle=0)
    gates = FakeGates(repaired_by=playbooks)
    records = run_to_end(plan, playbooks, gates, inbox=inbox)
    assert finished(records).outcome is RunOutcome.INTERRUPTED
    assert len(asked) < 100


def run_with_a_late_look(result, *, at_the_end=lambda inbox: None):
    """A look at routing is under way when portal, the last, is verified; then it comes to `result`.

    Between the two `at_the_end` is called. What was recorded, and the bug that was raised.
    """
    playbooks = FakePlaybooks()
    base = FakeGates(repaired_by=playbooks)
    under_way, portal_verified = threading.Event(), threading.Event()
    inbox, records, raised = Inbox(), [], None

    def gates(request, tell, stop):
        if request.purpose is GatePurpose.RECHECK and "portal" in playbooks.started:
            under_way.set()
            assert portal_verified.wait(PATIENCE)
            return result()
        if request.component == "portal" and request.purpose is GatePurpose.VERIFY:
            assert under_way.wait(PATIENCE)
        return base(request, tell, stop)

    plan = plan_of({"routing": (), "portal": ("routing",)}, recheck=0.01, settle=0)
    try:
        with closing(recover(plan, playbooks, gates, options=options(), inbox=inbox)) as events:
            for record in events:
                records.append(record)
                event = record.event
                if event.kind == "component_verified" and event.component == "portal":
                    at_the_end(inbox)
                    portal_verified.set()
    except ZeroDivisionError as bug:
        raised = bug
    return records, raised


def test_a_stop_does_not_hide_a_red_last_look():
    red = GateResult(green=False, reasons=("r1: ospf is down",))
    records, _ = run_with_a_late_look(
        lambda: red, at_the_end=lambda inbox: inbox.request_stop("SIGINT")
    )
    assert {*verdicts(records).values()} == {ComponentState.VERIFIED}
    assert finished(records).outcome is RunOutcome.INTERRUPTED
    assert finished(records).reason == "SIGINT"


def test_a_stop_before_the_last_looks_leaves_open_whether_all_is_up(monkeypatch):
    monkeypatch.setattr("orchestrator.rounds.LAST", -1.0)
    records, _ = run_with_a_late_look(
        lambda: GateResult(green=True), at_the_end=lambda inbox: inbox.request_stop("SIGINT")
    )
    assert finished(records).outcome is RunOutcome.INTERRUPTED


def test_a_bug_in_a_look_that_counts_no_more_is_no_recovery():
    def bug():
        raise ZeroDivisionError

    records, raised = run_with_a_late_look(bug)
    assert raised
    assert finished(records).outcome is RunOutcome.INTERRUPTED
    assert "ZeroDivisionError" in finished(records).reason


def run_and_close_after(number, playbooks):
    """Close the generator when it has yielded `number` records; return them."""
    gates = FakeGates(repaired_by=playbooks, red_after_playbook={"dns": 1})
    records = []
    with closing(
        recover(plan_of(FORK), playbooks, gates, options=options(max_parallel=1))
    ) as events:
        for record in events:
            records.append(record)
            if len(records) == number:
                break
    return records


def test_at_whichever_record_it_is_closed_no_playbook_started_unrecorded_and_none_is_left(
    monkeypatch,
):
    monkeypatch.setattr("orchestrator.script.FIRST_PAUSE", 0.001)
    whole = len(run_and_close_after(None, FakePlaybooks()))
    assert whole > 40
    for number in range(1, whole + 1):
        playbooks = FakePlaybooks()
        records = run_and_close_after(number, playbooks)
        recorded = [r.event.component for r in records if isinstance(r.event, PlaybookStarted)]
        assert playbooks.started in (recorded, recorded[:-1]), f"closed after record {number}"
        assert not playbooks.running
        assert not [t for t in threading.enumerate() if t.name.startswith("drcli")]


def test_a_playbook_whose_start_could_not_be_recorded_never_starts():
    playbooks = FakePlaybooks()
    with closing(
        recover(plan_of({"dns": ()}), playbooks, FakeGates(), options=options())
    ) as events:
        for record in events:
            if isinstance(record.event, PlaybookStarted):
                break  # as when the journal refuses it
    assert playbooks.started == []


def test_tasks_are_told_as_they_come():
    tasks = ("first", "second")
    playbooks = FakePlaybooks(tasks=tasks)
    records = run_to_end(plan_of({"dns": ()}), playbooks, FakeGates(repaired_by=playbooks))
    assert tuple(r.event.task for r in records if isinstance(r.event, TaskStarted)) == tasks


def test_outcomes_of_checks_are_counted():
    records = run_to_end(plan_of({"dns": ()}, settle=0), FakePlaybooks(), FakeGates())
    last = [r.event for r in records if isinstance(r.event, GateFinished)][-1]
    assert (last.passed, last.total, last.green) == (0, 1, False)
    assert fold(records).components["dns"].failing[0].outcome is CheckOutcome.FAILED


def looks_ahead(records):
    return [
        r.event.component for r in records if r.event.kind == "gate_started" and not r.event.attempt
    ]


class LosesWorkers:
    """Playbooks whose worker is lost, with these hosts, the first times."""

    def __init__(self, times):
        self.times = times
        self.requests = []
        self.succeeded = set()

    def __call__(self, request, tell, stop):
        self.requests.append(request)
        if len(self.requests) <= self.times:
            lost = request.hosts[-1:]
            return PlaybookResult(outcome=PlaybookOutcome.LOST, lost=lost, reasons=("worker lost",))
        self.succeeded.add(request.component)
        return PlaybookResult(outcome=PlaybookOutcome.SUCCEEDED)
