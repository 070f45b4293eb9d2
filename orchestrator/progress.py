"""One component of a run as its events tell it: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from orchestrator.decided import EXPIRED, denial
from orchestrator.decisions import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGiven,
    RetryAsked,
    Waived,
    WaiverExpired,
)
from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentHeldBack,
    ComponentPostponed,
    ComponentTurnedRed,
    ComponentVerified,
    ComponentWaived,
    GateCollected,
    GateFinished,
    GatePurpose,
    GateStarted,
    HostStats,
    PlannedComponent,
    PlaybookFinished,
    PlaybookOutcome,
    PlaybookStarted,
    TaskFailed,
    TaskStarted,
    WorkAwaited,
    WorkTaken,
)


class ComponentState(StrEnum):
    """Where a component stands in a run."""

    PENDING = "pending"
    OBSERVING = "observing"
    HEALTHY = "healthy"
    RECOVERING = "recovering"
    VERIFYING = "verifying"
    VERIFIED = "verified"
    DEGRADED = "degraded"
    WAIVED = "waived"
    FAILED = "failed"
    HELD = "held"
    BLOCKED = "blocked"


UP = frozenset(
    {
        ComponentState.HEALTHY,
        ComponentState.VERIFIED,
        ComponentState.DEGRADED,
        ComponentState.WAIVED,
    }
)
DOWN = frozenset({ComponentState.FAILED, ComponentState.HELD, ComponentState.BLOCKED})
BLOCKING = frozenset({ComponentState.FAILED, ComponentState.HELD})
BUSY = frozenset(
    {ComponentState.OBSERVING, ComponentState.RECOVERING, ComponentState.VERIFYING},
)


@dataclass(frozen=True, kw_only=True)
class ComponentProgress:
    """One component of a run. Seconds are sums over all attempts.

    Of the last gate's checks, `collected` in all (0 as long as that is not known), `passed` is how
    many passed, and `failing` which did not. A gate that is repeated while the component is up
    changes none of it, and `gate` neither; `turned_red` is how often such a gate found it down.
    `degraded` are the hosts that are open work: not up, though the component counts as up.
    `asks`: it is held by a question that is still open, and `expires` seconds after `since` is no
    more. `waived` is what is bad and accepted.
    """

    name: str
    layer: str
    hosts: tuple[str, ...]
    needs: tuple[str, ...] = ()
    state: ComponentState = ComponentState.PENDING
    since: float = 0.0
    reason: str = ""
    hint: str = ""
    blocked_by: tuple[str, ...] = ()
    asks: bool = False
    expires: float | None = None
    waived: tuple[str, ...] = ()
    attempts: int = 0
    gates: int = 0
    observe_seconds: float = 0.0
    playbook_seconds: float = 0.0
    gate_seconds: float = 0.0
    task: str = ""
    failures: tuple[TaskFailed, ...] = ()
    collected: int = 0
    passed: int = 0
    failing: tuple[CheckFinished, ...] = ()
    gate: GateFinished | None = None
    playbook: str = ""
    played: PlaybookFinished | None = None
    degraded: tuple[str, ...] = ()
    turned_red: int = 0
    rechecking: bool = False
    rechecks: int = 0
    recheck_seconds: float = 0.0

    @property
    def checks(self) -> int:
        """How many checks of the last gate have ended."""
        return self.passed + len(self.failing)

    @property
    def playing(self) -> bool:
        """Its playbook runs, or did when all came to an end: the last task tells where."""
        cut_short = self.played is None or self.played.outcome is not PlaybookOutcome.SUCCEEDED
        recovering = self.state is ComponentState.RECOVERING
        return recovering or (
            self.state is ComponentState.FAILED and self.attempts > 0 and cut_short
        )

    @property
    def checking(self) -> bool:
        """Its gate runs, or did when all came to an end."""
        return self.state in {ComponentState.OBSERVING, ComponentState.VERIFYING}

    @property
    def stats(self) -> Mapping[str, HostStats]:
        """The last playbook's counts for each host; empty when none ended."""
        return self.played.stats if self.played else {}

    @property
    def changed(self) -> int:
        """How many tasks of the last playbook changed something (or would, in a dry run)."""
        return sum(host.changed for host in self.stats.values())

    @property
    def really_changed(self) -> int:
        """How many tasks of a dry run changed something all the same."""
        return sum(host.really_changed for host in self.stats.values())


