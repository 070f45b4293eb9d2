"""What past runs say of the next, from the records of real engine runs."""

from __future__ import annotations

from datetime import UTC, datetime

from engine import FakeGates, FakePlaybooks, options, plan_of, run_to_end

from orchestrator.events import (
    ComponentVerified,
    PlaybookOutcome,
    PlaybookStarted,
    Record,
    RunStarted,
)
from orchestrator.past import PastRun, Recovered, basis_of, past_run
from orchestrator.run import Clock
from orchestrator.work import AnsibleOptions

GRAPH = {"routing": (), "dns": ("routing",), "portal": ("dns",)}


class Ticks:
    """Monotonic seconds, one more at each look."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def recovered(component="dns", seconds=10.0, hosts=2, retry=0.0):
    return Recovered(component=component, hosts=hosts, seconds=seconds, retry=retry)


def run_of(*several, failed=(), seconds=None):
    return PastRun(run="r", seconds=seconds, recovered=several, failed=failed)


def test_a_run_says_what_it_brought_back_on_how_many_hosts_and_how_long_all_took():
    playbooks = FakePlaybooks()
    gates = FakeGates(green={"routing"}, repaired_by=playbooks)
    records = run_to_end(plan_of(GRAPH), playbooks, gates, clock=Clock(monotonic=Ticks()))
    past = past_run(records)
    assert [(each.component, each.hosts) for each in past.recovered] == [("dns", 2), ("portal", 2)]
    assert all(each.seconds > 0 and each.retry == 0 for each in past.recovered)
    assert past.seconds == records[-1].event.seconds


def test_a_failure_is_noted_and_the_run_says_nothing_of_the_whole():
    playbooks = FakePlaybooks(outcomes={"dns": PlaybookOutcome.FAILED})
    past = past_run(run_to_end(plan_of(GRAPH), playbooks, FakeGates(repaired_by=playbooks)))
    assert past.failed == ("dns",)
    assert past.seconds is None


def test_a_rehearsal_says_nothing():
    dry = options(ansible=AnsibleOptions(check=True))
    assert past_run(run_to_end(plan_of(GRAPH), FakePlaybooks(), FakeGates(), options=dry)) is None


def test_what_was_seen_on_as_many_hosts_counts_and_other_numbers_only_where_there_is_nothing_else():
    runs = [run_of(recovered(seconds=10.0, hosts=2)), run_of(recovered(seconds=99.0, hosts=40))]
    assert basis_of(runs, {"dns": 2})["dns"].seconds == (10.0,)
    other = basis_of(runs, {"dns": 7})["dns"]
    assert (other.seconds, other.other_hosts) == ((10.0, 99.0), True)


def test_failures_and_retries_are_part_of_what_is_known():
    runs = [run_of(recovered(retry=60.0), failed=("dns",)), run_of(recovered())]
    basis = basis_of(runs)["dns"]
    assert (basis.failed, basis.retries, basis.longest) == (1, (60.0,), 10.0)
    assert "portal" not in basis_of(runs)


def recovered_in(seconds, *, drill):
    each = Recovered(component="dns", hosts=1, seconds=seconds, drill=drill)
    return PastRun(run="r", seconds=seconds, recovered=(each,), failed=())


def test_a_drill_on_a_lab_is_marked_and_one_on_the_site_counts_as_a_recovery():
    for kind, marked in (("lab", True), ("live", False)):
        started = RunStarted(site="s", plan_hash="h", components=(), drill={"kind": kind})
        played = PlaybookStarted(component="dns", playbook="p", hosts=("h",), attempt=1)
        events = (started, played, ComponentVerified(component="dns"))
        found = past_run(
            Record(
                run="r", seq=n + 1, at=datetime(2026, 1, 2, tzinfo=UTC), elapsed=float(n), event=e
            )
            for n, e in enumerate(events)
        )
        assert [each.drill for each in found.recovered] == [marked]


def test_drills_count_until_enough_real_recoveries_are_known():
    drills = [recovered_in(10.0, drill=True) for _ in range(4)]
    real = [recovered_in(100.0, drill=False) for _ in range(3)]
    few = basis_of([*real[:2], *drills])["dns"]
    assert (len(few.seconds), few.drills) == (6, 4)
    enough = basis_of([*real, *drills])["dns"]
    assert enough.seconds == (100.0, 100.0, 100.0)
    assert enough.drills == 0
