"""A gate is green when every check on every host passed and enough of them ran; else the reason."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from orchestrator.decided import Waiver
from orchestrator.events import CheckFinished, CheckOutcome
from orchestrator.gate_verdict import Seen, excused, judge, within_quorum

GOOD = CheckOutcome.PASSED


def check(host, outcome=GOOD, name="test_a"):
    return CheckFinished(
        component="dns", check=name, host=host, outcome=outcome, seconds=0.1, message="seen\nmore"
    )


def seen(*checks, code=0, end=0, **fields):
    """Checks of a gate in one part, that announced `end` and ended with `code`."""
    ends, exits = ({} if number is None else {0: number} for number in (end, code))
    fields = {"collected": len(checks), "ends": ends, "exits": exits, **fields}
    return Seen(checks=list(checks), **fields)


def test_every_check_passed_on_every_host():
    result = judge(seen(check("h1"), check("h2"), check(None)), ("h1", "h2"), 1)
    assert result.green
    assert result.reasons == ()
    assert len(result.checks) == 3


@pytest.mark.parametrize("outcome", [o for o in CheckOutcome if o is not GOOD])
def test_any_other_outcome_is_red_and_named(outcome):
    result = judge(seen(check("h1"), check("h1", outcome, "test_b"), code=1, end=1), ("h1",), 1)
    assert not result.green
    assert result.reasons == (f"h1: test_b {outcome.value}: seen",)


@pytest.mark.parametrize("outcome", [o for o in CheckOutcome if o is not GOOD])
def test_a_bad_check_is_red_whatever_pytest_says(outcome):
    assert not judge(seen(check("h1"), check("h1", outcome)), ("h1",), 1).green


def test_a_host_without_a_check_is_red():
    result = judge(seen(check("h1"), check("h1")), ("h1", "h2"), 1)
    assert result.reasons == ("h2: 0 checks ran on it, at least 1 must",)


def test_fewer_checks_than_declared_are_red():
    result = judge(seen(check("h1")), ("h1",), 2)
    assert result.reasons == ("h1: 1 checks ran on it, at least 2 must",)


def test_checks_without_a_host_count_for_no_host():
    assert not judge(seen(check(None), check(None)), ("h1",), 1).green


def test_no_minimum_still_means_one():
    assert not judge(seen(check(None)), ("h1",), 0).green


def test_no_check_at_all_is_red():
    assert judge(seen(code=5, end=5), ("h1",), 1).reasons == ("no check was run",)


@pytest.mark.parametrize(("code", "end"), [(0, None), (1, 0), (0, 1), (-9, None), (None, None)])
def test_an_end_that_is_not_clean_is_red(code, end):
    result = judge(seen(check("h1"), code=code, end=end, printed="last words"), ("h1",), 1)
    assert not result.green
    assert result.reasons == (f"pytest ended with code {code}: last words",)


def test_trouble_is_red():
    result = judge(seen(check("h1"), trouble=["time limit of 3 s reached"]), ("h1",), 1)
    assert not result.green
    assert result.reasons == ("time limit of 3 s reached",)


def test_an_unreachable_host_is_named_once_with_its_reason():
    checks = [check("h1", CheckOutcome.UNREACHABLE, f"test_{n}") for n in range(20)]
    result = judge(seen(*checks, unreachable={"h1": "h1: no answer"}, code=1, end=1), ("h1",), 30)
    assert result.unreachable == ("h1",)
    assert result.reasons == ("h1: no answer",)


def test_many_failures_are_summed_up():
    checks = [check("h1", CheckOutcome.FAILED, f"test_{n}") for n in range(20)]
    assert judge(seen(*checks, code=1, end=1), ("h1",), 1).reasons[-1] == "and 12 more"


def test_a_part_that_did_not_end_well_is_red():
    for part in ({"exits": {0: 0}}, {"ends": {0: 0}}, {"exits": {0: 0, 1: -9}}):
        both = {"ends": {0: 0, 1: 0}, "exits": {0: 0, 1: 0}, "parts": 2}
        assert judge(seen(check("h1"), **both), ("h1",), 1).green
        result = judge(seen(check("h1"), **{**both, **part}), ("h1",), 1)
        assert not result.green
        assert result.reasons[0].startswith("pytest ended with code ")


def test_a_check_that_no_part_has_run_is_red():
    result = judge(seen(check("h1"), collected=2), ("h1",), 1)
    assert not result.green
    assert result.reasons == ("1 of 2 checks were run",)


THREE = ("h1", "h2", "h3")


def quorum_of(*checks, quorum=2, hosts=THREE, **fields):
    fields = {"code": 1, "end": 1} | fields
    return within_quorum(judge(seen(*checks, **fields), hosts, 1), hosts, quorum)


@pytest.mark.parametrize("outcome", [o for o in CheckOutcome if o is not GOOD])
def test_with_enough_hosts_up_it_is_green_and_names_the_others(outcome):
    result = quorum_of(check("h1"), check("h2"), check("h3"), check("h3", outcome, "test_b"))
    assert result.green
    assert result.degraded == ("h3",)
    assert result.reasons == (f"h3: test_b {outcome.value}: seen",)


def test_a_host_that_is_up_has_passed_every_check_and_run_enough_of_them():
    checks = (check("h1"), check("h1", CheckOutcome.FAILED, "test_b"), check("h2"))
    result = quorum_of(*checks)
    assert not result.green
    assert result.degraded == ()
    assert result.reasons[0] == "1 of 3 hosts are up, at least 2 must be"


def test_an_unreachable_host_is_not_up():
    lost = check("h3", CheckOutcome.UNREACHABLE)
    result = quorum_of(check("h1"), check("h2"), lost, unreachable={"h3": "h3: no answer"})
    assert (result.green, result.degraded) == (True, ("h3",))


def test_a_quorum_excuses_no_check_that_takes_no_host():
    checks = (check(host) for host in THREE)
    assert not quorum_of(*checks, check(None, CheckOutcome.FAILED, "test_b")).green


@pytest.mark.parametrize(
    "fields",
    [
        {"trouble": ["time limit of 3 s reached"]},
        {"code": -9, "end": None},
        {"code": 2, "end": 2},
        {"collected": 9},
    ],
    ids=str,
)
def test_a_quorum_excuses_nothing_that_is_no_fault_of_a_host(fields):
    bad = check("h3", CheckOutcome.FAILED)
    assert not quorum_of(check("h1"), check("h2"), bad, **fields).green


def test_a_gate_that_ended_at_its_first_bad_check_says_nothing_of_a_quorum():
    cut = seen(check("h1"), check("h2", CheckOutcome.FAILED), code=1, end=1)
    result = judge(cut, THREE, 1, to_the_end=False)
    assert not within_quorum(result, THREE, 1).green


def test_with_all_up_nothing_is_degraded():
    result = quorum_of(*(check(host) for host in THREE), code=0, end=0)
    assert (result.green, result.degraded) == (True, ())


def waiver(**given):
    now = datetime(2026, 1, 2, tzinfo=UTC)
    given = {"component": "dns", "host": None, "check": None} | given
    return Waiver(by="ann", reason="r", until=now, at=now, elapsed=0, **given)


BAD = CheckOutcome.FAILED
GONE = CheckOutcome.UNREACHABLE


def red(*checks, hosts=("h1", "h2"), **fields):
    result = judge(seen(*checks, code=1, end=1, **fields), hosts, 1)
    assert not result.green
    return result


def test_what_a_person_accepts_is_not_held_against_the_gate_but_named():
    result = red(check("h1"), check("h2", BAD), check("h2", BAD, "test_b"))
    accepted = excused(result, [waiver(host="h2")])
    assert (accepted.green, accepted.waived) == (True, ("host h2 of dns",))
    assert accepted.checks == result.checks


def test_an_unreachable_host_is_a_failure_unless_it_is_waived_itself():
    gone = {"unreachable": {"h2": "no answer"}}
    result = red(check("h1"), check("h2", GONE), **gone)
    assert excused(result, [waiver(host="h2")]).green
    assert not excused(result, [waiver(check="test_a")]).green
    assert not excused(result, [waiver(host="h1")]).green


def test_a_check_is_waived_on_every_host_with_or_without_its_parameters():
    result = red(check("h1", BAD, "test_port[80]"), check("h2", BAD, "test_port[443]"))
    assert excused(result, [waiver(check="test_port")]).green
    assert not excused(result, [waiver(check="test_port[80]")]).green
    both = [waiver(check="test_port[80]"), waiver(check="test_port[443]")]
    assert excused(result, both).green


def test_a_host_without_enough_checks_is_waived_with_the_host_alone():
    result = red(check("h1", BAD))
    assert result.short == ("h2",)
    assert not excused(result, [waiver(check="test_a")]).green
    assert excused(result, [waiver(check="test_a"), waiver(host="h2")]).green


@pytest.mark.parametrize(
    "fields",
    [
        {"trouble": ["time limit of 3 s reached"]},
        {"collected": 9},
        {"ends": {0: 2}, "exits": {0: 2}},
        {"exits": {0: -9}},
        {"parts": 2},
    ],
)
def test_what_is_no_fault_of_a_check_or_a_host_is_accepted_only_with_the_whole(fields):
    result = red(check("h1"), check("h2", BAD), **fields)
    assert not excused(result, [waiver(host="h2"), waiver(check="test_a")]).green
    assert excused(result, [waiver()]).green


def test_what_nobody_needed_to_accept_is_not_named():
    result = red(check("h1"), check("h2", BAD))
    accepted = excused(result, [waiver(host="h1"), waiver(host="h2")])
    assert accepted.waived == ("host h2 of dns",)
