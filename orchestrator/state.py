"""What a run's records come to: `RunState = fold(records)`, pure; every view is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from orchestrator.events import Record, RunFinished, RunOutcome, RunStarted, UnknownEvent
from orchestrator.progress import (
    DOWN,
    UP,
    ComponentProgress,
    ComponentState,
    planned_progress,
    progress_after,
)

__all__ = [
    "DOWN",
    "UP",
    "ComponentProgress",
    "ComponentState",
    "RunState",
    "advance",
    "fold",
]


@dataclass(frozen=True, kw_only=True)
class RunState:
    """A run as its records tell it; `started` is None before the first record."""

    run: str = ""
    last_seq: int = 0
    started_at: datetime | None = None
    elapsed: float = 0.0
    started: RunStarted | None = None
    components: Mapping[str, ComponentProgress] = field(default_factory=dict)
    finished: RunFinished | None = None

    @property
    def site(self) -> str:
        """The site's name; empty before the first record."""
        return self.started.site if self.started else ""

    @property
    def outcome(self) -> RunOutcome | None:
        """What the run came to; None while its end is not recorded."""
        return self.finished.outcome if self.finished else None

    @property
    def dry_run(self) -> bool:
        """Whether it changes nothing."""
        return bool(self.started and self.started.dry_run)

    @property
    def layers(self) -> Mapping[str, tuple[ComponentProgress, ...]]:
        """The components of each layer, in plan order."""
        layers: dict[str, tuple[ComponentProgress, ...]] = {}
        for component in self.components.values():
            layers[component.layer] = (*layers.get(component.layer, ()), component)
        return layers

    @property
    def busy(self) -> tuple[ComponentProgress, ...]:
        """The components for which something is under way, in plan order."""
        return tuple(c for c in self.components.values() if c.busy)

    def among(self, states: frozenset[ComponentState]) -> tuple[ComponentProgress, ...]:
        """The components that are in one of these states, in plan order."""
        return tuple(c for c in self.components.values() if c.state in states)


def fold(records: Iterable[Record]) -> RunState:
    """The state after all these records; unknown kinds and unknown components change nothing."""
    state = RunState()
    for record in records:
        state = advance(state, record)
    return state


def advance(state: RunState, record: Record) -> RunState:
    """The state after one more record."""
    state = replace(
        state,
        run=record.run,
        last_seq=record.seq,
        elapsed=record.elapsed,
        started_at=state.started_at or record.at,
    )
    match record.event:
        case UnknownEvent():
            return state
        case RunStarted() as started:
            planned = {c.name: planned_progress(c) for c in started.components}
            return replace(state, started=started, components=planned)
        case RunFinished() as finished:
            return replace(state, finished=finished)
        case event:
            known = state.components.get(event.component)
            if known is None:
                return state
            after = progress_after(known, event)
            if after.state is not known.state:
                after = replace(after, since=record.elapsed)
            return replace(state, components={**state.components, known.name: after})
