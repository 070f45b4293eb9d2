"""Who may start, who is down and because of whom: the order of a recovery, pure.

A component's turn comes when all it stands on is up.

What is up may turn red again. One red look decides nothing: what the component stands on is looked
at first, the lowest first, for the cause may lie there; nothing above it starts, and no playbook of
what is under way there, until a second look has decided. When that is red, it waits for its turn
anew, and all that stands on it waits with it. A failure has what it stands on looked at just the
same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from orchestrator import order
from orchestrator.events import (
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentHeldBack,
    ComponentTurnedRed,
    ComponentVerified,
    ComponentWouldRecover,
    Event,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlaybookFinished,
    PlaybookStarted,
)
from orchestrator.plan import Component, Plan


class Standing:
    """Which components wait, which may start, and which are down, and because of whom."""

    def __init__(self, plan: Plan, *, ordered: bool) -> None:
        names = [component.name for component in plan.components]
        # What was left out of the plan by a person's own choice is not waited for.
        self._below: Mapping[str, frozenset[str]] = {
            c.name: frozenset(set(names).intersection(c.stands_on) if ordered else ())
            for c in plan.components
        }
        self._above = order.above({name: tuple(below) for name, below in self._below.items()})
        self._components = {component.name: component for component in plan.components}
        self._waiting = set(names)
        self._running: set[str] = set()
        self._up: set[str] = set()
        self._ended: set[str] = set()
        self._doubted: set[str] = set()  # up as far as is known, and to be looked at again
        self._looked_since: set[str] = set()  # of these: a look has begun since the doubt
        self._red_once: set[str] = set()  # of these: that look was red; the second one decides
        self._unsettled: dict[str, dict[str, None]] = {}  # under way -> what turned red below it
        self._untold: list[ComponentHeldBack] = []
        self._cut_short = False
        self.down: dict[str, tuple[str, ...]] = {}  # name -> the components to blame

    @property
    def complete(self) -> bool:
        """Every component came to its end: none was left waiting, cut short or in doubt."""
        return not (self._waiting or self._running or self._cut_short or self._doubted)

    def newly_blocked(self) -> Iterator[ComponentBlocked]:
        """What stands on something down, told when all it stands on has come to its end."""
        for name in self._in_turn():
            below = self._below[name]
            if below <= self._up or not below <= self._ended:
                continue
            component = self._components[name]
            blamed = (root for n in component.stands_on for root in self.down.get(n, ()))
            self._end(name, blame=tuple(dict.fromkeys(blamed)))
            yield ComponentBlocked(component=name, by=self.down[name])

    def newly_held_back(self) -> Iterator[ComponentHeldBack]:
        """What had come to its end, and waits again because something it stands on turned red."""
        while self._untold:
            yield self._untold.pop(0)

    def next_ready(self) -> Component | None:
        """Whose turn it is, in the order of the plan; it counts as started."""
        for name in self._in_turn():
            below = self._below[name]
            # Nothing is done to what others, still under way, stand on: they come to their end.
            may = below <= self._up and self._red_once.isdisjoint(below)
            if may and self._running.isdisjoint(self._above[name]):
                self._waiting.remove(name)
                self._running.add(name)
                return self._components[name]
        return None

    def doubted(self) -> Iterator[Component]:
        """What is to be looked at again before anything is done above it, the lowest first."""
        yield from (c for name, c in self._components.items() if name in self._doubted)

    def doubt(self, names: Iterable[str]) -> bool:
        """Have these looked at again, as far as they are up; whether there is one."""
        up = self.up(names)
        self._doubted |= up
        self._looked_since -= up
        return bool(up)

    def up(self, names: Iterable[str]) -> frozenset[str]:
        """Those of these that are up, as far as is known."""
        return frozenset(self._up.intersection(names))

    def red_once(self, name: str) -> bool:
        """It was up when last judged, and the last look at it was red: the next one decides."""
        return name in self._red_once

    def watched(self, name: str) -> bool:
        """It is up, and in doubt or something that stands on it has not come to its end."""
        above_ended = self._ended.issuperset(self._above[name])
        return name in self._up and (name in self._doubted or not above_ended)

    def unsettled(self, name: str, step: object) -> ComponentHeldBack | None:
        """What to say of a component under way, in place of its next step.

        Something it stands on turned red meanwhile: the work is over, what it means is open. Or was
        seen red once: no playbook starts before the second look.
        """
        if isinstance(step, GateFinished | PlaybookFinished):
            return None
        by = dict(self._unsettled.get(name, {}))
        if isinstance(step, PlaybookStarted):
            undecided = self._below[name] & self._red_once
            by |= dict.fromkeys(n for n in self._components if n in undecided)
        return ComponentHeldBack(component=name, by=tuple(by)) if by else None

    def note(self, event: Event) -> None:
        """Take what was seen or judged into account; any other event changes nothing."""
        match event:
            case GateStarted(component=name, purpose=GatePurpose.RECHECK):
                self._looked_since.add(name)
            case GateFinished(component=name, purpose=GatePurpose.RECHECK, green=green):
                self._note_look(name, green=green)
            case ComponentHealthy(component=name) | ComponentVerified(component=name):
                self._end(name)
            case ComponentWouldRecover(component=name):
                self._end(name)  # it holds nothing up: nothing was to change
            case ComponentFailed(component=name) | ComponentHeld(component=name):
                self._end(name, blame=(name,))
                self.doubt(self._below[name])
            case ComponentTurnedRed(component=name):
                self._turn_red(name)
            case ComponentHeldBack(component=name):
                self._wait_again(name)
            case _:
                pass

    def over(self, name: str, *, cut_short: bool) -> None:
        """Its script has ended; cut short when that came without a verdict because of a stop."""
        if name in self._running:
            self._running.remove(name)
            self._unsettled.pop(name, None)
            self._cut_short |= cut_short and name not in self._ended

    def _note_look(self, name: str, *, green: bool) -> None:
        if green:
            self._red_once.discard(name)
            self._doubted -= {name} & self._looked_since
        elif self.watched(name):
            if name not in self._red_once:
                self.doubt(self._below[name])
            self._doubted.add(name)
            self._red_once.add(name)

    def _in_turn(self) -> Iterator[str]:
        return (name for name in self._components if name in self._waiting)

    def _turn_red(self, name: str) -> None:
        self._wait_again(name)
        for higher in self._above[name]:
            if higher in self._running:
                self._unsettled.setdefault(higher, {})[name] = None
            elif higher in self._ended:
                self._wait_again(higher)
                self._untold.append(ComponentHeldBack(component=higher, by=(name,)))

    def _wait_again(self, name: str) -> None:
        self._waiting.add(name)
        for known in (self._up, self._ended, self._doubted, self._red_once):
            known.discard(name)
        self.down.pop(name, None)

    def _end(self, name: str, *, blame: tuple[str, ...] = ()) -> None:
        self._waiting.discard(name)
        self._ended.add(name)
        if blame:
            self.down[name] = blame
        else:
            self._up.add(name)
