"""What a run's records come to: `RunState = fold(records)`, pure; every view is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from orchestrator.decided import Decided, decide
from orchestrator.decisions import (
    RequestRefused,
    RunCancelled,
    RunHeld,
    RunReleased,
    TerminalLost,
)
from orchestrator.drills import DrillScored
from orchestrator.events import (
    FindingIgnored,
    Record,
    RunFinished,
    RunOutcome,
    RunResumed,
    RunStarted,
    UnknownEvent,
)
from orchestrator.progress import (
    BLOCKING,
    BUSY,
    DOWN,
    UP,
    ComponentProgress,
    ComponentState,
    planned_progress,
    progress_after,
    waiting_again,
)
from orchestrator.published import ForecastPublished

__all__ = [
    "BUSY",
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
    last_at: datetime | None = None
    elapsed: float = 0.0
    started: RunStarted | None = None
    plan_hash: str = ""
    decided: Decided = field(default_factory=Decided)
    resumed: tuple[float, ...] = ()  # seconds each time that nobody worked on it, in `elapsed` too
    components: Mapping[str, ComponentProgress] = field(default_factory=dict)
    finished: RunFinished | None = None
    ignored: tuple[FindingIgnored, ...] = ()  # of preflight, by whom and why
    score: DrillScored | None = None  # of a drill, after its end
    forecasts: tuple[tuple[float, ForecastPublished], ...] = ()  # each with its `elapsed`

    @property
    def site(self) -> str:
        """The site's name; empty before the first record."""
        return self.started.site if self.started else ""

    @property
    def dry_run(self) -> bool:
        """The run was a rehearsal in check mode."""
        return self.started is not None and self.started.dry_run

    @property
    def resumable(self) -> bool:
        """It was to change something, and has not come to an end of its own."""
        begun = self.started is not None and not (self.dry_run or self.started.gates_only)
        return begun and self.outcome in {None, RunOutcome.INTERRUPTED}

    @property
    def outcome(self) -> RunOutcome | None:
        """What the run came to; None while its end is not recorded."""
        return self.finished.outcome if self.finished else None

    @property
    def approved(self) -> frozenset[str]:
        """The components a person has released."""
        return self.decided.approved

    @property
    def layers(self) -> Mapping[str, tuple[ComponentProgress, ...]]:
        """The components of each layer, in plan order."""
        layers: dict[str, tuple[ComponentProgress, ...]] = {}
        for component in self.components.values():
            layers[component.layer] = (*layers.get(component.layer, ()), component)
        return layers

    def among(self, states: frozenset[ComponentState]) -> tuple[ComponentProgress, ...]:
        """The components that are in one of these states, in plan order."""
        return tuple(c for c in self.components.values() if c.state in states)


def fold(records: Iterable[Record]) -> RunState:
    """The state after all these records; unknown kinds and unknown components change nothing."""
    state = RunState()
    for record in records:
        state = advance(state, record)
    return state


def advance(  # noqa: C901, PLR0911 -- one return for each kind
    state: RunState, record: Record
) -> RunState:
    """The state after one more record."""
    state = replace(
        state,
        run=record.run,
        last_seq=record.seq,
        last_at=record.at,
        elapsed=record.elapsed,
        started_at=state.started_at or record.at,
        decided=decide(state.decided, record),
    )
    match record.event:
        case UnknownEvent():
            return state
        case RunStarted() as started:
            planned = {c.name: planned_progress(c) for c in started.components}
            return replace(
                state,
                started=started,
                plan_hash=started.plan_hash,
                components=planned,
            )
        case RunResumed() as resumed:
            return _resumed(state, resumed)
        case FindingIgnored() as ignored:
            return replace(state, ignored=(*state.ignored, ignored))
        case RunFinished() as finished:
            return replace(state, finished=finished)
        case DrillScored() as score:
            return replace(state, score=score)
        case ForecastPublished() as told:
            return replace(state, forecasts=(*state.forecasts, (record.elapsed, told)))
        case RunHeld() | RunReleased() | RunCancelled() | RequestRefused() | TerminalLost():
            return state
        case event:
            known = state.components.get(event.component)
            if known is None:
                return state
            after = progress_after(known, event, dry_run=state.dry_run)
            if after.state is not known.state:
                after = replace(after, since=record.elapsed)
            components = {**state.components, known.name: after}
            if known.state in BLOCKING and after.state not in BLOCKING:
                components |= _waiting_again(components, known.name, record.elapsed)
            return replace(state, components=components)


def _waiting_again(
    components: Mapping[str, ComponentProgress], name: str, now: float
) -> dict[str, ComponentProgress]:
    """What stood blocked by a component that is down no more."""
    return {
        other.name: replace(other, state=ComponentState.PENDING, blocked_by=(), since=now)
        for other in components.values()
        if other.state is ComponentState.BLOCKED and name in other.blocked_by
    }


def _resumed(state: RunState, event: RunResumed) -> RunState:
    """What was under way is unknown, and what was proven may be gone: all of it waits again."""
    components = {}
    for planned in event.components:
        was = state.components.get(planned.name, planned_progress(planned))
        waiting = replace(waiting_again(was), **vars(planned), since=state.elapsed)
        components[was.name] = waiting
    return replace(
        state,
        plan_hash=event.plan_hash,
        components=components,
        resumed=(*state.resumed, event.away),
        finished=None,
    )
