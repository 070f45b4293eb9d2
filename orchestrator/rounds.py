"""When the gates of what is up are repeated: one at a time, and never more often than is cheap.

Each component that is up has its next look after its own interval. What is in doubt goes first.
"""

from __future__ import annotations

import math

from orchestrator.events import (
    ComponentHealthy,
    ComponentVerified,
    Event,
    GateFinished,
    GatePurpose,
)
from orchestrator.plan import Component, Plan
from orchestrator.standing import Standing

LAST = 30.0  # seconds: what is up and was not seen for so long is looked at once more at the end
SHARE = 10  # a look that takes longer than this part of its interval stretches it


class Rounds:
    """The looks to come; all times are seconds on the run's monotonic clock."""

    def __init__(self, plan: Plan, standing: Standing) -> None:
        self._components = {component.name: component for component in plan.components}
        self._standing = standing
        self._due: dict[str, float] = {}
        self._looked: dict[str, float] = {}  # when each was last seen to be up
        self._looked_last = False  # since something was brought back

    def note(self, event: Event, now: float) -> None:
        """Take an event into account: a look that ended, or a component that is up now."""
        match event:
            case ComponentHealthy(component=name) | ComponentVerified(component=name):
                self._due[name] = now + self._components[name].recheck
                self._looked[name] = now
                self._looked_last = False
            case GateFinished(component=name, purpose=GatePurpose.RECHECK, seconds=seconds):
                self._due[name] = now + max(self._components[name].recheck, SHARE * seconds)
                self._looked[name] = now if event.green else -math.inf
            case _:
                pass

    def next(self, now: float) -> Component | None:
        """What to look at again now."""
        for component in self._standing.doubted():
            return component
        for name, due in sorted(self._due.items(), key=lambda item: item[1]):
            if due > now:
                break
            if self._standing.watched(name):
                return self._components[name]
            self._due[name] = now + self._components[name].recheck
        return None

    def last(self, now: float) -> tuple[str, ...]:
        """What is to be looked at a last time, when all has come to its end.

        What is up and was not seen for a while may have fallen over since: that is looked at once.
        So may what was last seen red, by a look that was broken off or too late to hold anything.
        """
        since = -math.inf if self._looked_last else now - LAST
        self._looked_last = True
        return tuple(n for n, at in self._looked.items() if at == -math.inf or at < since)

    def wait(self, now: float) -> float | None:
        """Seconds until the next look may be due; None when none is to come."""
        return max(0.0, min(self._due.values()) - now) if self._due else None