def planned_progress(component: PlannedComponent) -> ComponentProgress:
    """A component of which only the plan is known."""
    return ComponentProgress(
        name=component.name,
        layer=component.layer,
        hosts=component.hosts,
        needs=component.needs,
    )


ComponentEvent = (
    GateStarted
    | GateCollected
    | CheckFinished
    | GateFinished
    | PlaybookStarted
    | WorkAwaited
    | WorkTaken
    | TaskStarted
    | TaskFailed
    | PlaybookFinished
    | ComponentHealthy
    | ComponentVerified
    | ComponentFailed
    | ComponentHeld
    | ComponentPostponed
    | ComponentWaived
    | ComponentBlocked
    | ComponentTurnedRed
    | ComponentHeldBack
    | ApprovalGiven
    | ApprovalDenied
    | ApprovalExpired
    | RetryAsked
    | Waived
    | WaiverExpired
)


def waiting_again(was: ComponentProgress) -> ComponentProgress:
    """A component that waits for its turn anew: what was said of it no longer counts."""
    pending = replace(was, state=ComponentState.PENDING, rechecking=False, asks=False, waived=())
    return replace(pending, task="", reason="", hint="", blocked_by=(), degraded=())


def progress_after(  # noqa: C901, PLR0911 -- one return for each kind
    was: ComponentProgress, event: ComponentEvent, *, dry_run: bool
) -> ComponentProgress:
    """The component after one more event about it."""
    match event:
        case GateStarted() | GateCollected() | CheckFinished() | GateFinished():
            again = getattr(event, "purpose", None) is GatePurpose.RECHECK or was.rechecking
            return _after_recheck(was, event) if again else _after_gate(was, event)
        case PlaybookStarted() | TaskStarted() | TaskFailed() | PlaybookFinished():
            return _after_playbook(was, event, dry_run=dry_run)
        case WorkAwaited(reason=reason):
            return replace(was, task=reason)
        case WorkTaken():
            return replace(was, task="")
        case ComponentHealthy():
            # Found up by a run that went on, after it had brought it back itself.
            done = was.attempts > 0 and not dry_run
            state = ComponentState.VERIFIED if done else ComponentState.HEALTHY
            return replace(was, state=state, task="", reason="", hint="")
        case ComponentVerified(degraded=degraded):
            state = ComponentState.DEGRADED if degraded else ComponentState.VERIFIED
            return replace(was, state=state, degraded=degraded, task="", reason="", hint="")
        case ComponentFailed(reason=reason, hint=hint):
            return replace(was, state=ComponentState.FAILED, reason=reason, hint=hint)
        case ComponentBlocked(by=by):
            return replace(was, state=ComponentState.BLOCKED, blocked_by=by)
        case ComponentTurnedRed(reason=reason, times=times):
            return replace(waiting_again(was), reason=reason, turned_red=times)
        case ComponentHeldBack(by=by):
            return replace(waiting_again(was), blocked_by=by)
        case _:
            return _after_decision(was, event)


def _after_decision(  # noqa: PLR0911 -- one return for each kind
    was: ComponentProgress,
    event: ComponentHeld
    | ComponentPostponed
    | ComponentWaived
    | ApprovalGiven
    | ApprovalDenied
    | ApprovalExpired
    | RetryAsked
    | Waived
    | WaiverExpired,
) -> ComponentProgress:
    again = waiting_again(was)
    match event:
        case ComponentHeld(reason=reason, hint=hint, asks=asks, expires=expires):
            after = replace(was, state=ComponentState.HELD, reason=reason, hint=hint)
            return replace(after, asks=asks, expires=expires)
        case ComponentPostponed() | RetryAsked():
            return again
        case ComponentWaived(waived=waived):
            return replace(again, state=ComponentState.WAIVED, waived=waived)
        case ApprovalGiven():
            return again if was.state is ComponentState.HELD else was
        case ApprovalDenied():
            return replace(was, asks=False, reason=f"{was.reason} ({denial(event)})", hint="")
        case ApprovalExpired():
            return replace(was, asks=False, reason=f"{was.reason} ({EXPIRED})", hint="")
        case Waived():
            return again if was.state in BLOCKING else was
        case WaiverExpired():
            return again if was.state is ComponentState.WAIVED else was
        case _:
            assert_never(event)


