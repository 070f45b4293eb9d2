"""Who may start, who is down and because of whom: the order of a recovery, pure.

A component's turn comes when all it stands on is up. Before that it may be looked at ahead, once
the lowest it stands on were found up. What is found red shakes everything that stands on it: of
that nothing is looked at ahead any more, and what was seen ahead no longer counts.

What is up may turn red again. One red look decides nothing: what the component stands on is looked
at first, the lowest first, for the cause may lie there; nothing above it starts until a second look
has decided. Then it waits for its turn anew, and all that stands on it waits with it. A failure has
what it stands on looked at just the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from orchestrator import order
from orchestrator.decisions import ApprovalGiven, RetryAsked, Waived, WaiverExpired
from orchestrator.events import (
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentHeldBack,
    ComponentPostponed,
    ComponentTurnedRed,
    ComponentVerified,
    ComponentWaived,
    Event,
    GateFinished,
    GatePurpose,
    GateStarted,
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
        way = order.remaining(plan.graph if ordered else dict.fromkeys(names, ()), plan.weights)
        first = sorted(plan.components, key=lambda c: -way[c.name])  # else as in the plan
        self._components = {component.name: component for component in first}
        self._lowest_first = names
        self._waiting = set(names)
        self._running: set[str] = set()
        self._up: set[str] = set()
        self._ended: set[str] = set()
        self._found_up: set[str] = set()  # up, and nothing was done to it
        self._begun: set[str] = set()  # looked at, in its turn or ahead
        self._looking: set[str] = set()  # being looked at ahead
        self._seen: dict[str, bool] = {}  # known before its turn: that its gate is green, or not
        self._shaken: set[str] = set()
        self.waived: set[str] = set()  # up only because a person accepts what is bad
        self._doubted: set[str] = set()  # up as far as is known, and to be looked at again
        self._looked_since: set[str] = set()  # of these: a look has begun since the doubt
        self._red_once: set[str] = set()  # of these: that look was red; the second one decides
        self._unsettled: dict[str, dict[str, None]] = {}  # under way -> what turned red below it
        self._untold: list[ComponentHeldBack] = []
        self._cut_short = False
        self.degraded: set[str] = set()  # up, with hosts that are not
        self.down: dict[str, tuple[str, ...]] = {}  # name -> the components to blame

    @property
    def complete(self) -> bool:
        """Every component came to its end: none was left waiting, cut short or in doubt."""
        return not (self._waiting or self._running or self._cut_short or self._doubted)

    @property
    def waiting(self) -> bool:
        """Something has not had its turn yet."""
        return bool(self._waiting)

    def newly_blocked(self) -> Iterator[ComponentBlocked]:
        """What stands on something down, told when all it stands on has come to its end."""
        for name in self._in_turn():
            below = self._below[name]
            if name in self._looking or below <= self._up or not below <= self._ended:
                continue
            component = self._components[name]
            blamed = (root for n in component.stands_on for root in self.down.get(n, ()))
            self._end(name, blame=tuple(dict.fromkeys(blamed)))
            yield ComponentBlocked(component=name, by=self.down[name])

    def newly_held_back(self) -> Iterator[ComponentHeldBack]:
        """What had come to its end, and waits again because something it stands on turned red."""
        while self._untold:
            yield self._untold.pop(0)

    def next_ready(self, *, slot: bool) -> Component | None:
        """Whose turn it is: of those that may start, the one with the longest way; it has started.

        Without a free slot only one that was seen to be up ahead: nothing is left to do for it.
        """
        for name in self._in_turn():
            below = self._below[name]
            if name in self._looking or not below <= self._up:
                continue
            if not (slot or self._seen.get(name)):
                continue
            # Nothing is done to what others, still under way, stand on: they come to their end.
            if self._red_once.isdisjoint(below) and self._running.isdisjoint(self._above[name]):
                self._waiting.remove(name)
                self._running.add(name)
                return self._components[name]
        return None

    def next_ahead(self) -> Component | None:
        """Who may be looked at ahead of its turn; it counts as being looked at.

        The lowest it stands on were found up, so the site is hardly dark; nothing it stands on was
        found red; and a look at each of these has begun.
        """
        for name in self._in_turn():
            below = self._below[name]
            if self._components[name].passes > 1:
                continue  # one look ahead would not say that it holds
            if not below or name in self._begun or name in self._shaken or not below <= self._begun:
                continue
            if all(n in self._found_up for n in below if not self._below[n]):
                self._looking.add(name)
                return self._components[name]
        return None

    def doubted(self) -> Iterator[Component]:
        """What is to be looked at again before anything is done above it, the lowest first."""
        if self._doubted:
            yield from (self._components[n] for n in self._lowest_first if n in self._doubted)

    def doubt(self, names: Iterable[str]) -> bool:
        """Have these looked at again, as far as they are up; whether there is one."""
        up = self._up.intersection(names)
        self._doubted |= up
        self._looked_since -= up
        return bool(up)

    def red_once(self, name: str) -> bool:
        """It was up when last judged, and the last look at it was red: the next one decides."""
        return name in self._red_once

    def watched(self, name: str) -> bool:
        """It is up, and in doubt or something that stands on it has not come to its end."""
        above_ended = self._ended.issuperset(self._above[name])
        return name in self._up and (name in self._doubted or not above_ended)

    def seen(self, name: str) -> bool | None:
        """What is known of its gate before its turn; None when nothing is that still counts."""
        return self._seen.get(name)

    def shaken(self, name: str) -> bool:
        """Something it stands on was found red in this run."""
        return name in self._shaken

    def unsettled(self, name: str) -> ComponentHeldBack | None:
        """What to say of a component under way when something it stands on turned red meanwhile."""
        by = self._unsettled.get(name)
        return ComponentHeldBack(component=name, by=tuple(by)) if by else None

    def note(self, event: Event) -> None:
        """Take what was seen or judged into account; any other event changes nothing."""
        match event:
            case GateStarted() | GateFinished():
                self._note_gate(event)
            case ComponentHealthy(component=name):
                self._found_up.add(name)
                self._end(name)
            case ComponentVerified(component=name, degraded=degraded):
                self._end(name)
                self._note_degraded(name, degraded)
            case ComponentFailed(component=name) | ComponentHeld(component=name):
                self._end(name, blame=(name,))
                self._doubt_below(name)
            case ComponentTurnedRed(component=name):
                self._turn_red(name)
            case ComponentHeldBack(component=name) | ComponentPostponed(component=name):
                self._wait_again(name)
            case _:
                self._note_decision(event)

    def _note_decision(self, event: Event) -> None:
        match event:
            case ComponentWaived(component=name):
                self._free(name)
                self.waived.add(name)
                self._end(name)
            case (
                RetryAsked(component=name) | ApprovalGiven(component=name) | Waived(component=name)
            ):
                if name in self.down.get(name, ()):
                    self._free(name)
            case WaiverExpired(component=name) if name in self.waived and name in self._up:
                self._turn_red(name)
                self._seen.pop(name)  # but nobody has looked yet
            case _:
                pass

    def over(self, name: str, *, cut_short: bool) -> None:
        """Its script has ended; cut short when that came without a verdict because of a stop."""
        if name in self._looking:
            self._looking.remove(name)
        elif name in self._running:
            self._running.remove(name)
            self._unsettled.pop(name, None)
            self._cut_short |= cut_short and name not in self._ended

    def _note_gate(self, event: GateStarted | GateFinished) -> None:
        name = event.component
        match event:
            case GateStarted(purpose=GatePurpose.RECHECK):
                self._looked_since.add(name)
            case GateStarted():
                self._begun.add(name)
            case GateFinished(purpose=GatePurpose.OBSERVE, green=green):
                if name in self._looking and name not in self._shaken:
                    self._seen[name] = green
                if not green:
                    self._shake(name)
            case GateFinished(purpose=GatePurpose.RECHECK, green=True, degraded=degraded):
                self._note_degraded(name, degraded)
                self._red_once.discard(name)
                self._doubted -= {name} & self._looked_since
            case GateFinished(purpose=GatePurpose.RECHECK) if self.watched(name):
                if name not in self._red_once:
                    self._doubt_below(name)
                self._doubted.add(name)
                self._red_once.add(name)
            case _:
                pass

    def _in_turn(self) -> Iterator[str]:
        return (name for name in self._components if name in self._waiting)

    def _turn_red(self, name: str) -> None:
        self._wait_again(name)
        self._found_up.discard(name)
        self._shake(name)
        self._seen[name] = False  # two looks said so: its gate need not be run once more
        for higher in self._above[name]:
            if higher in self._running:
                self._unsettled.setdefault(higher, {})[name] = None
            elif higher in self._ended:
                self._wait_again(higher)
                self._untold.append(ComponentHeldBack(component=higher, by=(name,)))

    def _free(self, name: str) -> None:
        """It waits for its turn again, and so does what stands blocked because of it."""
        for other in [other for other, blamed in self.down.items() if name in blamed]:
            self._wait_again(other)
        self._wait_again(name)

    def _doubt_below(self, name: str) -> None:
        self._doubted |= self._below[name] & self._up
        self._looked_since -= self._below[name]

    def _shake(self, name: str) -> None:
        for higher in self._above[name]:
            self._shaken.add(higher)
            self._seen.pop(higher, None)

    def _note_degraded(self, name: str, hosts: tuple[str, ...]) -> None:
        (self.degraded.add if hosts else self.degraded.discard)(name)

    def _wait_again(self, name: str) -> None:
        self.degraded.discard(name)
        self._waiting.add(name)
        self._up.discard(name)
        self._ended.discard(name)
        self._doubted.discard(name)
        self._red_once.discard(name)
        self._seen.pop(name, None)
        self.waived.discard(name)
        self.down.pop(name, None)

    def _end(self, name: str, *, blame: tuple[str, ...] = ()) -> None:
        self._waiting.discard(name)
        self._ended.add(name)
        if blame:
            self.down[name] = blame
        else:
            self._up.add(name)
