"""The steps that scripts are made of: a gate, a playbook, a pause; each with its start and its end.

A start is yielded before its work, so the run's thread has it on disk before a worker begins.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
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
from orchestrator.gate_verdict import excused, within_quorum
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
MOST_LOST = 3  # workers that may be lost one after another: perhaps it is the work that ends them
GATE_TIMEOUT = 300.0  # a gate that hangs must not take a component's whole time


class Work(Generic[Result]):
    """Something a worker does; `result` is there when the script goes on."""

    result: Result

    def __init__(self, call: Callable[[Tell, Flag], Result]) -> None:
        self._call = call

    def run(self, tell: Tell, stop: Flag) -> None:
        """Do it, in the caller's thread."""
        self.result = self._call(tell, stop)


Script = Iterator[Event | Work[Any]]
Steps = Generator[Event | Work[Any], None, Result]


def steady_gate(
    run: Run, component: Component, purpose: GatePurpose, *, attempt: int
) -> Steps[GateResult]:
    """The gate, which is green only when it holds: as often in a row, as long as its site wants."""
    first = None
    for passes in count(1):
        result = yield from gate(run, component, purpose, attempt=attempt, passes=passes)
        now = run.clock.monotonic()
        first = now if first is None else first
        holds = passes >= component.passes and now - first >= component.over
        if holds or not result.green or run.inbox.stop.is_set():
            break
        due = first + component.over * passes / max(1, component.passes - 1)
        yield pause_for(run, max(0.0, due - now))
    return result


def gate(
    run: Run, component: Component, purpose: GatePurpose, *, attempt: int, passes: int | None = None
) -> Steps[GateResult]:
    """The gate; a worker lost in the middle of it says nothing of the hosts: then once more.

    It has passed `passes` times in a row when it passes; None where once is enough.
    """
    for _ in range(MOST_LOST):
        result = yield from _gate_once(run, component, purpose, attempt=attempt, passes=passes)
        if not result.lost or run.inbox.stop.is_set():
            break
    return result


def _gate_once(
    run: Run, component: Component, purpose: GatePurpose, *, attempt: int, passes: int | None
) -> Steps[GateResult]:
    # What is degraded before its playbook is not healthy: the playbook may help those hosts.
    quorum = None if purpose is GatePurpose.OBSERVE else component.quorum
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
        shard_size=component.shard_size,
        to_the_end=quorum is not None or bool(run.waivers(component.name)),
    )
    yield GateStarted(component=component.name, purpose=purpose, attempt=attempt)
    work = Work(partial(_run_gate, run.gates, request))
    begun = run.clock.monotonic()
    yield work
    result = excused(work.result, run.waivers(component.name))
    if quorum is not None:
        result = within_quorum(result, component.hosts, quorum)
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
        waived=result.waived,
        degraded=result.degraded,
        passes=(passes or 1) if result.green else 0,
        wanted=component.passes if passes else 1,
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
    """The playbook; hosts whose worker was lost are unknown: their gate first, then once more.

    A host that a person has waived is left out: it must not make the playbook fail.
    """
    component = worked_on(run, component)
    if not component.hosts:
        return PlaybookResult(outcome=PlaybookOutcome.SUCCEEDED)  # the gate has the word
    result = yield from _playbook(run, component)
    for again in range(1, MOST_LOST):
        if result.outcome is not PlaybookOutcome.LOST or run.inbox.stop.is_set():
            break
        part = replace(component, hosts=result.lost)
        observed = yield from gate(run, part, GatePurpose.OBSERVE, attempt=again + 1)
        if run.inbox.stop.is_set():
            break
        if observed.green:
            return replace(result, outcome=PlaybookOutcome.SUCCEEDED)  # as for all: the gate opens
        result = yield from _playbook(run, part)
    return result


def _playbook(run: Run, component: Component) -> Steps[PlaybookResult]:
    before = run.state.components.get(component.name)
    attempt = run.attempts.get(component.name, before.attempts if before else 0) + 1
    run.attempts[component.name] = attempt
    request = PlaybookRequest(
        run=run.options.run,
        component=component.name,
        attempt=attempt,
        project=run.options.project,
        inventory=run.options.inventory,
        playbook=component.playbook,
        hosts=component.hosts,
        timeout=component.timeout,
        shard_size=component.shard_size,
        options=run.options.ansible,
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


def worked_on(run: Run, component: Component) -> Component:
    """The component with the hosts that its playbook is for: those that nobody has waived."""
    waived = {waiver.host for waiver in run.waivers(component.name)}
    return replace(component, hosts=tuple(host for host in component.hosts if host not in waived))


def given_up(played: PlaybookResult, component: Component) -> frozenset[str] | None:
    """The hosts that a playbook failed on, where its component may do without them; else None.

    Whether it can is for the gate to say.
    """
    if played.outcome is PlaybookOutcome.SUCCEEDED:
        return frozenset()
    if played.outcome is not PlaybookOutcome.FAILED or component.quorum is None:
        return None
    lines = {host: played.stats.get(host) for host in component.hosts}
    down = frozenset(
        host
        for host, line in lines.items()
        if line is None or line.failures or line.unreachable or not line.ok
    )
    return down if 0 < len(down) <= len(lines) - component.quorum else None


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
