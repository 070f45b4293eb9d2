"""Says when a run will be over, from where it stands; and, when that moves, why it did."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from orchestrator import order
from orchestrator.events import GatePurpose
from orchestrator.forecast import Ahead, forecast
from orchestrator.past import Basis
from orchestrator.plan import Plan
from orchestrator.published import ForecastPublished, Span
from orchestrator.report import duration
from orchestrator.services import planned_services
from orchestrator.state import BUSY, UP, ComponentProgress, ComponentState, RunState

MOVED = 0.1  # of what is left: less is within the spread of the simulations
LEAST = 1.0  # second
RARELY = 20.0  # times what a forecast costs lie between two: it takes a twentieth of one core
MOST_REASONS = 3
_NOTHING = RunState()


class Forecaster:
    """What an engine asks after each step: a forecast, or None where it is still the one before.

    A forecast is a comfort: whatever goes wrong in making it is told, and ends forecasting alone.
    """

    def __init__(
        self,
        plan: Plan,
        basis: Mapping[str, Basis],
        *,
        max_parallel: int,
        runs: int,
        tell: Callable[[str], object],
    ) -> None:
        self._plan = plan
        self._basis = basis
        self._max_parallel = max_parallel
        self._runs = runs
        self._tell = tell
        self._layers = {c.name: c.layer for c in plan.components}
        self._services = {s.name: s.components for s in planned_services(plan)}
        self._way = order.remaining(plan.graph, plan.weights)
        self._reach = order.stands_on(plan.graph)
        self._last: ForecastPublished | None = None
        self._was = _NOTHING  # the state that the last one was published for
        self._begun: dict[str, float] = {}
        self._next = 0.0  # of the process's own clock: before it nothing is computed
        self._broken = False

    def __call__(self, state: RunState) -> ForecastPublished | None:
        """Forecast the rest of the run; None when nothing is left, or nothing has moved."""
        if self._broken:
            return None
        try:
            self._note(state)
            if time.monotonic() < self._next:
                return None
            begun = time.thread_time()
            told = self.now(state)
            self._next = time.monotonic() + RARELY * (time.thread_time() - begun)
            if told is None or not self._moved(told, state.elapsed):
                return None
            reasons = list(self._reasons(state, told))[:MOST_REASONS]
            why = "; ".join(reasons) or self._slow(state, told)
            told = told.model_copy(update={"reason": why})
        except Exception as error:  # noqa: BLE001 -- a recovery must not end with its forecast
            self._broken = True
            self._tell(f"no forecast any more: {error!r}")
            return None
        self._last, self._was = told, state
        return told

    def now(self, state: RunState) -> ForecastPublished | None:
        """Forecast from this state; None when nothing is left to be brought back."""
        components = state.components
        stuck = [c for c in components.values() if _stuck(c)]
        names = {c.name for c in stuck}
        left = tuple(
            c.name
            for c in self._plan.components
            if c.name in components
            and not _up(components[c.name])
            and not names.intersection({c.name, *self._reach[c.name]})
        )
        asking = [c.name for c in components.values() if c.asks]
        waits = "; ".join(
            [f"{c.name} {c.state.value}: waits for a person" for c in stuck]
            + [f"waits for approval of {name}, from then on" for name in asking]
            + (["the run is on hold, from its release on"] if state.decided.hold else [])
        )
        if not left and not stuck:
            return None
        lost = {c.name for c in components.values() if not _up(c)}.difference(left)
        graph = order.restricted(self._plan.graph, left)
        ahead = Ahead(
            graph=graph,
            layers=self._layers,
            way=self._way,
            max_parallel=self._max_parallel,
            spent={name: _spent(components[name], state.elapsed) for name in left},
            services={name: of for name, of in self._services.items() if not lost.intersection(of)},
            running=[n for n in left if components[n].state in BUSY and not graph[n]],
        )
        found = forecast(ahead, self._basis)
        at = state.elapsed
        overdue = (n for n in ahead.running if self._over(n, ahead.spent[n]) > 0)
        none_yet = bool(stuck) or found.site is None
        layers_stuck = {c.layer for c in components.values() if not _up(c) and c.name not in left}
        return ForecastPublished(
            site=None if none_yet or found.site is None else _later(found.site, at),
            layers={n: _later(s, at) for n, s in found.layers.items() if n not in layers_stuck},
            components={name: _later(span, at) for name, span in found.components.items()},
            services={name: _later(span, at) for name, span in found.services.items()},
            no_basis=found.no_basis,
            overdue=tuple(overdue),
            waits=waits,
            runs=self._runs,
        )

    def _over(self, name: str, seconds: float) -> float:
        """Seconds beyond what was ever seen."""
        basis = self._basis.get(name)
        return seconds - basis.longest if basis else 0.0

    def _note(self, state: RunState) -> None:
        for name, component in state.components.items():
            if component.state in BUSY:
                self._begun[name] = state.elapsed - _spent(component, state.elapsed)

    def _moved(self, told: ForecastPublished, now: float) -> bool:
        last = self._last
        if last is None:
            return bool(told.components or told.site)
        if (last.no_basis, last.waits) != (told.no_basis, told.waits):
            return bool(told.site or last.site)
        if set(told.overdue) - set(last.overdue):
            return True
        if last.site is None or told.site is None:
            return last.site is not told.site
        pairs = [(last.site.p50, told.site.p50), (last.site.p90, told.site.p90)]
        limit = max(LEAST, MOVED * ((told.site.p90 or told.site.p50) - now))
        return any(abs((new or 0.0) - (old or 0.0)) > limit for old, new in pairs)

    def _reasons(self, state: RunState, told: ForecastPublished) -> Iterator[str]:
        if self._last is None:
            return
        for name in told.overdue:
            if name not in self._last.overdue:
                over = self._over(name, _spent(state.components[name], state.elapsed))
                yield f"{name} has run {duration(over)} longer than ever seen"
        for name, component in state.components.items():
            was = self._was.components.get(name)
            if was is None or was.state is component.state:
                continue
            if component.state in UP:
                yield from self._ended(component, self._last.components.get(name))
            elif _stuck(component) or component.turned_red > was.turned_red:
                what = "is down again" if component.turned_red > was.turned_red else "is "
                yield f"{name} {what}{component.state.value if what == 'is ' else ''}"
            elif _stuck(was):
                yield f"{name} is tried again"

    def _slow(self, state: RunState, told: ForecastPublished) -> str:
        """What is under way and is expected later than before, where nothing else has happened."""
        if self._last is None:
            return "the first"
        was, spans = self._last.components, told.components.items()
        later = [n for n, span in spans if n in was and span.p50 > was[n].p50]
        slow = [n for n in later if state.components[n].state in BUSY]
        return f"{', '.join(slow)} not up yet" if slow else "as it goes on"

    def _ended(self, component: ComponentProgress, span: Span | None) -> Iterator[str]:
        name, at = component.name, component.since
        if component.state is ComponentState.HEALTHY:
            yield f"{name} was up already"
        elif name in self._begun and (over := self._over(name, at - self._begun[name])) > 0:
            yield f"{name} took {duration(over)} longer than ever seen"
        elif span and at > (span.p90 or span.p50):
            yield f"{name} was up {duration(at - span.p50)} later than likely"
        elif span and at < span.p50:
            yield f"{name} was up {duration(span.p50 - at)} earlier than likely"


def _later(span: Span, by: float) -> Span:
    return Span(p50=span.p50 + by, p90=None if span.p90 is None else span.p90 + by)


def _up(component: ComponentProgress) -> bool:
    """It is up, or was seen so ahead of its turn."""
    seen = component.gate is not None and component.gate.purpose is GatePurpose.OBSERVE
    ahead = component.state is ComponentState.PENDING and seen
    return component.state in UP or (ahead and component.gate is not None and component.gate.green)


def _stuck(component: ComponentProgress) -> bool:
    held = component.state is ComponentState.HELD and not component.asks
    return held or component.state is ComponentState.FAILED


def _spent(component: ComponentProgress, now: float) -> float:
    """Seconds that its recovery took so far, as a past one's are counted."""
    observed = component.gate is not None and component.gate.purpose is GatePurpose.OBSERVE
    looked = component.gate.seconds if component.gate and observed else 0.0
    match component.state:
        case ComponentState.OBSERVING:
            return now - component.since
        case ComponentState.RECOVERING:
            return looked + now - component.since
        case ComponentState.VERIFYING:
            played = component.played.seconds if component.played else 0.0
            return component.observe_seconds + played + now - component.since
        case _:
            return looked
