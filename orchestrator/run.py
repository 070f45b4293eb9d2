"""What one run is given: what a person asked for, what does its work, and where time comes from."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Flag

from orchestrator.inbox import Inbox
from orchestrator.state import RunState
from orchestrator.work import Gates, Playbooks


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Where time comes from: `wall` for people, `monotonic` seconds for every duration.

    `wait` passes so many seconds, or less when the flag is set.
    """

    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    wait: Callable[[float, Flag], object] = lambda seconds, stop: stop.wait(seconds)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """What one run is given; `approved` names the components a person released for this run.

    `layers`, `selected`, `limit` and `start` are what a person narrowed the plan to; they, `lab`
    (whose hosts they are), `by`, `controller` and `pid` are for the journal alone. `check`: it is
    a dry run.
    """

    run: str
    project: Path
    inventory: tuple[Path, ...]
    approved: frozenset[str] = frozenset()
    layers: tuple[str, ...] = ()
    selected: tuple[str, ...] = ()
    limit: str = ""
    start: str = ""
    lab: str = ""
    check: bool = False
    max_parallel: int = 4
    by: str = ""
    controller: str = ""
    pid: int = 0


@dataclass(kw_only=True)
class Run:
    """What every script of a run is given; `state` is the fold up to its latest record."""

    options: RunOptions
    playbooks: Playbooks | None
    gates: Gates
    clock: Clock
    inbox: Inbox
    state: RunState = field(default_factory=RunState)
    begun: float = field(init=False)  # on the monotonic clock: where the run's own seconds are 0

    def __post_init__(self) -> None:
        """Begin to count the run's own seconds."""
        self.begun = self.clock.monotonic()

    def elapsed(self) -> float:
        """The run's own seconds."""
        return self.clock.monotonic() - self.begun

    def rule(self, component: str) -> str:
        """The rule of the site file by which it goes on; empty when it needs none."""
        known = self.state.components.get(component)
        return known.rule if known else ""

    def attempts(self, component: str) -> int:
        """How many attempts at its playbook there were."""
        known = self.state.components.get(component)
        return known.attempts if known else 0
