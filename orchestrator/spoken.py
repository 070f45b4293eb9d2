"""What people decided about a run, as lines for a person and values for a program: pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from orchestrator.decided import Waiver
from orchestrator.decisions import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGiven,
    RequestRefused,
    RetryAsked,
    RunCancelled,
    RunHeld,
    RunReleased,
    TerminalLost,
    Waived,
    WaiverExpired,
)
from orchestrator.events import ComponentPostponed
from orchestrator.state import ComponentState, RunState


def moment(at: datetime) -> str:
    """A time for a person, in this machine's zone: `2026-01-02 18:00`."""
    return f"{at.astimezone():%Y-%m-%d %H:%M}"


def decision_line(event: object) -> str:  # noqa: C901, PLR0911, PLR0912 -- one for each kind
    """What a person decided, or what came of it, for the log of a run; empty for other events."""
    match event:
        case ApprovalGiven(by=by, reason=reason):
            return f"approved by {by}{_why(reason)}"
        case ApprovalDenied(by=by, reason=reason):
            return f"denied by {by}{_why(reason)}: it stays held"
        case ApprovalExpired():
            return "nobody approved it in time: it stays held"
        case RunHeld(by=by, reason=reason):
            return f"the run is held by {by}{_why(reason)}: nothing new starts"
        case RunReleased(by=by, reason=reason):
            return f"the run is released by {by}{_why(reason)}"
        case RunCancelled(by=by, reason=reason):
            return f"the run is cancelled by {by}{_why(reason)}"
        case RetryAsked(by=by, reason=reason):
            return f"tried again, as {by} asks{_why(reason)}"
        case Waived(by=by, reason=reason, until=until) as waived:
            what = _what(waived.host, waived.check)
            return f"{what} waived by {by} until {moment(until)}{_why(reason)}"
        case WaiverExpired(host=host, check=check):
            return f"the waiver of {_what(host, check)} is over: it counts again"
        case ComponentPostponed():
            return "down, but the run is on hold: it waits"
        case RequestRefused(by=by, asked=asked, reason=reason):
            return f"refused to {by}: {asked}: {reason}"
        case TerminalLost():
            return "the terminal is gone; the run goes on without"
        case _:
            return ""


def waiver_lines(state: RunState, *, at: datetime) -> Iterator[str]:
    """What a person accepted and nobody has mended yet: who, why and until when."""
    for waiver in state.decided.waivers:
        over = "" if _live(waiver, state, at) else " (over: it counts again)"
        yield (
            f"open work: {waiver.subject} waived by {waiver.by} until {moment(waiver.until)}{over}"
            f"{_why(waiver.reason)}"
        )


def waivers_json(state: RunState, *, at: datetime) -> list[dict[str, object]]:
    """The same for a program."""
    return [
        {
            "component": waiver.component,
            "host": waiver.host,
            "check": waiver.check,
            "by": waiver.by,
            "reason": waiver.reason,
            "at": waiver.at.isoformat(),
            "until": waiver.until.isoformat(),
            "live": _live(waiver, state, at),
        }
        for waiver in state.decided.waivers
    ]


def hold_json(state: RunState) -> dict[str, object] | None:
    """Who holds the run, for a program; None when nobody does."""
    hold = state.decided.hold
    return {"by": hold.by, "reason": hold.reason} if hold else None


def waived_words(state: RunState) -> str:
    """`WAIVED: host db2 of database, imaging`; empty when nothing was accepted."""
    waived = [what for c in state.among(frozenset({ComponentState.WAIVED})) for what in c.waived]
    return f"WAIVED: {', '.join(waived)}" if waived else ""


def _live(waiver: Waiver, state: RunState, at: datetime) -> bool:
    return waiver.live(at=at, elapsed=state.elapsed)


def _what(host: str | None, check: str | None) -> str:
    return f"host {host}" if host else f"check {check}" if check else "the whole component"


def _why(reason: str) -> str:
    return f": {reason}" if reason else ""
