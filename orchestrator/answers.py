"""What comes of a person's request: the events it leads to, or why it cannot be honoured. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

from orchestrator.decisions import (
    ApprovalDenied,
    ApprovalExpired,
    ApprovalGiven,
    RequestRefused,
    RetryAsked,
    RunCancelled,
    RunHeld,
    RunReleased,
    Waived,
    WaiverExpired,
)
from orchestrator.events import ComponentWaived, Event
from orchestrator.plan import Component, Plan
from orchestrator.project import did_you_mean
from orchestrator.requests import (
    Approve,
    Cancel,
    Deny,
    Hold,
    Release,
    Requested,
    Retry,
    Waive,
    title,
)
from orchestrator.state import DOWN, ComponentProgress, ComponentState, RunState

_TOO_LATE = "it was asked before the run went on: ask again if it is still meant"
_MAY_BE_SKIPPED = frozenset({ComponentState.PENDING, ComponentState.FAILED, ComponentState.HELD})
_NOT_YET = DOWN | {ComponentState.PENDING, ComponentState.OBSERVING}

_Said = Mapping[str, object]


class _Refused(Exception):  # noqa: N818 -- it is an answer
    """Why a request cannot be honoured."""


def answer(
    asked: Requested, state: RunState, plan: Plan, *, at: datetime, stopping: bool = False
) -> tuple[Event, ...]:
    """The events that answer a request, in their order: a refusal names the reason.

    `state` is where the run stands, `at` the wall clock; `stopping`: the run is ending.
    """
    why_not = _TOO_LATE if asked.late else "the run is ending" if stopping else ""
    try:
        return tuple(_events(asked, state, plan, at, why_not))
    except _Refused as refused:
        what = title(asked.request)
        return (RequestRefused(by=asked.by, request=asked.id, asked=what, reason=str(refused)),)


def expired(
    state: RunState, *, at: datetime, elapsed: float
) -> tuple[ApprovalExpired | WaiverExpired, ...]:
    """What is over by now: questions that nobody answered in time, and waivers."""
    questions = (
        ApprovalExpired(component=c.name)
        for c in state.components.values()
        if c.asks and c.expires is not None and elapsed - c.since >= c.expires
    )
    waivers = (
        WaiverExpired(component=w.component, host=w.host, check=w.check)
        for w in state.decided.waivers
        if not w.expired and not w.live(at=at, elapsed=elapsed)
    )
    return (*questions, *waivers)


def may_expire(state: RunState) -> bool:
    """Something of the run ends by itself when its time has come."""
    asked = any(c.asks and c.expires is not None for c in state.components.values())
    return asked or any(not waiver.expired for waiver in state.decided.waivers)


def _events(
    asked: Requested, state: RunState, plan: Plan, at: datetime, why_not: str
) -> Iterator[Event]:
    request = asked.request
    if request is None or why_not:
        raise _Refused(why_not or "this version of drcli does not know it")
    said: _Said = {"by": asked.by, "reason": request.reason, "request": asked.id}
    match request:
        case Hold() | Release() | Cancel():
            yield _of_the_run(request, said, state)
        case Waive():
            yield from _waived(request, said, state, plan, at)
        case _:
            component = _planned(plan, request.component)
            yield _of_a_component(request, said, component, state)


def _of_the_run(request: Hold | Release | Cancel, said: _Said, state: RunState) -> Event:
    hold = state.decided.hold
    match request:
        case Hold() if hold:
            raise _Refused(f"{hold.by} holds it already")
        case Hold():
            return RunHeld.model_validate(said)
        case Release() if hold:
            return RunReleased.model_validate(said)
        case Release():
            raise _Refused("nobody holds it")
        case Cancel():
            return RunCancelled.model_validate(said)


def _of_a_component(
    request: Approve | Deny | Retry, said: _Said, component: Component, state: RunState
) -> Event:
    known = state.components[component.name]
    said = {**said, "component": component.name}
    match request:
        case Approve():
            _require_approvable(str(said["by"]), component, state)
            return ApprovalGiven.model_validate(said)
        case Deny() if known.asks:
            return ApprovalDenied.model_validate(said)
        case Deny():
            raise _Refused(f"{known.name} is {known.state}: nobody is asked")
        case Retry():
            _require_retriable(known)
            return RetryAsked.model_validate(said)


def _planned(plan: Plan, name: str) -> Component:
    for component in plan.components:
        if component.name == name:
            return component
    names = [component.name for component in plan.components]
    raise _Refused(f"no component {name!r} in this run{did_you_mean(name, names)}")


def _require_approvable(by: str, component: Component, state: RunState) -> None:
    name = component.name
    known = state.components[name]
    if component.approval is None:
        raise _Refused(f"{name} asks for no approval")
    if name in state.approved:
        raise _Refused(f"{name} is approved already")
    if name in state.decided.closed:
        closed = state.decided.closed[name]
        raise _Refused(f"{closed}; have it asked again: drcli retry {state.run} {name}")
    if known.state not in _NOT_YET:
        raise _Refused(f"{name} is {known.state}: there is nothing to approve")
    if component.by_another and by in state.decided.starters:
        raise _Refused(f"{by} started the run: {name} must be approved by another person")


def _require_retriable(known: ComponentProgress) -> None:
    match known.state:
        case ComponentState.HELD if known.asks:
            raise _Refused(f"{known.name} waits for approval, not to be tried again")
        case ComponentState.FAILED | ComponentState.HELD:
            return
        case ComponentState.BLOCKED:
            roots = ", ".join(known.blocked_by)
            raise _Refused(f"{known.name} waits for {roots}: that is what to try again")
        case _:
            raise _Refused(f"{known.name} is {known.state}: only what failed is tried again")


def _waived(
    request: Waive, said: _Said, state: RunState, plan: Plan, at: datetime
) -> Iterator[Event]:
    if request.until <= at:
        raise _Refused(f"{request.until.astimezone():%Y-%m-%d %H:%M} is over already")
    names = _concerned(request, plan)
    for name in names:
        known = state.components[name]
        if request.check:
            _require_bad_check(known, request.check)
        elif not request.host and known.state not in _MAY_BE_SKIPPED:
            raise _Refused(f"{name} is {known.state}: only what waits, failed or is held")
    what = {"host": request.host, "check": request.check, "until": request.until}
    for name in names:
        yield Waived.model_validate({**said, **what, "component": name})
        if not (request.host or request.check):
            yield ComponentWaived(component=name, waived=(name,))


def _concerned(request: Waive, plan: Plan) -> list[str]:
    """The components that a waiver is for."""
    if request.component:
        component = _planned(plan, request.component)
        if request.host and request.host not in component.hosts:
            raise _Refused(f"{component.name} has no host {request.host!r}")
        return [component.name]
    names = [c.name for c in plan.components if request.host in c.hosts]
    if not names:
        raise _Refused(f"no component of this run has a host {request.host!r}")
    return names


def _require_bad_check(known: ComponentProgress, check: str) -> None:
    """A misspelt check would be waived without any effect: it must be one that is bad."""
    bad = sorted({failing.check for failing in known.failing})
    if any(check in {name, name.partition("[")[0]} for name in bad):
        return
    found = f"its bad checks: {', '.join(bad)}" if bad else "none of its checks is bad"
    raise _Refused(f"check {check!r} of {known.name} is not bad; {found}")
