"""How long components took, and so how long each will take: medians of real recoveries. Pure.

A component that no earlier run brought back has no basis: it is weighed like the others, and no
time is said of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from orchestrator.events import (
    ComponentVerified,
    GateFinished,
    GatePurpose,
    PlaybookFinished,
    Record,
)

LAST = 5  # recoveries of a component that its expected time is made of; older ones say less


@dataclass(frozen=True, kw_only=True)
class Took:
    """Seconds that one recovery of one component took; `gate` with its waits, to the verdict."""

    component: str
    observe: float
    playbook: float
    gate: float


@dataclass(frozen=True, kw_only=True)
class Expected:
    """Seconds that a component will take, part by part: the medians of its last `runs` recoveries.

    A median, since one run in which a disk was full says nothing about the next.
    """

    observe: float
    playbook: float
    gate: float
    runs: int

    @property
    def seconds(self) -> float:
        """All parts together."""
        return self.observe + self.playbook + self.gate


def recoveries_of(records: Iterable[Record]) -> tuple[Took, ...]:
    """The recoveries of a run, in order: what was verified after its playbook, and nothing else."""
    observed: dict[str, float] = {}
    played: dict[str, tuple[float, float]] = {}
    found = []
    for record in records:
        match record.event:
            case GateFinished(component=name, purpose=GatePurpose.OBSERVE, seconds=seconds):
                observed[name] = seconds
            case PlaybookFinished(component=name, seconds=seconds):
                played[name] = (seconds, record.elapsed)
            case ComponentVerified(component=name) if name in played:
                seconds, ended = played[name]
                took = Took(
                    component=name,
                    observe=observed.get(name, 0.0),
                    playbook=seconds,
                    gate=max(0.0, record.elapsed - ended),
                )
                found.append(took)
            case _:
                pass
    return tuple(found)


def expected_of(past: Iterable[Took], *, last: int = LAST) -> dict[str, Expected]:
    """What each component in `past` will take; `past` is the latest first."""
    known: dict[str, list[Took]] = {}
    for took in past:
        known.setdefault(took.component, []).append(took)
    return {
        name: Expected(
            observe=median(took.observe for took in several[:last]),
            playbook=median(took.playbook for took in several[:last]),
            gate=median(took.gate for took in several[:last]),
            runs=len(several[:last]),
        )
        for name, several in known.items()
    }


def weights(names: Collection[str], expected: Mapping[str, Expected]) -> dict[str, float]:
    """Seconds to plan with: of a component without basis the median of the others, else 1 each."""
    known = {name: expected[name].seconds for name in names if name in expected}
    other = median(known.values()) if known else 1.0
    return {name: known.get(name, other) for name in names}
