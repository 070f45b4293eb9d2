"""What is done to one component, as little scripts: each yields events to record and work to do.

A script that finds the stop flag set ends without a verdict.
"""

from __future__ import annotations

from itertools import count

from orchestrator.events import (
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentTurnedRed,
    ComponentVerified,
    ComponentWouldRecover,
    GatePurpose,
    PlaybookOutcome,
    RuleApplied,
    RuleAwaited,
)
from orchestrator.plan import Component
from orchestrator.run import Run
from orchestrator.site_types import written
from orchestrator.steps import (
    Script,
    Steps,
    Turn,
    gate,
    gate_reason,
    only_dark_hosts,
    pause_for,
    play,
    playbook_reason,
)

FIRST_PAUSE = 0.1  # seconds between the first two gates of `settle`; then half as long again each
LONGEST_PAUSE = 5.0
OFTEN = 1.0  # a pause as long as this is never too short, and no longer than this of a gate's time:
COST = 4.0  # so a component is seen to be up soon, and its gate takes a fifth of the time at most
MOST_RED = 3  # times that a component which was up may turn red in a run; one more, and it failed


def bring_back(run: Run, component: Component) -> Script:
    """Observe; what is not up: the playbook, then the gate until it is green.

    What cannot be had whole may go on by a rule of the site file, when the rule's time has come.
    """
    if not (yield from _is_for_its_playbook(run, component)):
        return
    seen_down = run.clock.monotonic()
    if component.approval and component.name not in run.options.approved:
        yield ComponentHeld(component=component.name, reason=component.approval)
        return
    why = yield from _attempt(run, component)
    if why and component.allow_async is not None:
        why = yield from _go_on_by_rule(run, component, why, seen_down + component.allow_async)
    if run.inbox.stop.is_set():
        return
    if why:
        yield ComponentFailed(component=component.name, reason=why)
    else:
        yield ComponentVerified(component=component.name)


def _attempt(run: Run, component: Component) -> Steps[str]:
    """The playbook, then the gate; why the component is not up, empty when it is."""
    played = yield from play(run, component)
    if run.inbox.stop.is_set():
        return ""
    succeeded = played.outcome is PlaybookOutcome.SUCCEEDED
    if not succeeded and not (run.rule(component.name) and only_dark_hosts(played)):
        return playbook_reason(played)
    return (yield from _prove(run, component))


def rehearse(run: Run, component: Component) -> Script:
    """Observe; what is not up: the playbook, which here changes nothing, and its own verdict."""
    if not (yield from _is_for_its_playbook(run, component)):
        return
    played = yield from play(run, component)
    if run.inbox.stop.is_set():
        return
    if played.outcome is PlaybookOutcome.SUCCEEDED:
        yield ComponentWouldRecover(component=component.name)
    else:
        reason = f"dry run: {playbook_reason(played)}"
        yield ComponentFailed(component=component.name, reason=reason)


def _is_for_its_playbook(run: Run, component: Component) -> Steps[bool]:
    """Look first: whether it is down, and a playbook is to bring it back."""
    observed = yield from gate(run, component, GatePurpose.OBSERVE, attempt=1)
    if run.inbox.stop.is_set():
        return False
    if observed.green:
        yield ComponentHealthy(component=component.name)
        return False
    if component.gate_only:
        reason = f"down, and --from leaves its playbook out; {gate_reason(observed)}"
        yield ComponentFailed(component=component.name, reason=reason)
        return False
    return True


def _go_on_by_rule(run: Run, component: Component, why: str, at: float) -> Steps[str]:
    """Wait until the rule's time has come, or the component is up before; then try by the rule.

    What waits holds no slot.
    """
    rule = f"allow_async: after {written(component.allow_async or 0)}"
    while not run.inbox.stop.is_set() and (left := at - run.clock.monotonic()) > 0:
        yield RuleAwaited(component=component.name, rule=rule, seconds=left, reason=why)
        yield pause_for(run, min(left, component.recheck))
        seen = yield from gate(run, component, GatePurpose.OBSERVE, attempt=1)
        if seen.green:
            return ""
    yield Turn()
    if run.inbox.stop.is_set():
        return why
    yield RuleApplied(component=component.name, rule=rule)
    return (yield from _attempt(run, component))


def _prove(run: Run, component: Component) -> Steps[str]:
    """The gate until it is green, or `settle` is over; why the component is not up."""
    deadline = run.clock.monotonic() + component.settle
    pause = FIRST_PAUSE
    for attempt in count(1):
        began = run.clock.monotonic()
        verified = yield from gate(run, component, GatePurpose.VERIFY, attempt=attempt)
        if verified.green or run.inbox.stop.is_set():
            return ""
        now = run.clock.monotonic()
        left = deadline - now
        if left <= 0:
            return gate_reason(verified)
        yield pause_for(run, min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE, max(OFTEN, COST * (now - began)))
    raise AssertionError  # it counts without an end


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


def look(run: Run, component: Component) -> Script:
    """The gate alone, once."""
    result = yield from gate(run, component, GatePurpose.VERIFY, attempt=1)
    if run.inbox.stop.is_set():
        return
    if result.green:
        yield ComponentVerified(component=component.name)
    else:
        yield ComponentFailed(component=component.name, reason=gate_reason(result))
