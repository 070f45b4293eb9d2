"""What is done to one component, as little scripts: each yields events to record and work to do.

A script that finds the stop flag set ends without a verdict.
"""

from __future__ import annotations

from itertools import count

from orchestrator.events import (
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentPostponed,
    ComponentTurnedRed,
    ComponentVerified,
    ComponentWaived,
    GatePurpose,
    PlaybookOutcome,
)
from orchestrator.plan import Component
from orchestrator.run import Run
from orchestrator.steps import (
    Script,
    gate,
    gate_reason,
    given_up,
    pause_for,
    play,
    playbook_reason,
    steady_gate,
    worked_on,
)

FIRST_PAUSE = 0.1  # seconds between the first two gates of `settle`; then half as long again each
LONGEST_PAUSE = 5.0
OFTEN = 1.0  # a pause as long as this is never too short, and no longer than this of a gate's time:
COST = 4.0  # so a component is seen to be up soon, and its gate takes a fifth of the time at most
AHEAD = 0  # the attempt of a look ahead of the component's turn; in its turn they count from 1
MOST_RED = 3  # times that a component which was up may turn red in a run; one more, and it failed


def look_ahead(run: Run, component: Component) -> Script:
    """Observe a component before its turn: no verdict, only what may save the look in its turn."""
    yield from gate(run, component, GatePurpose.OBSERVE, attempt=AHEAD)


def bring_back(run: Run, component: Component) -> Script:
    """Observe, then do what is needed."""
    observed = yield from steady_gate(run, component, GatePurpose.OBSERVE, attempt=1)
    if not run.inbox.stop.is_set():
        yield from go_on(run, component, healthy=observed.green)


def go_on(  # noqa: PLR0911 -- one for each end
    run: Run, component: Component, *, healthy: bool
) -> Script:
    """If need be run the playbook, then the gate until it is green or `settle` is over.

    As long as that lasts, hosts that the component can do without are waited for as well, but not
    those that the playbook failed on.
    """
    if healthy:
        yield _up(run, component) or ComponentHealthy(component=component.name)
        return
    if run.state.decided.hold:
        yield ComponentPostponed(component=component.name)
        return
    if component.approval and component.name not in run.state.approved | run.options.approved:
        yield _held(run, component)
        return
    played = yield from play(run, component)
    if run.inbox.stop.is_set():
        return
    lost = given_up(played, worked_on(run, component))
    if lost is None:
        yield ComponentFailed(component=component.name, reason=playbook_reason(played))
        return
    deadline = run.clock.monotonic() + component.settle
    pause = FIRST_PAUSE
    for attempt in count(1):
        began = run.clock.monotonic()
        verified = yield from steady_gate(run, component, GatePurpose.VERIFY, attempt=attempt)
        if run.inbox.stop.is_set():
            return
        now = run.clock.monotonic()
        left = deadline - now
        if verified.green and (left <= 0 or lost.issuperset(verified.degraded)):
            up = ComponentVerified(component=component.name, degraded=verified.degraded)
            yield _up(run, component) or up
            return
        if left <= 0:
            yield ComponentFailed(component=component.name, reason=gate_reason(verified))
            return
        yield pause_for(run, min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE, max(OFTEN, COST * (now - began)))


def _up(run: Run, component: Component) -> ComponentWaived | None:
    """The verdict where the last gate was green only because of waivers."""
    known = run.state.components.get(component.name)
    if known is None or known.gate is None or not known.gate.waived:
        return None
    return ComponentWaived(component=component.name, waived=known.gate.waived)


def _held(run: Run, component: Component) -> ComponentHeld:
    """The component's question, with the command that answers it."""
    name, asked = component.name, component.approval or ""
    closed = run.state.decided.closed.get(name)
    if closed:
        return ComponentHeld(component=name, reason=f"{asked} ({closed})")
    hint = f"drcli approve {run.options.run} {name}"
    if not run.options.wait:
        again = f"drcli recover --site {run.site}"
        hint = f"{again} --wait" if component.by_another else f"{again} --approve {name}"
    return ComponentHeld(
        component=name, reason=asked, hint=hint, asks=True, expires=component.approval_expires
    )


def look_again(run: Run, component: Component, *, times: int | None) -> Script:
    """Look again at a component that is up.

    The first red look decides nothing (`times` is None); the second says that it has turned red,
    and for how many `times` in this run.
    """
    attempt = 1 if times is None else 2
    result = yield from gate(run, component, GatePurpose.RECHECK, attempt=attempt)
    if result.green or times is None or run.inbox.stop.is_set():
        return
    reason = gate_reason(result)
    yield ComponentTurnedRed(component=component.name, times=times, reason=reason)
    if times > MOST_RED:
        many = f"it was up and turned red {times} times in this run"
        yield ComponentFailed(component=component.name, reason=f"{many}; {reason}")


def rehearse(run: Run, component: Component) -> Script:
    """Observe, then the playbook in check mode; the gate's colour decides nothing."""
    observed = yield from gate(run, component, GatePurpose.OBSERVE, attempt=1)
    if run.inbox.stop.is_set():
        return
    played = yield from play(run, component)
    if run.inbox.stop.is_set():
        return
    if played.outcome is not PlaybookOutcome.SUCCEEDED:
        yield ComponentFailed(component=component.name, reason=playbook_reason(played))
    elif observed.green:
        yield ComponentHealthy(component=component.name)


def look(run: Run, component: Component) -> Script:
    """The gate alone, once."""
    result = yield from gate(run, component, GatePurpose.VERIFY, attempt=1)
    if run.inbox.stop.is_set():
        return
    if result.green:
        yield ComponentVerified(component=component.name, degraded=result.degraded)
    else:
        yield ComponentFailed(component=component.name, reason=gate_reason(result))
