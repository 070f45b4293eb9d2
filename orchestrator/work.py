"""What the engine asks of playbooks and gates, and what it gets back: values and two Protocols.

The engine knows no more of Ansible, pytest or testinfra than this module says. `tell` may be called
from any thread, any number of times, until the call returns; `stop` being set asks the work to end
its children and return (outcome `cancelled`): it returns only when no process of it is left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag
from typing import Protocol

from orchestrator.errors import InputError
from orchestrator.events import (
    CheckFinished,
    GateCollected,
    GatePurpose,
    HostStats,
    PlaybookOutcome,
    TaskFailed,
    TaskStarted,
    WorkAwaited,
    WorkTaken,
)
from orchestrator.jinja import holds_template

Progress = GateCollected | CheckFinished | TaskStarted | TaskFailed | WorkAwaited | WorkTaken
Tell = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class AnsibleOptions:
    """What an SRE passes through to Ansible; `repr` never shows a secret.

    `extra_vars` are data. `become_password` is held in memory only. Files and ids are given to
    ansible-playbook as they are. `trust_inventory`: Ansible may ask an inventory that is a program
    or names a plugin, before the plan is made.

    Raises:
        InputError: an extra variable holds a Jinja expression: Ansible would run it here.
    """

    extra_vars: Mapping[str, object] = field(default_factory=dict)
    vault_ids: tuple[str, ...] = ()
    vault_password_file: Path | None = None
    become_password: str | None = field(default=None, repr=False)
    private_key: Path | None = None
    forks: int | None = None
    check: bool = False
    diff: bool = False
    trust_inventory: bool = False

    def __post_init__(self) -> None:
        if holds_template(dict(self.extra_vars)):
            raise InputError(
                "an extra variable holds a Jinja expression: Ansible would run it on this machine",
                hint="Give the value itself, or put the expression into the playbook.",
            )


@dataclass(frozen=True, kw_only=True)
class PlaybookRequest:
    """One attempt at one component's playbook on exactly these hosts; `timeout` in seconds.

    `shard_size` is the most hosts that one worker of a cluster may be given; None: all go to one.
    """

    run: str
    component: str
    attempt: int
    project: Path
    inventory: Path
    playbook: Path
    hosts: tuple[str, ...]
    timeout: float
    shard_size: int | None = None
    options: AnsibleOptions = field(default_factory=AnsibleOptions)


@dataclass(frozen=True, kw_only=True)
class PlaybookResult:
    """`succeeded` only when final stats were seen and every host stands in them as ok.

    `lost` are the hosts of which nobody can say what was done: their worker is gone.
    """

    outcome: PlaybookOutcome
    reasons: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    stats: Mapping[str, HostStats] = field(default_factory=dict)
    artifact: str = ""


@dataclass(frozen=True, kw_only=True)
class GateRequest:
    """One run of one component's gate on exactly these hosts; `timeout` in seconds.

    `minimum` is the fewest checks that must run on each host, as the gate file declares it. A look
    that is no proof after a playbook ends with its first bad check, unless it is to run
    `to_the_end`.
    """

    run: str
    component: str
    purpose: GatePurpose
    attempt: int
    project: Path
    inventory: Path
    gate: Path
    hosts: tuple[str, ...]
    minimum: int
    timeout: float
    shard_size: int | None = None
    to_the_end: bool = False

    @property
    def ends_early(self) -> bool:
        """The first bad check says all that is asked."""
        return self.purpose is not GatePurpose.VERIFY and not self.to_the_end


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """`green` only when at least `minimum` checks ran on every host and each of all passed.

    `lost`: a worker that ran it is gone; it says nothing about the hosts, and is to be run again.
    `short` are the hosts on which too few checks ran. `attributed`: all that is bad is of a check
    or a host named here, and no more went wrong: only then may it be accepted. `degraded` are hosts
    that are not up though it is green: the component can do without them. `waived` is what a person
    accepts.
    """

    green: bool
    lost: bool = False
    checks: tuple[CheckFinished, ...] = ()
    unreachable: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    short: tuple[str, ...] = ()
    attributed: bool = False
    waived: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()


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
