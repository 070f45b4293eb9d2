"""What components took, from the records of real recoveries alone."""

from __future__ import annotations

from engine import FakeGates, FakePlaybooks, options, plan_of, run_to_end

from orchestrator.durations import Took, expected_of, recoveries_of, weights
from orchestrator.events import PlaybookOutcome
from orchestrator.run import Clock
from orchestrator.work import AnsibleOptions

GRAPH = {"routing": (), "dns": ("routing",), "portal": ("dns",)}


def took(component="dns", **seconds):
    return Took(component=component, **{"observe": 1.0, "playbook": 10.0, "gate": 2.0} | seconds)


class Ticks:
    """Monotonic seconds, one more at each look."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_a_recovery_is_what_was_verified_after_its_playbook():
    playbooks = FakePlaybooks(outcomes={"portal": PlaybookOutcome.FAILED})
    gates = FakeGates(green={"routing"}, repaired_by=playbooks)
    clock = Clock(monotonic=Ticks())
    records = run_to_end(plan_of(GRAPH), playbooks, gates, clock=clock)
    [dns] = recoveries_of(records)
    assert dns.component == "dns"
    assert min(dns.observe, dns.playbook, dns.gate) >= 1


def test_a_run_that_found_all_healthy_or_only_rehearsed_says_nothing():
    healthy = run_to_end(plan_of(GRAPH), FakePlaybooks(), FakeGates(green=set(GRAPH)))
    dry = options(ansible=AnsibleOptions(check=True))
    rehearsed = run_to_end(plan_of(GRAPH), FakePlaybooks(), FakeGates(), options=dry)
    assert recoveries_of(healthy) == recoveries_of(rehearsed) == ()


def test_each_part_is_the_median_of_the_last_runs_so_one_bad_run_changes_nothing():
    past = [took(), took(playbook=900.0), took(playbook=12.0), took(observe=50.0), took()]
    expected = expected_of(past)["dns"]
    assert (expected.observe, expected.playbook, expected.gate, expected.runs) == (1, 10, 2, 5)
    assert expected.seconds == 13


def test_only_the_latest_count():
    past = [took(playbook=20.0), took(playbook=20.0), *[took(playbook=99.0)] * 9]
    assert expected_of(past, last=2)["dns"].playbook == 20
    assert expected_of(past, last=2)["dns"].runs == 2


def test_what_has_no_basis_weighs_as_the_others_do():
    expected = expected_of([took("dns"), took("time", playbook=30.0)])
    assert weights(["dns", "time", "portal"], expected) == {"dns": 13, "time": 33, "portal": 23}
    assert weights(["portal", "other"], expected) == {"portal": 1.0, "other": 1.0}
