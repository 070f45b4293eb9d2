"""How long a recovery will take, and what would shorten it: the schedule, played through. Pure.

The engine starts components by the same rule: among those that may start, the one with the longest
way to the end of the run, at most `max_parallel` at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from orchestrator import order

MOST_PARALLEL = 64  # what a site file may say
WORTH_SAYING = 0.01  # of the whole: less is within the spread of any two runs


@dataclass(frozen=True, kw_only=True)
class Saving:
    """A change of the site file, and the seconds it would save: the schedule played with it."""

    change: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """`seconds` a whole recovery takes; `longest` is the critical path's, whatever runs beside it.

    `shares` are the parts of the critical path, the largest first, each a fraction of its seconds.
    """

    seconds: float
    longest: float
    shares: Mapping[str, float]
    savings: tuple[Saving, ...]


def play(graph: order.Graph, seconds: Mapping[str, float], max_parallel: int) -> float:
    """Seconds from the first start to the last end, when each component takes what is said."""
    way = order.remaining(graph, seconds)
    return max(ends(graph, seconds, max_parallel, way=way).values(), default=0.0)


def ends(
    graph: order.Graph,
    seconds: Mapping[str, float],
    max_parallel: int,
    *,
    way: Mapping[str, float],
    running: Collection[str] = (),
) -> dict[str, float]:
    """When each component ends; those `running` have their slots, then the longest `way` first."""
    above = order.above(graph)
    left = {name: len(below) for name, below in graph.items()}
    place = {name: number for number, name in enumerate(graph)}
    rank = {name: (name not in running, -way[name], place[name]) for name in graph}
    ready = [(rank[name], name) for name in graph if not left[name]]
    heapq.heapify(ready)
    under_way: list[tuple[float, int, str]] = []
    ended: dict[str, float] = {}
    now = 0.0
    while ready or under_way:
        while ready and len(under_way) < max_parallel:
            _, name = heapq.heappop(ready)
            heapq.heappush(under_way, (now + seconds[name], place[name], name))
        now, _, done = heapq.heappop(under_way)
        ended[done] = now
        for name in above[done]:
            left[name] -= 1
            if not left[name]:
                heapq.heappush(ready, (rank[name], name))
    return ended


def outlook(
    graph: order.Graph,
    seconds: Mapping[str, float],
    *,
    max_parallel: int,
    by_needs: order.Graph | None = None,
) -> Outlook:
    """What is to be expected of a recovery in which everything is down.

    `by_needs` is the same plan in `order: dependencies`, where the site file says something else.
    """
    path = order.critical_path(graph, seconds)
    longest = sum(seconds[name] for name in path)
    whole = play(graph, seconds, max_parallel)
    shares = {name: seconds[name] / longest for name in path} if longest else {}
    found = [
        saving
        for saving in _savings(graph, seconds, max_parallel, by_needs, whole)
        if saving.seconds > WORTH_SAYING * whole
    ]
    return Outlook(
        seconds=whole,
        longest=longest,
        shares=dict(sorted(shares.items(), key=lambda share: -share[1])),
        savings=tuple(sorted(found, key=lambda saving: -saving.seconds)),
    )


def _savings(
    graph: order.Graph,
    seconds: Mapping[str, float],
    max_parallel: int,
    by_needs: order.Graph | None,
    whole: float,
) -> Iterator[Saving]:
    wider = _enough(graph, seconds, max_parallel)
    if wider > max_parallel:
        saved = whole - play(graph, seconds, wider)
        yield Saving(change=f"max_parallel: {wider}", seconds=saved)
    if by_needs is None:
        return
    freed = play(by_needs, seconds, max_parallel)
    yield Saving(change="order: dependencies", seconds=whole - freed)
    wider = _enough(by_needs, seconds, max_parallel)
    if wider > max_parallel:
        both = play(by_needs, seconds, wider)
        if freed - both > WORTH_SAYING * whole:
            change = f"order: dependencies with max_parallel: {wider}"
            yield Saving(change=change, seconds=whole - both)


def _enough(graph: order.Graph, seconds: Mapping[str, float], least: int) -> int:
    """The fewest at once, from `least` on, beyond which next to nothing is gained."""
    low, high = least, max(least, min(len(graph), MOST_PARALLEL))
    good = play(graph, seconds, high) * (1 + WORTH_SAYING)
    while low < high:
        middle = (low + high) // 2
        if play(graph, seconds, middle) <= good:
            high = middle
        else:
            low = middle + 1
    return low
