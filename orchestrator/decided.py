"""What people have decided about a run so far, from its records: holds, answers, waivers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from orchestrator.decisions import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGiven,
    Decision,
    RetryAsked,
    RunHeld,
    RunReleased,
    TerminalLost,
    Waived,
    WaiverExpired,
)
from orchestrator.events import (
    Record,
    RunResumed,
    RunStarted,
)

EXPIRED = "nobody approved it in time"


@dataclass(frozen=True, kw_only=True)
class Waiver:
    """What a person accepts of a component, and until when.

    `at` and `elapsed` are when it was given, on the wall clock and in the run's own seconds.
    """

    component: str
    host: str | None
    check: str | None
    by: str
    reason: str
    until: datetime
    at: datetime
    elapsed: float
    expired: bool = False

    @property
    def whole(self) -> bool:
        """It waives the whole component."""
        return self.host is None and self.check is None

    @property
    def subject(self) -> str:
        """What it waives: `host db2 of database`, `check test_quorum of database`, `imaging`."""
        if self.whole:
            return self.component
        what = f"host {self.host}" if self.host else f"check {self.check}"
        return f"{what} of {self.component}"

    def live(self, *, at: datetime, elapsed: float) -> bool:
        """It holds at this moment of the run.

        The wall clock says when it ends; one that went back cannot make it last longer than that
        was away when it was given, in the run's own seconds.
        """
        lasts = (self.until - self.at).total_seconds()
        return not self.expired and at < self.until and elapsed - self.elapsed < lasts


@dataclass(frozen=True, kw_only=True)
class Decided:
    """What people decided; `closed` says of a component's question why it is open no more."""

    last_request: int = 0
    starters: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()
    closed: Mapping[str, str] = field(default_factory=dict)
    hold: RunHeld | None = None
    waivers: tuple[Waiver, ...] = ()
    without_terminal: bool = False

    def waivers_of(self, component: str, *, at: datetime, elapsed: float) -> tuple[Waiver, ...]:
        """The waivers of a component that hold at this moment."""
        return tuple(
            w for w in self.waivers if w.component == component and w.live(at=at, elapsed=elapsed)
        )


def decide(  # noqa: PLR0911 -- one return for each kind
    was: Decided, record: Record
) -> Decided:
    """What is decided after one more record; most change nothing."""
    match record.event:
        case RunStarted(by=by, approved=approved):
            return replace(was, starters=frozenset({by}), approved=frozenset(approved))
        case RunResumed(by=by, approved=approved):
            # Questions are asked again; holds and waivers are a person's to end.
            return replace(
                was,
                starters=was.starters | {by},
                approved=was.approved.union(approved),
                closed={},
                without_terminal=False,
            )
        case ApprovalExpired(component=name):
            return replace(was, closed={**was.closed, name: EXPIRED})
        case WaiverExpired() as over:
            waivers = (replace(w, expired=True) if _same(w, over) else w for w in was.waivers)
            return replace(was, waivers=tuple(waivers))
        case TerminalLost():
            return replace(was, without_terminal=True)
        case event if isinstance(event, Decision):
            last = max(was.last_request, event.request)
            return replace(_said(was, event, record), last_request=last)
        case _:
            return was


def _said(  # noqa: PLR0911 -- one return for each kind
    was: Decided, event: Decision, record: Record
) -> Decided:
    match event:
        case ApprovalGiven(component=name):
            return replace(was, approved=was.approved | {name})
        case ApprovalDenied(component=name):
            return replace(was, closed={**was.closed, name: denial(event)})
        case RetryAsked(component=name):
            closed = {other: why for other, why in was.closed.items() if other != name}
            return replace(was, closed=closed)
        case RunHeld():
            return replace(was, hold=event)
        case RunReleased():
            return replace(was, hold=None)
        case Waived():
            others = tuple(w for w in was.waivers if not _same(w, event))
            return replace(was, waivers=(*others, _waiver(event, record)))
        case _:
            return was


def denial(event: ApprovalDenied) -> str:
    """Who said no, and why."""
    return f"denied by {event.by}{f': {event.reason}' if event.reason else ''}"


def _same(waiver: Waiver, event: Waived | WaiverExpired) -> bool:
    return (waiver.component, waiver.host, waiver.check) == (
        event.component,
        event.host,
        event.check,
    )


def _waiver(event: Waived, record: Record) -> Waiver:
    return Waiver(
        component=event.component,
        host=event.host,
        check=event.check,
        by=event.by,
        reason=event.reason,
        until=event.until,
        at=record.at,
        elapsed=record.elapsed,
    )
