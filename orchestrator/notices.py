"""Notices of a run to people elsewhere, through Apprise; a dead target never slows a run.

Each rule has a thread and a bounded queue of its own: what is put there returns at once. A message
that is not taken is tried again, after longer and longer pauses; what is left at the end is said.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, Self

from orchestrator.decisions import Decision, RequestRefused
from orchestrator.events import (
    ComponentFailed,
    ComponentHeld,
    ComponentTurnedRed,
    ComponentVerified,
    Record,
    RunFinished,
    RunResumed,
    RunStarted,
)
from orchestrator.published import ForecastPublished
from orchestrator.report import clean, state_line
from orchestrator.site import Site
from orchestrator.site_served import Notice
from orchestrator.spoken import decision_line
from orchestrator.state import UP, RunState

MOST_WAITING = 500  # messages of one rule; older ones are dropped, and that is said
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # seconds between tries; the last one again and again
MOST_TRIES = 12
LAST_WORDS = 10.0  # seconds at the end of a run for what still waits
SEND_TIMEOUT = 15.0


class Send(Protocol):
    """Sends a message to an address; False, or an error, when it was not taken."""

    def __call__(self, address: str, title: str, body: str) -> bool:
        """Send it."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule of the site file with its address, which is secret."""

    name: str
    when: frozenset[str]
    quiet: float
    address: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Message:
    """What is sent; `subject` is what its repeats have in common."""

    kind: str
    subject: str
    title: str
    body: str


def rules_of(
    site: Site, *, environ: Mapping[str, str], tell: Callable[[str], object]
) -> tuple[Rule, ...]:
    """The rules of a site file with their addresses out of the environment.

    One whose variable is not set is told and left out: a recovery does not wait for a notice.
    """
    found = []
    for number, notice in enumerate(site.notices, 1):
        if environ.get(notice.env):
            found.append(_rule(number, notice, environ))
        else:
            tell(f"notices {number}: {notice.env} is not in the environment: nobody is told")
    return tuple(found)


def _rule(number: int, notice: Notice, environ: Mapping[str, str]) -> Rule:
    return Rule(
        name=f"{number} ({notice.env})",
        when=frozenset(notice.when),
        quiet=notice.quiet.total_seconds(),
        address=environ[notice.env],
    )


def messages_of(record: Record, state: RunState, before: RunState) -> Iterator[Message]:
    """What is to be told of a record; `before` is the state that it changed."""
    if state.dry_run or state.started is None or state.started.gates_only:
        return
    drill = "DRILL: " if state.started.drill else ""
    for kind, subject, text in (*_told(record, state), *_layers_up(state, before)):
        title = clean(f"{drill}{state.site}: {text}".splitlines()[0])
        yield Message(kind=kind, subject=subject, title=title[:200], body=_body(text, state))


def _layers_up(state: RunState, before: RunState) -> Iterator[tuple[str, str, str]]:
    for layer, components in state.layers.items():
        was = before.layers.get(layer, ())
        if all(c.state in UP for c in components) and not (was and all(c.state in UP for c in was)):
            yield "layer-up", layer, f"{layer} is up"


def _told(record: Record, state: RunState) -> Iterator[tuple[str, str, str]]:
    match record.event:
        case RunStarted(by=by):
            yield "started", "run", f"recovery {state.run} began, by {by}"
        case RunResumed(by=by):
            yield "started", "run", f"recovery {state.run} goes on, by {by}"
        case ComponentFailed(component=name, reason=reason):
            yield "failed", name, f"{name} failed: {reason}"
        case ComponentHeld(component=name, reason=reason):
            yield "held", name, f"{name} waits for a person: {reason}"
        case ComponentTurnedRed(component=name, reason=reason):
            yield "turned-red", name, f"{name} is down again: {reason}"
        case ComponentVerified(component=name):
            yield "verified", name, f"{name} is up"
        case ForecastPublished(reason=reason):
            yield "forecast", "forecast", f"another forecast: {reason}"
        case RunFinished():
            yield "finished", "run", state_line(state).partition(": ")[2]
        case event if isinstance(event, Decision) and not isinstance(event, RequestRefused):
            yield "decided", getattr(event, "component", "run"), decision_line(event)
        case _:
            pass


def _body(text: str, state: RunState) -> str:
    return clean(f"{text}\n\n{state_line(state)}\nFollow it: drcli watch {state.run}")


class Notifier:
    """Tells the rules' targets of a run, in threads; use it as a context manager."""

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        send: Send,
        tell: Callable[[str], object],
        pauses: tuple[float, ...] = PAUSES,
    ) -> None:
        self._before = RunState()
        self._tell = tell
        self._targets = [_Target(rule, send, pauses) for rule in rules]

    def __enter__(self) -> Self:
        for target in self._targets:
            target.start()
        return self

    def __exit__(self, *_: object) -> None:
        deadline = time.monotonic() + LAST_WORDS
        for target in self._targets:
            target.finish(max(0.0, deadline - time.monotonic()))
            if trouble := target.trouble():
                self._tell(trouble)

    def show(self, record: Record, state: RunState) -> None:
        """Have this record told where a rule wants it; returns at once."""
        for message in messages_of(record, state, self._before):
            for target in self._targets:
                target.put(message)
        self._before = state


class _Target:
    """One rule's queue and thread."""

    def __init__(self, rule: Rule, send: Send, pauses: tuple[float, ...]) -> None:
        self._rule = rule
        self._send = send
        self._pauses = pauses
        self._waiting: queue.Queue[Message | None] = queue.Queue()
        self._over = threading.Event()
        self._told: dict[tuple[str, str], float] = {}
        self._lost = 0
        self._sent = 0
        self._why = ""
        # A daemon: a target that hangs must not keep the process.
        self._thread = threading.Thread(target=self._work, name="drcli-notices", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def put(self, message: Message) -> None:
        """Have it sent, unless the rule does not want it, or was told the same just now."""
        if message.kind not in self._rule.when:
            return
        now, key = time.monotonic(), (message.kind, message.subject)
        if now - self._told.get(key, -float("inf")) < self._rule.quiet:
            return
        self._told[key] = now
        if self._waiting.qsize() >= MOST_WAITING:
            self._lost += 1
            return
        self._waiting.put(message)

    def finish(self, seconds: float) -> None:
        self._waiting.put(None)
        self._thread.join(seconds)
        self._over.set()

    def trouble(self) -> str:
        """What was not delivered, and why; empty when all was."""
        left = self._lost + sum(message is not None for message in [*self._waiting.queue])
        left += int(self._thread.is_alive())
        if not left:
            return ""
        return f"notices {self._rule.name}: {left} not delivered, {self._sent} were: {self._why}"

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None:
            if not self._deliver(message):
                self._lost += 1

    def _deliver(self, message: Message) -> bool:
        for number in range(MOST_TRIES):
            try:
                if self._send(self._rule.address, message.title, message.body):
                    self._sent += 1
                    return True
                self._why = "the target did not take it"
            except Exception as error:  # noqa: BLE001 -- whatever a target does, the run goes on
                self._why = type(error).__name__  # its text may have the address in it
            if self._over.wait(self._pauses[min(number, len(self._pauses) - 1)]):
                return False
        return False


def send_through_apprise(address: str, title: str, body: str) -> bool:
    """Send a message as Apprise does; False when its target did not take it."""
    import apprise  # noqa: PLC0415 -- of those who have notices alone

    target = apprise.Apprise.instantiate(address, suppress_exceptions=True)
    if target is None:
        return False
    target.socket_connect_timeout = target.socket_read_timeout = SEND_TIMEOUT
    return bool(target.notify(body=body, title=title))
