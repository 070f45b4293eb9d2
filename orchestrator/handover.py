"""What whoever takes over a run must know, in one page: pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from orchestrator.decisions import TerminalLost
from orchestrator.events import ComponentHeld, Record
from orchestrator.forecast_words import forecast_words, said
from orchestrator.report import clean, duration, ignored_line, next_command, state_line, summary
from orchestrator.services import ServiceState, services_of
from orchestrator.spoken import decision_line, moment, waiver_lines
from orchestrator.state import BUSY, DOWN, ComponentState, RunState

LAST_DECISIONS = 20
LAST_FORECASTS = 5


def handover(
    state: RunState, records: Iterable[Record], *, alive: bool, now: float, at: datetime
) -> str:
    """The page; `now` is the moment in seconds of the run, `at` the same by the clock."""
    blocks = {
        "Where it stands": _standing(state, alive=alive, now=now),
        "Waits for a person": _waiting(state),
        "Under way": _busy(state, now),
        "Down": _down(state),
        "Services that are not back": _services(state),
        "Open work": _open(state, at),
        "What people did and said": _decided(records),
        "When it will be over, as it was told": _forecasts(state),
    }
    text = [f"# Handover of run {clean(state.run)} of {clean(state.site)}, {moment(at)}"]
    for title, lines in blocks.items():
        found = [f"- {line}" for line in lines]
        if found:
            text.append("\n".join([f"## {title}", *found]))
    text.append(f"Next: {next_command(state, alive=alive)}")
    return "\n\n".join(text) + "\n"


def _standing(state: RunState, *, alive: bool, now: float) -> Iterator[str]:
    yield state_line(state, alive=alive)
    if state.started and state.started_at:
        begun = moment(state.started_at)
        who = f" by {clean(state.started.by)}" if state.started.by else ""
        where = f" on {clean(state.started.controller)}" if state.started.controller else ""
        yield f"begun {begun}{who}{where}"
    for away in state.resumed:
        yield f"nobody worked on it for {duration(away)}; then it went on"
    if words := forecast_words(state, now):
        yield words
    for ignored in state.ignored:
        yield ignored_line(ignored)


def _waiting(state: RunState) -> Iterator[str]:
    hold = state.decided.hold
    if hold:
        why = f": {clean(hold.reason)}" if hold.reason else ""
        yield f"the whole run is on hold, by {clean(hold.by)}{why}. drcli release {state.run}"
    for component in state.among(frozenset({ComponentState.HELD})):
        how = clean(component.hint)
        yield f"{component.name}: {clean(component.reason)}{f'. {how}' if how else ''}"


def _busy(state: RunState, now: float) -> Iterator[str]:
    for component in state.among(BUSY):
        yield (
            f"{component.name} is {component.state.value} for {duration(now - component.since)}: "
            f"{summary(component)}"
        )


def _down(state: RunState) -> Iterator[str]:
    for component in state.among(DOWN - {ComponentState.HELD}):
        yield f"{component.name} is {component.state.value}: {summary(component)}"


def _services(state: RunState) -> Iterator[str]:
    for service in services_of(state):
        if service.state is ServiceState.BACK:
            continue
        why = ", ".join(service.blocks or service.lacks)
        yield clean(f"{service.called()} ({service.criticality}) is {service.state.value}: {why}")


def _open(state: RunState, at: datetime) -> Iterator[str]:
    for component in state.components.values():
        if component.degraded:
            yield f"{component.name} is up without {', '.join(component.degraded)}"
    yield from (clean(line) for line in waiver_lines(state, at=at))


def _decided(records: Iterable[Record]) -> list[str]:
    lines = []
    for record in records:
        event = record.event
        words = "" if isinstance(event, TerminalLost) else decision_line(event)
        if isinstance(event, ComponentHeld):
            words = f"held: {event.reason}"
        if words:
            about = getattr(event, "component", "")
            lines.append(clean(f"{moment(record.at)} {about} {words}".replace("  ", " ")))
    return lines[-LAST_DECISIONS:]


def _forecasts(state: RunState) -> Iterator[str]:
    for elapsed, told in state.forecasts[-LAST_FORECASTS:]:
        yield f"after {duration(elapsed)}: {said(told, elapsed)} ({clean(told.reason)})"
