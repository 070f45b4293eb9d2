"""A gate is green when every check on every host passed and enough of them ran; else the reason."""

from __future__ import annotations

import pytest

from orchestrator.events import CheckFinished, CheckOutcome
from orchestrator.gate_verdict import Seen, judge

GOOD = CheckOutcome.PASSED


def check(host, outcome=GOOD, name="test_a"):
    return CheckFinished(
        component="dns", check=name, host=host, outcome=outcome, seconds=0.1, message="seen\nmore"
    )


def seen(*checks, code=0, end=0, **fields):
    """Checks of a gate whose pytest announced `end` and whose process ended with `code`."""
    fields = {"collected": len(checks), "announced": end, "ended": code, **fields}
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


def test_a_check_that_was_collected_and_not_run_is_red():
    result = judge(seen(check("h1"), collected=2), ("h1",), 1)
    assert not result.green
    assert result.reasons == ("1 of 2 checks were run",)


def test_a_look_that_ended_early_does_not_count_what_ran_no_more():
    bad = seen(check("h1", CheckOutcome.FAILED), collected=9, code=1, end=1)
    result = judge(bad, ("h1", "h2"), 4, to_the_end=False)
    assert result.reasons == ("h1: test_a failed: seen",)


def test_a_look_that_met_nothing_bad_counts_as_ever():
    result = judge(seen(check("h1")), ("h1", "h2"), 1, to_the_end=False)
    assert result.reasons == ("h2: 0 checks ran on it, at least 1 must",)


BAD = CheckOutcome.FAILED


def test_where_one_host_is_enough_another_may_be_bad_and_is_named():
    report = seen(check("h1"), check("h2", BAD), code=1, end=1)
    result = judge(report, ("h1", "h2"), 1, one_is_enough=True)
    assert result.green
    assert result.reasons == ("h2: test_a failed: seen",)


@pytest.mark.parametrize(
    "report",
    [
        seen(check("h1", BAD), check("h2", BAD), code=1, end=1),
        seen(check("h1"), check("h2", BAD), check(None, BAD), code=1, end=1),
        seen(check("h1"), check("h2", BAD), code=1, end=1, collected=3),
        seen(check("h1"), check("h2", BAD), code=3, end=3),
        seen(check("h1"), check("h2", BAD), code=-9, end=1),
        seen(check("h2", BAD), code=1, end=1),
        seen(check("h1"), check("h2", BAD), code=1, end=1, trouble=["a plugin is missing"]),
    ],
    ids=["both", "of no host", "not all ran", "broken", "killed", "no check on it", "trouble"],
)
def test_where_one_host_is_enough_it_must_be_whole_and_all_the_rest_told_well(report):
    assert not judge(report, ("h1", "h2"), 1, one_is_enough=True).green
