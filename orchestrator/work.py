"""What the engine asks of playbooks and gates, and what it gets back: values and two Protocols.

The engine knows no more of Ansible, pytest or testinfra than this module says. `tell` may be called
from any thread, any number of times, until the call returns; `stop` being set asks the work to end
its children and return (outcome `cancelled`): it returns only when no process of it is left.
`inventory` are the files that Ansible is given, in this order: a later one overrides an earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
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
    TaskDiffed,
    TaskFailed,
    TaskStarted,
)
from orchestrator.jinja import holds_template
from orchestrator.redaction import secret_values

Progress = GateCollected | CheckFinished | TaskStarted | TaskDiffed | TaskFailed
Tell = Callable[[Progress], None]

_SHORTEST = 8  # characters of an extra variable that is taken for a secret whatever it is called


@dataclass(frozen=True, kw_only=True)
class AnsibleOptions:
    """What a person passes through to Ansible; `repr` shows nothing that may be secret.

    `vault` are labels and passwords, `opened` what these open: it is kept out of all that is
    written and shown.
    """

    extra_vars: Mapping[str, object] = field(default_factory=dict, repr=False)
    vault: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    opened: frozenset[str] = field(default=frozenset(), repr=False)
    become_password: str | None = field(default=None, repr=False)
    private_key: Path | None = None
    forks: int | None = None
    check: bool = False
    diff: bool = False

    def secrets(self, variables: Mapping[str, object]) -> set[str]:
        """What redaction must know: passwords, and what vault and variables hold.

        A short text or number under a name that is no secret's stays readable: `state=on`.
        """
        given = {**self.extra_vars, **variables}
        long = {text for text in _texts(given) if len(text) >= _SHORTEST}
        passwords = {password for _, password in self.vault} | {self.become_password or ""}
        return {*secret_values(given), *long, *passwords, *self.opened} - {""}

    def data(self, variables: Mapping[str, object]) -> dict[str, object]:
        """The extra variables, and over them those of one request; data, no template.

        Raises:
            InputError: one of them holds a Jinja expression: Ansible would run it on this machine.
        """
        merged = {**self.extra_vars, **variables}
        for name, value in merged.items():
            if holds_template({name: value}):
                raise InputError(
                    f"variable {name}: Jinja is refused: Ansible would run it on this machine",
                    hint="Give the value itself, or put the expression into the playbook.",
                )
        return merged


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case int() | float() if not isinstance(value, bool):
            yield str(value)
        case Mapping():
            for inner in value.values():
                yield from _texts(inner)
        case list() | tuple():
            for inner in value:
                yield from _texts(inner)
        case _:
            pass


@dataclass(frozen=True, kw_only=True)
class PlaybookRequest:
    """One attempt at one component's playbook on exactly these hosts; `timeout` in seconds.

    `variables` are data: they reach the playbook as extra variables, over those a person gave.
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
    """`succeeded` only when final stats were seen and every host stands in them as ok.

    Of the `dark` hosts nothing came back at all.
    """

    outcome: PlaybookOutcome
    reasons: tuple[str, ...] = ()
    dark: frozenset[str] = frozenset()
    stats: Mapping[str, HostStats] = field(default_factory=dict)
    artifact: str = ""


@dataclass(frozen=True, kw_only=True)
class GateRequest:
    """One run of one component's gate on exactly these hosts; `timeout` in seconds.

    `minimum` is the fewest checks that must run on each host, as the gate file declares it.
    `variables` are data: for the gate they are variables of each host, over those a person gave.
    `one_is_enough`: one host on which all is well makes it green, whatever the others say.
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
