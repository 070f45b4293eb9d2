"""What one run is given: what a person asked for, what does its work, and where time comes from."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag

from orchestrator.decided import Waiver
from orchestrator.drills import Drill
from orchestrator.events import FindingIgnored, Selection
from orchestrator.inbox import Inbox
from orchestrator.published import ForecastPublished
from orchestrator.state import RunState
from orchestrator.work import AnsibleOptions, Gates, Playbooks


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Where time comes from: `wall` for people, `monotonic` seconds for every duration.

    `wait` passes so many seconds, or less when the flag is set.
    """

    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[float, Flag], object] = lambda seconds, stop: stop.wait(seconds)


Foretell = Callable[[RunState], ForecastPublished | None]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What one run is given; `approved` names the components a person released for this run.

    `selection` and `given` are for the journal: what a run that goes on must be given again;
    `ignored` is what a person overrode of preflight. With `wait` the run does not end as long as a
    question of it is open. `foretell` says when the run will be over, where that has moved.
    """

    run: str
    project: Path
    inventory: Path
    ansible: AnsibleOptions = field(default_factory=AnsibleOptions)
    approved: frozenset[str] = frozenset()
    selection: Selection = field(default_factory=Selection)
    given: tuple[str, ...] = ()
    ignored: tuple[FindingIgnored, ...] = ()
    wait: bool = False
    max_parallel: int = 4
    by: str = ""
    controller: str = ""
    pid: int = 0
    foretell: Foretell | None = None
    drill: Drill | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Run:
    """What every script of a run is given; `state` is the fold up to its latest record."""

    options: RunOptions
    site: str
    state: RunState
    playbooks: Playbooks | None
    gates: Gates
    clock: Clock
    inbox: Inbox
    attempts: dict[str, int] = field(default_factory=dict)  # at playbooks, by this process
    begun: float = 0.0  # on the monotonic clock: where the run's own seconds are 0

    def elapsed(self) -> float:
        """The run's own seconds."""
        return self.clock.monotonic() - self.begun

    def waivers(self, component: str) -> tuple[Waiver, ...]:
        """What a person accepts of a component, at this moment."""
        at, elapsed = self.clock.wall(), self.elapsed()
        return self.state.decided.waivers_of(component, at=at, elapsed=elapsed)
