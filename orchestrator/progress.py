"""One component of a run as its events tell it: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentHeldBack,
    ComponentTurnedRed,
    ComponentVerified,
    ComponentWouldRecover,
    GateCollected,
    GateFinished,
    GatePurpose,
    GateStarted,
    HostStats,
    PlannedComponent,
    PlaybookFinished,
    PlaybookStarted,
    RuleApplied,
    RuleAwaited,
    TaskDiffed,
    TaskFailed,
    TaskStarted,
)


class ComponentState(StrEnum):
    """Where a component stands in a run."""

    PENDING = "pending"
    OBSERVING = "observing"
    HEALTHY = "healthy"
    RECOVERING = "recovering"
    VERIFYING = "verifying"
    VERIFIED = "verified"
    WOULD_RECOVER = "would recover"  # in a dry run: it is not up
    FAILED = "failed"
    HELD = "held"
    BLOCKED = "blocked"


UP = frozenset({ComponentState.HEALTHY, ComponentState.VERIFIED})
DOWN = frozenset({ComponentState.FAILED, ComponentState.HELD, ComponentState.BLOCKED})
# The reasons of a gate that was ended before it had seen all.
STOPPED = frozenset({"stopped", "stopped before it started"})
BUSY = frozenset(
    {ComponentState.OBSERVING, ComponentState.RECOVERING, ComponentState.VERIFYING},
)


@dataclass(frozen=True, kw_only=True)
class ComponentProgress:
    """One component of a run. Seconds are sums over all attempts; `since` is on the run's clock.

    Of the last gate's checks, `collected` in all (0 as long as that is not known), `passed` is how
    many passed, and `failing` which did not. A gate that is repeated while the component is up
    changes none of it, and `gate` neither; `red_again`: the last such look was red, and what that
    means was not decided yet; `turned_red` is how often it was decided that it is down.
    `rule` is that of the site file by which it goes on though it is not whole; `wait` is its last
    wait for the time of one.
    """

    name: str
    layer: str
    hosts: tuple[str, ...]
    needs: tuple[str, ...] = ()
    state: ComponentState = ComponentState.PENDING
    since: float = 0.0
    reason: str = ""
    rule: str = ""
    wait: RuleAwaited | None = None
    blocked_by: tuple[str, ...] = ()
    attempts: int = 0
    observe_seconds: float = 0.0
    playbook_seconds: float = 0.0
    gate_seconds: float = 0.0
    task: str = ""
    failures: tuple[TaskFailed, ...] = ()
    diffs: tuple[TaskDiffed, ...] = ()
    collected: int = 0
    passed: int = 0
    failing: tuple[CheckFinished, ...] = ()
    gate: GateFinished | None = None
    playbook: str = ""
    played: PlaybookFinished | None = None
    turned_red: int = 0
    rechecking: bool = False
    red_again: bool = False

    @property
    def waits(self) -> bool:
        """It is held by a rule of the site file whose time has not come."""
        return self.state is ComponentState.HELD and self.wait is not None

    @property
    def busy(self) -> bool:
        """Something is under way for it: work, or a wait that ends by itself."""
        return self.state in BUSY or self.waits

    @property
    def stats(self) -> Mapping[str, HostStats]:
        """The last playbook's counts for each host; empty when none ended."""
        return self.played.stats if self.played else {}

    @property
    def changed(self) -> int:
        """How many tasks of the last playbook changed something."""
        return sum(host.changed for host in self.stats.values())


def planned_progress(component: PlannedComponent) -> ComponentProgress:
    """A component of which only the plan is known."""
    return ComponentProgress(
        name=component.name,
        layer=component.layer,
        hosts=component.hosts,
        needs=component.needs,
    )


_GateEvent = GateStarted | GateCollected | CheckFinished | GateFinished
_PlaybookEvent = PlaybookStarted | TaskStarted | TaskDiffed | TaskFailed | PlaybookFinished
_Verdict = (
    ComponentHealthy
    | ComponentVerified
    | ComponentWouldRecover
    | ComponentFailed
    | ComponentHeld
    | ComponentBlocked
    | ComponentTurnedRed
    | ComponentHeldBack
    | RuleAwaited
    | RuleApplied
)
ComponentEvent = _GateEvent | _PlaybookEvent | _Verdict


