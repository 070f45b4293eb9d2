"""What people know of a site: services and the hospitals they serve, as a run has them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from orchestrator.events import PlannedService
from orchestrator.plan import Plan
from orchestrator.progress import BLOCKING
from orchestrator.published import Span
from orchestrator.state import BUSY, UP, ComponentState, RunState

LANGUAGE = "en"
CRITICALITIES = ("vital", "high", "normal", "low")
_PARTLY = frozenset({ComponentState.DEGRADED, ComponentState.WAIVED})


class ServiceState(StrEnum):
    """How a service is: up, up with less than all of it, or not up."""

    BACK = "back"
    DEGRADED = "degraded"
    DOWN = "down"


@dataclass(frozen=True, kw_only=True)
class ServiceStatus:
    """One service in a run.

    `lacks` is what is open work where it is degraded; `blocks` the components that stand in its way
    where it is down, a failed one before those that are under way; `expected` is when it is
    forecast to be back, in seconds of the run, and None where nobody can say.
    """

    name: str
    site: str
    state: ServiceState
    title: Mapping[str, str] = field(default_factory=dict)
    hospitals: tuple[str, ...] = ()
    criticality: str = "normal"
    lacks: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    expected: Span | None = None

    def called(self, language: str = LANGUAGE) -> str:
        """Its name in a language, else in English, else as the site file has it."""
        return self.title.get(language) or self.title.get(LANGUAGE) or self.name


def planned_services(plan: Plan) -> tuple[PlannedService, ...]:
    """The services of a plan's site, for the journal; those that nothing serves, too."""
    return tuple(
        PlannedService(
            name=name,
            components=tuple(c.name for _, c in plan.site.components if name in c.serves),
            hospitals=service.hospitals,
            criticality=service.criticality,
            title=dict(service.title),
        )
        for name, service in plan.site.services.items()
    )


def services_of(state: RunState) -> tuple[ServiceStatus, ...]:
    """Every service of a run that something of it serves, the most critical first."""
    planned = state.started.services if state.started else ()
    found = [
        _status(service, state)
        for service in planned
        if any(name in state.components for name in service.components)
    ]
    return tuple(sorted(found, key=_rank))


def by_hospital(services: Iterable[ServiceStatus]) -> dict[str, tuple[ServiceStatus, ...]]:
    """The services of each hospital, the most critical first; hospitals in their order of name."""
    found: dict[str, list[ServiceStatus]] = {}
    for service in services:
        for hospital in service.hospitals:
            found.setdefault(hospital, []).append(service)
    return {name: tuple(sorted(found[name], key=_rank)) for name in sorted(found)}


def _status(service: PlannedService, state: RunState) -> ServiceStatus:
    serving = [state.components[name] for name in service.components if name in state.components]
    down = [component for component in serving if component.state not in UP]
    partly = [component for component in serving if component.state in _PARTLY]
    told = state.forecasts[-1][1] if state.forecasts and not state.finished else None
    how = ServiceState.DOWN if down else ServiceState.DEGRADED if partly else ServiceState.BACK
    return ServiceStatus(
        name=service.name,
        site=state.site,
        state=how,
        title=service.title,
        hospitals=service.hospitals,
        criticality=service.criticality,
        lacks=tuple(
            [f"{c.name} on {', '.join(c.degraded)}" for c in partly if c.degraded]
            + [f"{what} of {c.name}, accepted" for c in partly for what in c.waived]
        ),
        blocks=_blocks(state, {c.name for c in down}) if down else (),
        expected=told.services.get(service.name) if told and down else None,
    )


def _blocks(state: RunState, down: set[str]) -> tuple[str, ...]:
    """What stands in the way: what failed or is held, else what is under way, else what waits."""
    components = state.components.values()
    reasons = {name for c in components if c.name in down for name in c.blocked_by} | down
    stuck = [c.name for c in components if c.name in reasons and c.state in BLOCKING]
    busy = [c.name for c in components if c.state in BUSY]
    return tuple(stuck or busy or [c.name for c in components if c.name in down])


def _rank(service: ServiceStatus) -> tuple[int, str]:
    known = service.criticality in CRITICALITIES
    return (CRITICALITIES.index(service.criticality) if known else len(CRITICALITIES), service.name)
