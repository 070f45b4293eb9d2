"""Services and hospitals for `drcli status`: what is back, what is not, and when it is expected."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from orchestrator.console import Console
from orchestrator.forecast_words import elapsed_at, span_words
from orchestrator.report import clean
from orchestrator.services import ServiceState, ServiceStatus, by_hospital, services_of
from orchestrator.state import RunState


def show_services(
    console: Console, states: Iterable[RunState], *, by: str, language: str, as_json: bool
) -> None:
    """Show the services of runs, each of another site; or, by hospital, those that each uses."""
    states = tuple(states)
    now = datetime.now(UTC)
    elapsed = {state.site: elapsed_at(state, now) for state in states}
    services = [service for state in states for service in services_of(state)]
    if as_json:
        for service in services:
            console.json(_json(service, elapsed[service.site]))
        return
    if not services:
        console.line("No services: a site file names them, and components serve them.")
        return
    if by == "service":
        rows = [[clean(s.called(language)), *_cells(s, elapsed)] for s in services]
        console.table(["SERVICE", "SITE", "STATE", "WHY, AND WHEN"], rows)
    else:
        names = {name: titles for state in states if state.started
                 for name, titles in state.started.hospitals.items()}  # fmt: skip
        rows = []
        for hospital, used in by_hospital(services).items():
            titles = names.get(hospital, {})
            called = clean(titles.get(language) or titles.get("en") or hospital)
            for number, each in enumerate(used):
                first = called if not number else ""
                rows.append([first, clean(each.called(language)), *_cells(each, elapsed)])
        console.table(["HOSPITAL", "SERVICE", "SITE", "STATE", "WHY, AND WHEN"], rows)
    counts = ", ".join(
        f"{sum(s.state is how for s in services)} {how.value}" for how in ServiceState
    )
    next_one = next((s for s in services if s.state is ServiceState.DOWN), services[0]).site
    console.line(f"{len(services)} services: {counts}. Next: drcli status --site {next_one}")


def _cells(service: ServiceStatus, elapsed: dict[str, float]) -> list[str]:
    why = list(service.lacks)
    if service.state is ServiceState.DOWN:
        why = [f"waits for {', '.join(service.blocks)}"]
        why += [f"back in {span_words(service.expected, elapsed[service.site])}"
                if service.expected else "nobody can say when"]  # fmt: skip
    return [service.site, service.state.value, clean("; ".join(why))]


def _json(service: ServiceStatus, now: float) -> dict[str, object]:
    expected = service.expected
    left = None
    if expected is not None:
        p90 = None if expected.p90 is None else max(0.0, expected.p90 - now)
        left = {"p50": max(0.0, expected.p50 - now), "p90": p90}
    return {
        "service": service.name,
        "site": service.site,
        "state": service.state.value,
        "title": dict(service.title),
        "hospitals": list(service.hospitals),
        "criticality": service.criticality,
        "lacks": list(service.lacks),
        "blocks": list(service.blocks),
        "expected": left,
    }