def progress_after(was: ComponentProgress, event: ComponentEvent) -> ComponentProgress:
    """The component after one more event about it."""
    match event:
        case GateStarted() | GateCollected() | CheckFinished() | GateFinished():
            again = getattr(event, "purpose", None) is GatePurpose.RECHECK or was.rechecking
            return _after_recheck(was, event) if again else _after_gate(was, event)
        case PlaybookStarted() | TaskStarted() | TaskDiffed() | TaskFailed() | PlaybookFinished():
            return _after_playbook(was, event)
        case _:
            return replace(_after_verdict(was, event), red_again=False)


def _waiting_again(was: ComponentProgress) -> ComponentProgress:
    """A component that waits for its turn anew: what was said of it no longer counts."""
    pending = replace(was, state=ComponentState.PENDING, rechecking=False)
    return replace(pending, task="", reason="", rule="", blocked_by=())


def _after_verdict(  # noqa: C901, PLR0911 -- one return for each kind
    was: ComponentProgress, event: _Verdict
) -> ComponentProgress:
    match event:
        case ComponentHealthy():
            # Found up once more, after this run had brought it back itself.
            state = ComponentState.VERIFIED if was.attempts else ComponentState.HEALTHY
            return replace(was, state=state, task="", reason="")
        case ComponentVerified():
            return replace(was, state=ComponentState.VERIFIED, task="", reason="")
        case ComponentWouldRecover():
            return replace(was, state=ComponentState.WOULD_RECOVER, task="", reason="")
        case ComponentFailed(reason=reason):
            return replace(was, state=ComponentState.FAILED, reason=reason)
        case ComponentHeld(reason=reason):
            return replace(was, state=ComponentState.HELD, reason=reason, wait=None)
        case RuleAwaited(reason=reason):
            return replace(was, state=ComponentState.HELD, reason=reason, wait=event, task="")
        case RuleApplied(rule=rule):
            return replace(was, rule=rule, reason="")
        case ComponentBlocked(by=by):
            return replace(was, state=ComponentState.BLOCKED, blocked_by=by)
        case ComponentTurnedRed(reason=reason, times=times):
            return replace(_waiting_again(was), reason=reason, turned_red=times)
        case ComponentHeldBack(by=by):
            return replace(_waiting_again(was), blocked_by=by)
        case _:
            assert_never(event)


def _after_gate(was: ComponentProgress, event: _GateEvent) -> ComponentProgress:
    match event:
        case GateStarted(purpose=purpose):
            observing = purpose is GatePurpose.OBSERVE
            state = ComponentState.OBSERVING if observing else ComponentState.VERIFYING
            after = replace(was, state=state, gate=None, task="", blocked_by=())
            return replace(after, collected=0, passed=0, failing=())
        case GateCollected(checks=collected):
            return replace(was, collected=collected)
        case CheckFinished(outcome=CheckOutcome.PASSED):
            return replace(was, passed=was.passed + 1)
        case CheckFinished():
            return replace(was, failing=(*was.failing, event))
        case GateFinished(purpose=GatePurpose.OBSERVE, seconds=seconds):
            seconds += was.observe_seconds
            return replace(was, gate=event, passed=event.passed, observe_seconds=seconds)
        case GateFinished(seconds=seconds):
            seconds += was.gate_seconds
            return replace(was, gate=event, passed=event.passed, gate_seconds=seconds)
        case _:
            assert_never(event)


def _after_recheck(was: ComponentProgress, event: _GateEvent) -> ComponentProgress:
    """A gate that is repeated: what is known of the component stays, until it is told otherwise."""
    match event:
        case GateStarted():
            return replace(was, rechecking=True)
        case GateFinished(green=green, reasons=reasons):
            red = not green if STOPPED.isdisjoint(reasons) else was.red_again
            return replace(was, rechecking=False, red_again=red)
        case _:
            return was


def _after_playbook(was: ComponentProgress, event: _PlaybookEvent) -> ComponentProgress:
    match event:
        case PlaybookStarted(attempt=attempt, playbook=playbook):
            after = replace(was, state=ComponentState.RECOVERING, attempts=attempt, blocked_by=())
            return replace(after, playbook=playbook, failures=(), diffs=(), played=None)
        case TaskStarted(task=task):
            return replace(was, task=task)
        case TaskDiffed():
            return replace(was, diffs=(*was.diffs, event))
        case TaskFailed():
            return replace(was, failures=(*was.failures, event))
        case PlaybookFinished(seconds=seconds):
            return replace(was, played=event, playbook_seconds=was.playbook_seconds + seconds)
        case _:
            assert_never(event)
