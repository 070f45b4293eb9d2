"""What people decided, from the records of a run: most of all how long a waiver holds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.decided import Decided, decide
from orchestrator.decisions import (
    ApprovalDenied,
    ApprovalGiven,
    RequestRefused,
    RetryAsked,
    RunHeld,
    RunReleased,
    Waived,
    WaiverExpired,
)
from orchestrator.events import Record, RunResumed, RunStarted

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def decided(*events, elapsed=100.0):
    was = Decided()
    for seq, event in enumerate(events, 1):
        was = decide(was, Record(run="r1", seq=seq, at=NOON, elapsed=elapsed, event=event))
    return was


def waived(**given):
    given = {"component": "dns", "host": "ns1", "until": NOON + HOUR} | given
    return Waived(by="ann", reason="dead", **given)


def live(was, *, after, elapsed):
    return bool(was.waivers_of("dns", at=NOON + after, elapsed=100.0 + elapsed))


def test_a_waiver_holds_until_its_time_by_the_wall_clock():
    was = decided(waived())
    assert live(was, after=timedelta(minutes=59), elapsed=3540)
    assert not live(was, after=HOUR, elapsed=10)  # the clock went forward: a date is a date


def test_a_clock_that_went_back_does_not_lengthen_it():
    was = decided(waived())
    assert live(was, after=-HOUR, elapsed=3599)
    assert not live(was, after=-HOUR, elapsed=3600)


def test_one_that_is_over_holds_no_more_whatever_the_clocks_say():
    was = decided(waived(), WaiverExpired(component="dns", host="ns1"))
    assert not live(was, after=-HOUR, elapsed=0)
    assert [w.subject for w in was.waivers] == ["host ns1 of dns"]


def test_a_later_waiver_of_the_same_takes_the_place_of_the_first():
    was = decided(waived(), waived(until=NOON + 3 * HOUR))
    assert [w.until for w in was.waivers] == [NOON + 3 * HOUR]


def test_a_denied_question_is_closed_until_it_is_asked_again():
    no = ApprovalDenied(by="ann", component="dns", reason="wrong")
    assert decided(no).closed == {"dns": "denied by ann: wrong"}
    assert decided(no, RetryAsked(by="ann", component="dns")).closed == {}


def test_a_run_that_goes_on_keeps_approvals_holds_and_waivers_and_asks_questions_again():
    was = decided(
        RunStarted(site="s", plan_hash="0", components=(), by="ann"),
        ApprovalGiven(by="bob", component="db"),
        ApprovalDenied(by="bob", component="dns"),
        RunHeld(by="bob", reason="smoke", request=4),
        waived(),
        RunResumed(plan_hash="0", components=(), away=1.0, by="eve"),
    )
    assert (was.approved, was.closed, was.hold.by) == ({"db"}, {}, "bob")
    assert len(was.waivers) == 1
    assert was.starters == {"ann", "eve"}
    assert (
        decide(was, Record(run="r1", seq=9, at=NOON, elapsed=1, event=RunReleased(by="bob"))).hold
        is None
    )


def test_the_last_request_that_was_answered_is_known_also_when_it_was_refused():
    refused = RequestRefused(by="ann", asked="hold", reason="no", request=7)
    assert decided(RunHeld(by="ann", request=3), refused).last_request == 7
