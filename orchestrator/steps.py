"""The steps that scripts are made of: a gate, a playbook, a pause; each with its start and its end.

A start is yielded before its work, so the run's thread has it on disk before a worker begins.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from threading import Event as Flag
from typing import Any, Generic, TypeVar

from orchestrator.errors import DrcliError
from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    Event,
    GateCollected,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlaybookFinished,
    PlaybookOutcome,
    PlaybookStarted,
)
from orchestrator.plan import Component
from orchestrator.run import Run
from orchestrator.work import (
    GateRequest,
    GateResult,
    Gates,
    PlaybookRequest,
    PlaybookResult,
    Playbooks,
    Progress,
    Tell,
)

Result = TypeVar("Result")

MOST_REASONS = 3  # in a component's own line; all of them stand in the gate's record
GATE_TIMEOUT = 300.0  # a gate that hangs must not take a component's whole time


class Work(Generic[Result]):
    """Something a worker does; `result` is there when the script goes on."""

    result: Result

    def __init__(self, call: Callable[[Tell, Flag], Result]) -> None:
        self._call = call

    def run(self, tell: Tell, stop: Flag) -> None:
        """Do it, in the caller's thread."""
        self.result = self._call(tell, stop)


class Turn:
    """A component that waited in no slot wants one: it goes on when it has it, or at a stop."""


Script = Iterator[Event | Work[Any] | Turn]
Steps = Generator[Event | Work[Any] | Turn, None, Result]


def gate(
    run: Run, component: Component, purpose: GatePurpose, *, attempt: int
) -> Steps[GateResult]:
    """Run the component's gate once."""
    request = GateRequest(
        run=run.options.run,
        component=component.name,
        purpose=purpose,
        attempt=attempt,
        project=run.options.project,
        inventory=run.options.inventory,
        gate=component.gate,
        hosts=component.hosts,
        minimum=component.minimum_checks,
        timeout=min(component.timeout, GATE_TIMEOUT),
        variables=_by_rule(run, component),
        one_is_enough=bool(run.rule(component.name)),
    )
    yield GateStarted(component=component.name, purpose=purpose, attempt=attempt)
    work = Work(partial(_run_gate, run.gates, request))
    begun = run.clock.monotonic()
    yield work
    result = work.result
    yield GateFinished(
        component=component.name,
        purpose=purpose,
        attempt=attempt,
        green=result.green,
        passed=sum(check.outcome is CheckOutcome.PASSED for check in result.checks),
        total=len(result.checks),
        unreachable=result.unreachable,
        reasons=result.reasons,
        seconds=run.clock.monotonic() - begun,
    )
    return result


def _run_gate(gates: Gates, request: GateRequest, tell: Tell, stop: Flag) -> GateResult:
    """Run the gate and tell each check exactly once, whether the gate told it on the way or not.

    Of a gate that is repeated only what is bad is told; its counts are in its end.
    """
    if stop.is_set():
        return GateResult(green=False, reasons=("stopped before it started",))
    told: set[Progress] = set()
    again = request.purpose is GatePurpose.RECHECK

    def tell_and_note(event: Progress) -> None:
        told.add(event)
        if not (again and _all_well(event)):
            tell(event)

    try:
        result = gates(request, tell_and_note, stop)
    except DrcliError as error:
        return GateResult(green=False, reasons=_reasons(error))
    for check in result.checks:
        if check not in told:
            tell_and_note(check)
    return result


def _all_well(event: Progress) -> bool:
    """It says nothing new of a component that is up: a minute later it would be said once more."""
    passed = isinstance(event, CheckFinished) and event.outcome is CheckOutcome.PASSED
    return passed or isinstance(event, GateCollected)


def play(run: Run, component: Component) -> Steps[PlaybookResult]:
    """Run the component's playbook once."""
    attempt = run.attempts(component.name) + 1
    request = PlaybookRequest(
        run=run.options.run,
        component=component.name,
        attempt=attempt,
        project=run.options.project,
        inventory=run.options.inventory,
        playbook=component.playbook,
        hosts=component.hosts,
        timeout=component.timeout,
        variables=_by_rule(run, component),
    )
    yield PlaybookStarted(
        component=component.name,
        playbook=_shown(component.playbook, run.options.project),
        hosts=component.hosts,
        attempt=attempt,
    )
    work = Work(partial(_run_playbook, run.playbooks, request))
    begun = run.clock.monotonic()
    yield work
    result = work.result
    yield PlaybookFinished(
        component=component.name,
        attempt=attempt,
        outcome=result.outcome,
        reasons=result.reasons,
        stats=dict(result.stats),
        seconds=run.clock.monotonic() - begun,
        artifact=result.artifact,
    )
    return result


def _by_rule(run: Run, component: Component) -> dict[str, object]:
    """What playbook and gate are told of the rule by which the component goes on."""
    return {"allow_async": True} if run.rule(component.name) else {}


def _run_playbook(
    playbooks: Playbooks | None, request: PlaybookRequest, tell: Tell, stop: Flag
) -> PlaybookResult:
    if stop.is_set() or playbooks is None:
        reasons = ("stopped before it started",)
        return PlaybookResult(outcome=PlaybookOutcome.CANCELLED, reasons=reasons)
    try:
        return playbooks(request, tell, stop)
    except DrcliError as error:
        return PlaybookResult(outcome=PlaybookOutcome.FAILED, reasons=_reasons(error))


def _reasons(error: DrcliError) -> tuple[str, ...]:
    return tuple(part for part in (error.message, error.hint) if part)


def pause_for(run: Run, seconds: float) -> Work[object]:
    """Let so many seconds pass; a stop ends them."""
    return Work(lambda _, stop: run.clock.wait(seconds, stop))


def _shown(path: Path, project: Path) -> str:
    return str(path.relative_to(project) if path.is_relative_to(project) else path)


def only_dark_hosts(played: PlaybookResult) -> bool:
    """It went to its end, and all that was wrong is that hosts are dark, not all of them."""
    lost = {host for host, line in played.stats.items() if line.unreachable}
    failed = any(line.failures for line in played.stats.values())
    ended = played.outcome is PlaybookOutcome.FAILED and not failed
    return ended and 0 < len(lost) < len(played.stats) and lost <= played.dark


def playbook_reason(played: PlaybookResult) -> str:
    """Why a playbook did not succeed, in one line."""
    words = played.outcome.value.replace("_", " ")
    return "; ".join([f"playbook {words}", *played.reasons])


def gate_reason(result: GateResult) -> str:
    """Why a gate is red, in one line."""
    bad = sum(check.outcome is not CheckOutcome.PASSED for check in result.checks)
    parts = [f"gate red: {bad} of {len(result.checks)} checks did not pass"]
    if result.unreachable:
        parts.append(f"unreachable: {', '.join(result.unreachable)}")
    parts += result.reasons[:MOST_REASONS]
    if len(result.reasons) > MOST_REASONS:
        parts.append("the rest: drcli show")
    return "; ".join(parts)
