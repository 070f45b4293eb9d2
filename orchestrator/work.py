"""What the engine asks of playbooks and gates, and what it gets back: values and two Protocols.

The engine knows no more of Ansible, pytest or testinfra than this module says. `tell` may be called
from any thread, any number of times, until the call returns; `stop` being set asks the work to end
its children and return (outcome `cancelled`): it returns only when no process of it is left.
`inventory` are the files that Ansible is given, in this order: a later one overrides an earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from typing import Protocol

from orchestrator.events import (
    CheckFinished,
    GateCollected,
    GatePurpose,
    HostStats,
    PlaybookOutcome,
    TaskFailed,
    TaskStarted,
)

Progress = GateCollected | CheckFinished | TaskStarted | TaskFailed
Tell = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class PlaybookRequest:
    """One attempt at one component's playbook on exactly these hosts; `timeout` in seconds.

    `variables` are data, stronger than the inventory's.
    """

    run: str
    component: str
    attempt: int
    project: Path
    inventory: tuple[Path, ...]
    playbook: Path
    hosts: tuple[str, ...]
    timeout: float
    variables: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PlaybookResult:
    """`succeeded` only when final stats were seen and every host stands in them as ok."""

    outcome: PlaybookOutcome
    reasons: tuple[str, ...] = ()
    stats: Mapping[str, HostStats] = field(default_factory=dict)
    artifact: str = ""


@dataclass(frozen=True, kw_only=True)
class GateRequest:
    """One run of one component's gate on exactly these hosts; `timeout` in seconds.

    `minimum` is the fewest checks that must run on each host, as the gate file declares it.
    `variables` are data, stronger than the inventory's. `one_is_enough`: one host on which all is
    well makes it green, whatever the others say.
    """

    run: str
    component: str
    purpose: GatePurpose
    attempt: int
    project: Path
    inventory: tuple[Path, ...]
    gate: Path
    hosts: tuple[str, ...]
    minimum: int
    timeout: float
    variables: Mapping[str, object] = field(default_factory=dict)
    one_is_enough: bool = False

    @property
    def ends_early(self) -> bool:
        """A look that is no proof ends with its first bad check: that says all that is asked."""
        return self.purpose is not GatePurpose.VERIFY and not self.one_is_enough


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """`green` only when at least `minimum` checks ran on every host and each of all passed."""

    green: bool
    checks: tuple[CheckFinished, ...] = ()
    unreachable: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


class Playbooks(Protocol):
    """Runs playbooks."""

    def __call__(self, request: PlaybookRequest, tell: Tell, stop: Flag) -> PlaybookResult:
        """Run it to its end, its timeout, or `stop`."""
        ...


class Gates(Protocol):
    """Runs gates."""

    def __call__(self, request: GateRequest, tell: Tell, stop: Flag) -> GateResult:
        """Run it to its end, its timeout, or `stop`."""
        ...
