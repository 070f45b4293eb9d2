"""When each thing of a run was done: spans of its own seconds, and the path that decided. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.decisions import RunHeld, RunReleased
from orchestrator.events import (
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentVerified,
    ComponentWaived,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlannedComponent,
    PlaybookFinished,
    PlaybookOutcome,
    PlaybookStarted,
    Record,
    RunFinished,
    RunResumed,
    RunStarted,
)

RUN = ""  # of a span that is the whole run's, no component's
KINDS = {
    GatePurpose.OBSERVE: "look",
    GatePurpose.VERIFY: "gate",
    GatePurpose.RECHECK: "recheck",
}
_UP = (ComponentHealthy, ComponentVerified, ComponentWaived)


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that took a while, in the run's own seconds.

    `kind` is look, playbook, gate, recheck, hold or away (nobody worked on the run); `ended` says
    what came of it: green, red, an outcome of a playbook, over, or cut short.
    """

    component: str
    kind: str
    begun: float
    until: float
    ended: str

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.until - self.begun

    @property
    def good(self) -> bool:
        """It came to a good end."""
        return self.ended in {"green", PlaybookOutcome.SUCCEEDED.value, "over"}


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All spans of a run, by their beginnings, and which components decided how long it took.

    `critical_path` ends with the component that came to its end last; before each stands the one
    that it had waited for.
    """

    spans: tuple[Span, ...] = ()
    critical_path: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass
class _Clock:
    spans: list[Span] = field(default_factory=list)
    open: dict[tuple[str, str], float] = field(default_factory=dict)
    now: float = 0.0

    def begin(self, component: str, kind: str) -> None:
        self.end(component, kind, "cut short")
        self.open[component, kind] = self.now

    def end(self, component: str, kind: str, how: str) -> None:
        begun = self.open.pop((component, kind), None)
        if begun is not None:
            self.spans.append(
                Span(component=component, kind=kind, begun=begun, until=self.now, ended=how)
            )

    def end_all(self) -> None:
        for component, kind in tuple(self.open):
            self.end(component, kind, "over" if kind == "hold" else "cut short")


def timeline_of(records: Iterable[Record]) -> Timeline:
    """The time line of a run's records, in order; what has no end in them ends with the last."""
    clock = _Clock()
    planned: tuple[PlannedComponent, ...] = ()
    done: dict[str, float] = {}
    for record in records:
        event = record.event
        if isinstance(event, RunResumed):
            clock.end_all()  # at its last word: what was under way then is unknown
            clock.spans += _away(clock.now, record.elapsed)
        clock.now = max(clock.now, record.elapsed)
        if isinstance(event, RunStarted | RunResumed):
            planned = event.components
        _note(clock, event, done)
    clock.end_all()
    spans = tuple(sorted(clock.spans, key=lambda span: (span.begun, span.until)))
    return Timeline(
        spans=spans, critical_path=_critical_path(planned, spans, done), seconds=clock.now
    )


def _away(since: float, until: float) -> Iterator[Span]:
    if until > since:
        yield Span(component=RUN, kind="away", begun=since, until=until, ended="over")


def _note(  # noqa: C901, PLR0912 -- one for each kind
    clock: _Clock, event: object, done: dict[str, float]
) -> None:
    name = getattr(event, "component", RUN)
    if name != RUN and not isinstance(event, ComponentHeld):
        clock.end(name, "hold", "over")
    match event:
        case GateStarted(purpose=purpose):
            clock.begin(name, KINDS[purpose])
        case GateFinished(purpose=purpose, green=green):
            clock.end(name, KINDS[purpose], "green" if green else "red")
        case PlaybookStarted():
            clock.begin(name, "playbook")
        case PlaybookFinished(outcome=outcome):
            clock.end(name, "playbook", outcome.value)
        case ComponentHeld():
            done.pop(name, None)
            clock.begin(name, "hold")
        case RunHeld():
            clock.begin(RUN, "hold")
        case RunReleased():
            clock.end(RUN, "hold", "over")
        case RunFinished():
            clock.end_all()
        case ComponentFailed() | ComponentBlocked():
            done.pop(name, None)
            if isinstance(event, ComponentFailed):
                done[name] = clock.now
        case verdict if isinstance(verdict, _UP):
            done[name] = clock.now
        case _:
            pass


def _critical_path(
    planned: tuple[PlannedComponent, ...], spans: tuple[Span, ...], done: Mapping[str, float]
) -> tuple[str, ...]:
    """Back from the component that came to its end last, each time to the last it waited for.

    What it could have waited for is what it needs and, unless it began before they were over, the
    components of lower layers.
    """
    of = {component.name: component for component in planned if component.name in done}
    layer = {name: number for number, name in enumerate(dict.fromkeys(c.layer for c in planned))}
    begun: dict[str, float] = {}
    for span in spans:
        if span.kind == "playbook":
            begun.setdefault(span.component, span.begun)
    path: list[str] = []
    last = max(of, key=lambda name: done[name], default=None)
    while last is not None:
        path.append(last)
        here, start = of[last], begun.get(last, done[last])
        lower = [name for name in of if layer[of[name].layer] < layer[here.layer]]
        waited_for = {name for name in here.needs if name in of}
        if all(done[name] <= start for name in lower):
            waited_for.update(lower)
        before = [n for n in of if n in waited_for and n not in path and done[n] <= start]
        last = max(before, key=lambda name: done[name], default=None)
    return tuple(reversed(path))


def of_component(timeline: Timeline, component: str) -> tuple[Span, ...]:
    """The spans of one component; `RUN` for those of the whole run."""
    return tuple(span for span in timeline.spans if span.component == component)
