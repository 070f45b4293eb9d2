"""A forecast as lines for a person and values for a program: pure.

All of it is what was published: nothing is computed anew for a view, so that two views of a run
never name two times.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from orchestrator.events import RunOutcome
from orchestrator.published import ForecastPublished, Span
from orchestrator.report import clean, duration
from orchestrator.state import RunState

_OVER = frozenset({RunOutcome.RECOVERED, RunOutcome.DEGRADED})


def elapsed_at(state: RunState, at: datetime) -> float:
    """The run's own seconds at a moment, by the wall clock since its last record."""
    silent = (at - state.last_at).total_seconds() if state.last_at else 0.0
    return state.elapsed + max(0.0, silent)


def span_words(span: Span, now: float = 0.0) -> str:
    """`40 min 10 s to 55 min 02 s`, from `now` on; about so long where nothing says how far off."""
    left = max(0.0, span.p50 - now)
    if span.p90 is None:
        return f"about {duration(left)} (too few runs for a range)"
    most = span.p90 - now
    if most <= 0:
        return f"{duration(-most)} later than forecast"
    return f"{duration(left)} to {duration(most)}" if left else f"at most {duration(most)}"


def said(told: ForecastPublished, now: float) -> str:
    """What a forecast says of the site at a moment, in one line."""
    if told.site is None:
        why = told.waits or f"no basis for {', '.join(told.no_basis)}"
        return f"no forecast: {clean(why)}"
    words = span_words(told.site, now)
    if told.no_basis:
        words = f"at the least {words}, no basis for {', '.join(told.no_basis)}"
    if told.overdue:
        words += f"; longer than ever seen: {', '.join(told.overdue)}"
    late = told.site.p90 is not None and told.site.p90 <= now
    waits = f"; {clean(told.waits)}" if told.waits else ""
    return f"{'overdue: ' if late else 'up in '}{words}{waits}"


def forecast_words(state: RunState, now: float) -> str:
    """`up in 40 min 10 s to 55 min 02 s` of a run under way; empty where there is none to say."""
    if state.finished or state.started is None or state.dry_run or state.started.gates_only:
        return ""
    if not state.forecasts:
        return "no forecast: no basis in the journal"
    return said(state.forecasts[-1][1], now)


def forecast_line(event: object, now: float) -> str:
    """A forecast for the log of a run, with why it is another one; empty for other events."""
    if not isinstance(event, ForecastPublished):
        return ""
    return f"forecast: {said(event, now)} ({event.reason})"


def forecast_log(state: RunState) -> Iterator[str]:
    """Every forecast of a run, when it was told and why; last what came of the first."""
    for at, told in state.forecasts:
        yield f"forecast after {duration(at)}: {said(told, at)} ({clean(told.reason)})"
    if against := forecast_against(state):
        yield against


def forecast_against(state: RunState) -> str:
    """What was forecast first, against what it took; empty as long as that cannot be said."""
    ranged = [(at, told.site) for at, told in state.forecasts if told.site and not told.no_basis]
    if state.finished is None or not ranged or state.outcome not in _OVER:
        return ""
    at, first = ranged[0]
    took, moves = state.finished.seconds, len(state.forecasts) - 1
    moved = "never moved" if not moves else "moved once" if moves == 1 else f"moved {moves} times"
    return f"forecast at first: {span_words(first, at)}, {moved}; it took {duration(took - at)}"


def forecast_json(state: RunState, now: float) -> dict[str, object]:
    """The last forecast for a program, in seconds from `now`, and all that were told before."""
    told = state.forecasts[-1][1] if state.forecasts and not state.finished else None

    def left(span: Span | None) -> dict[str, float | None] | None:
        if span is None:
            return None
        p90 = None if span.p90 is None else max(0.0, span.p90 - now)
        return {"p50": max(0.0, span.p50 - now), "p90": p90}

    remaining = told and {
        "site": left(told.site),
        "layers": {name: left(span) for name, span in told.layers.items()},
        "components": {name: left(span) for name, span in told.components.items()},
        "no_basis": list(told.no_basis),
        "overdue": list(told.overdue),
        "waits": told.waits,
        "runs": told.runs,
    }
    published = [
        {"elapsed": at, **each.model_dump(exclude={"kind"})} for at, each in state.forecasts
    ]
    return {"remaining": remaining, "published": published}