def _after_gate(
    was: ComponentProgress, event: GateStarted | GateCollected | CheckFinished | GateFinished
) -> ComponentProgress:
    match event:
        case GateStarted(purpose=purpose):
            observing = purpose is GatePurpose.OBSERVE
            state = ComponentState.OBSERVING if observing else ComponentState.VERIFYING
            after = replace(was, state=state, gate=None, task="", gates=was.gates + 1)
            return replace(after, collected=0, passed=0, failing=(), blocked_by=(), degraded=())
        case GateCollected(checks=collected):
            return replace(was, collected=was.collected + collected)  # one for each shard
        case CheckFinished(outcome=CheckOutcome.PASSED):
            return replace(was, passed=was.passed + 1)
        case CheckFinished():
            return replace(was, failing=(*was.failing, event))
        case GateFinished(purpose=GatePurpose.OBSERVE, attempt=attempt, seconds=seconds):
            # A look ahead over, it waits for its turn; else what comes of it is told at once.
            state = was.state if attempt else ComponentState.PENDING
            seconds += was.observe_seconds
            after = replace(was, state=state, observe_seconds=seconds)
            return replace(after, gate=event, passed=event.passed)
        case GateFinished(seconds=seconds):
            seconds += was.gate_seconds
            return replace(was, gate=event, passed=event.passed, gate_seconds=seconds)
        case _:
            assert_never(event)


def _after_recheck(
    was: ComponentProgress, event: GateStarted | GateCollected | CheckFinished | GateFinished
) -> ComponentProgress:
    """A gate that is repeated: what is known of the component stays, until it is told otherwise."""
    match event:
        case GateStarted():
            return replace(was, rechecking=True, rechecks=was.rechecks + 1)
        case GateFinished(seconds=seconds, green=green, degraded=degraded):
            seconds += was.recheck_seconds
            after = replace(was, rechecking=False, recheck_seconds=seconds)
            return _with_degraded(after, event) if green and degraded != was.degraded else after
        case _:
            return was


def _with_degraded(was: ComponentProgress, gate: GateFinished) -> ComponentProgress:
    """Other hosts of what is up are open work now, or none."""
    state = ComponentState.VERIFIED if was.attempts else ComponentState.HEALTHY
    if gate.degraded:
        state = ComponentState.DEGRADED
    after = replace(was, state=state, degraded=gate.degraded, gate=gate)
    return replace(after, passed=gate.passed, failing=())


def _after_playbook(
    was: ComponentProgress,
    event: PlaybookStarted | TaskStarted | TaskFailed | PlaybookFinished,
    *,
    dry_run: bool,
) -> ComponentProgress:
    match event:
        case PlaybookStarted(attempt=attempt, playbook=playbook):
            return replace(
                was,
                state=ComponentState.RECOVERING,
                attempts=attempt,
                blocked_by=(),
                playbook=playbook,
                failures=(),
                played=None,
            )
        case TaskStarted(task=task):
            return replace(was, task=task)
        case TaskFailed():
            return replace(was, failures=(*was.failures, event))
        case PlaybookFinished(outcome=outcome, seconds=seconds):
            after = replace(was, played=event, playbook_seconds=was.playbook_seconds + seconds)
            if dry_run and outcome is PlaybookOutcome.SUCCEEDED:
                # Nothing was done: the component is as the gate found it before.
                up = was.gate is not None and was.gate.green
                state = ComponentState.HEALTHY if up else ComponentState.PENDING
                return replace(after, state=state, task="")
            return after
        case _:
            assert_never(event)
