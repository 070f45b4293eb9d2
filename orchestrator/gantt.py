"""Where the bars of a time line stand: shares of the width, in percent, and its ticks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.report import duration
from orchestrator.timeline import Span

THINNEST = 0.35  # percent of the width: what took no time is still to be seen
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
_MOST_TICKS = 5


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One span as a bar: percent of the width; `kind` and `good` choose how it looks."""

    left: float
    width: float
    kind: str
    good: bool
    title: str


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A moment on the axis."""

    left: float
    label: str
    anchor: str


def bars(spans: tuple[Span, ...], whole: float) -> tuple[Bar, ...]:
    """The spans of one row as bars, of a run that took `whole` seconds."""
    return tuple(_bar(span, whole) for span in sorted(spans, key=lambda span: span.kind != "hold"))


def _bar(span: Span, whole: float) -> Bar:
    share = 100 / whole if whole > 0 else 0.0
    width = min(100.0, max(THINNEST, span.seconds * share))
    return Bar(
        left=round(min(span.begun * share, 100 - width), 3),
        width=round(width, 3),
        kind=span.kind,
        good=span.good,
        title=f"{span.kind} {duration(span.seconds)}, {span.ended}, from {duration(span.begun)}",
    )


def ticks(whole: float) -> tuple[Tick, ...]:
    """A handful of round moments from 0 on."""
    step = next((step for step in _STEPS if whole / step <= _MOST_TICKS), _STEPS[-1])
    return tuple(_ticks(step, whole))


def _ticks(step: int, whole: float) -> Iterator[Tick]:
    yield Tick(left=0.0, label="0", anchor="start")
    for number in range(1, _MOST_TICKS + 1):
        left = 100 * number * step / whole if whole > 0 else 101.0
        if left <= 100:  # noqa: PLR2004 -- the whole width
            anchor = "end" if left > 90 else "middle"  # noqa: PLR2004 -- else it is cut off
            yield Tick(left=round(left, 3), label=_label(number * step), anchor=anchor)


def _label(seconds: int) -> str:
    if seconds % 3600 == 0:
        return f"{seconds // 3600} h"
    return f"{seconds // 60} min" if seconds % 60 == 0 else f"{seconds} s"
