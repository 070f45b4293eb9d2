"""Recovery times over time, of real runs and drills, against the objective: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from xml.sax.saxutils import escape

from orchestrator.events import RunOutcome
from orchestrator.report import clean, duration
from orchestrator.state import UP, RunState

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 720, 300, 70, 60, 20
_UP_OUTCOMES = {RunOutcome.RECOVERED, RunOutcome.DEGRADED}


@dataclass(frozen=True, kw_only=True)
class Point:
    """One run: `seconds` until all was up, None where it did not come to that."""

    run: str
    at: datetime
    drill: str
    seconds: float | None
    objective: float | None


def point(state: RunState, *, objective: float | None) -> Point | None:
    """A run as a point; None of a dry run, of one without an end, and of a site found healthy."""
    if state.started_at is None or state.started is None or state.outcome is None:
        return None
    if state.dry_run or state.started.gates_only:
        return None
    drill = state.started.drill
    actual: float | None = None
    if state.score is not None:
        actual = state.score.site.actual
    elif state.outcome in _UP_OUTCOMES and all(c.state in UP for c in state.components.values()):
        actual = max((c.since for c in state.components.values()), default=None)
    if not any(c.attempts for c in state.components.values()):
        return None
    return Point(
        run=state.run,
        at=state.started_at,
        drill=clean(f"{drill.kind.value} drill {drill.scenario}".strip()) if drill else "",
        seconds=actual,
        objective=objective,
    )


def rows(points: Iterable[Point]) -> Iterator[list[str]]:
    """The points as rows of a table."""
    for each in points:
        within = ""
        if each.objective is not None:
            late = each.seconds is None or each.seconds > each.objective
            within = "MISSED" if late else "kept"
        yield [
            each.run,
            f"{each.at.astimezone():%Y-%m-%d %H:%M}",
            each.drill or "recovery",
            "not up" if each.seconds is None else duration(each.seconds),
            "none" if each.objective is None else duration(each.objective),
            within,
        ]


def picture(points: Iterable[Point], *, title: str) -> str:
    """The points as an SVG: time to the right, recovery time upwards, the objective as a line.

    A run that did not come up stands at the top, hollow.
    """
    points = tuple(points)
    known = [p.seconds for p in points if p.seconds is not None]
    objective = next((p.objective for p in reversed(points) if p.objective is not None), None)
    highest = max([*known, objective or 0.0, 1.0]) * 1.1
    begun = min((p.at.timestamp() for p in points), default=0.0)
    span = max(max((p.at.timestamp() for p in points), default=0.0) - begun, 1.0)

    def x(at: datetime) -> float:
        return LEFT + (WIDTH - LEFT - 20) * (at.timestamp() - begun) / span

    def y(seconds: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * seconds / highest

    lines = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
            'font-family="sans-serif" font-size="12">'
        ),
        f"<title>{escape(clean(title))}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - 20}" fill="none" stroke="#444"/>',
    ]
    for part in range(5):
        value = highest * part / 4
        lines.append(
            f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">'
            f"{duration(value)}</text>"
        )
    if objective is not None:
        right, height = WIDTH - 20, y(objective)
        lines += [
            f'<path d="M{LEFT} {height:.1f}H{right}" stroke="#b00" stroke-dasharray="6 4"/>',
            (
                f'<text x="{right}" y="{height - 5:.1f}" text-anchor="end" fill="#b00">RTO '
                f"{duration(objective)}</text>"
            ),
        ]
    for each in points:
        up = each.seconds is not None
        at, height = x(each.at), y(each.seconds if each.seconds is not None else highest)
        colour = "#2563eb" if each.drill else "#111"
        words = f"{each.run}: {duration(each.seconds) if each.seconds is not None else 'not up'}"
        fill = colour if up else "none"
        lines.append(
            f'<circle cx="{at:.1f}" cy="{height:.1f}" r="5" fill="{fill}" stroke="{colour}">'
            f"<title>{escape(clean(words))}</title></circle>"
        )
    ends = [points[0].at, points[-1].at] if points else []
    for day, anchor in zip(ends, ("start", "end"), strict=False):
        lines.append(
            f'<text x="{x(day):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="{anchor}">'
            f"{day.astimezone():%Y-%m-%d}</text>"
        )
    legend = f"{escape(clean(title))}: black recoveries, blue drills, hollow not up"
    lines.append(f'<text x="{LEFT}" y="{HEIGHT - 14}">{legend}</text></svg>')
    return "\n".join(lines) + "\n"
