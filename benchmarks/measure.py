"""Alternating runs, their medians and spread: the one way in which everything here is compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.command import Ended


class UnequalWork(Exception):  # noqa: N818 -- what was found, not what went wrong
    """Two sides did not do the same: a comparison would say nothing."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One run of one side: seconds, what it cost, and the work it says it did (`checks`: 200)."""

    seconds: float
    cpu: float = 0.0
    peak_mib: float = 0.0
    work: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A median with the smallest and the largest of what it is the median of."""

    value: float
    low: float
    high: float
    runs: int


Samples = Mapping[str, Sequence[Sample]]
Take = Callable[[], Mapping[str, Sample]]


def sample(ended: Ended, work: Mapping[str, int]) -> Sample:
    """What a command took and did, as a sample."""
    return Sample(seconds=ended.seconds, cpu=ended.cpu, peak_mib=ended.peak_mib, work=work)


def alternate(
    takes: Sequence[Take], *, rounds: int, tell: Callable[[str], None] = lambda _: None
) -> dict[str, list[Sample]]:
    """Run every side once a round, in turns, every second round backwards; samples by side.

    A machine that grows slower or faster meanwhile does so for all of them. A side is a function
    that prepares and runs once, and returns one or more samples by name.

    Raises:
        UnequalWork: two samples did different work.
    """
    found: dict[str, list[Sample]] = {}
    for number in range(rounds):
        for take in takes if number % 2 == 0 else reversed(takes):
            for name, one in take().items():
                found.setdefault(name, []).append(one)
                tell(f"round {number + 1} of {rounds}: {name} {one.seconds:.2f} s")
                require_equal_work(found)
    return found


def require_equal_work(samples: Samples) -> None:
    """Refuse a comparison of unequal things.

    Raises:
        UnequalWork: not all samples did the same work.
    """
    first: tuple[str, Mapping[str, int]] | None = None
    for name, several in samples.items():
        for one in several:
            first = first or (name, one.work)
            if dict(one.work) != dict(first[1]):
                raise UnequalWork(f"{first[0]} did {_said(first[1])}, {name} did {_said(one.work)}")


def spread(values: Sequence[float]) -> Spread:
    """Their median and their ends."""
    return Spread(value=median(values), low=min(values), high=max(values), runs=len(values))


def seconds(samples: Sequence[Sample]) -> Spread:
    """The spread of their wall times."""
    return spread([one.seconds for one in samples])


def ratio(over: Sequence[Sample], under: Sequence[Sample]) -> Spread:
    """How many times the seconds of `under` go into those of `over`, round by round."""
    return spread([a.seconds / b.seconds for a, b in zip(over, under, strict=True)])


def best(samples: Samples, names: Sequence[str]) -> str:
    """The side with the smallest median."""
    return min(names, key=lambda name: seconds(samples[name]).value)


def _said(work: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {what}" for what, count in work.items()) or "nothing"
