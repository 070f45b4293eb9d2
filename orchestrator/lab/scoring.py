"""What a drill came to: the run's records against what its scenario and its faults demand. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from orchestrator.decisions import Decision, RequestRefused
from orchestrator.drills import Drill, DrillScored, FaultScore, TimeScore
from orchestrator.events import (
    CheckFinished,
    ComponentVerified,
    FindingIgnored,
    GateFinished,
    Record,
)
from orchestrator.lab.faults import LabFault
from orchestrator.lab.ledger import Verdict
from orchestrator.report import clean
from orchestrator.site import Site
from orchestrator.spoken import decision_line
from orchestrator.state import UP, ComponentState, RunState

CONDITIONS = {
    "unexpected": "the run did not end as the scenario demands",
    "untrue": "the run said that a component is up, and right after it its gate was red",
    "lost": "acknowledged records are lost, or nobody could look for them",
    "unnoticed": "a fault turned no gate of its component red",
    "unmet": "a fault was not met as the catalogue of faults says",
    "rto": "a recovery time objective was missed",
    "untold": "the console did not tell what a person needs who is no expert",
    "intervention": "a person had to do something for the run",
}
DEFAULT = ("unexpected", "untrue", "lost", "unnoticed", "unmet", "rto", "untold")


@dataclass(frozen=True, kw_only=True)
class Given:
    """What was done, beside the run: `before` are seconds from the first step to the run's start.

    `held` are to stay down, with all that stands on them by `stands_on`, the plan's. `red_now` are
    the components whose gates were red right after the run. `proofs` are the faults of which
    something was asked afterwards: empty text where its proof succeeded in each host, else what was
    said. `console` is all that the console showed; None where the expert was there.
    """

    drill: Drill
    held: tuple[str, ...] = ()
    stands_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    faults: tuple[LabFault, ...] = ()
    proofs: Mapping[str, str] = field(default_factory=dict)
    before: float = 0.0
    cuts: int = 0
    deaths: int = 0
    red_now: tuple[str, ...] = ()
    verdict: Verdict | None = None
    has_ledger: bool = False
    console: str | None = None
    files: Mapping[str, str]
    seconds: float


def score(
    given: Given,
    records: Iterable[Record],
    state: RunState,
    site: Site,
    *,
    fail_if: Iterable[str] = DEFAULT,
) -> DrillScored:
    """The score of a drill whose run has ended."""
    records = tuple(records)
    must_stay = {
        name for name in state.components
        if {name, *given.stands_on.get(name, ())} & set(given.held)
    }  # fmt: skip
    as_expected = _as_expected(state, must_stay)
    made = DrillScored(
        drill=given.drill,
        held=given.held,
        as_expected=as_expected,
        site=TimeScore(
            objective=site.rto.total_seconds() if site.rto else None,
            actual=_up_after(state, state.components, given.before),
        ),
        layers={
            layer.name: TimeScore(
                objective=layer.rto.total_seconds() if layer.rto else None,
                actual=_up_after(state, [c.name for c in layer.components], given.before),
            )
            for layer in site.layers
        },
        acknowledged=given.verdict.total if given.verdict else None,
        lost=len(given.verdict.lost) if given.verdict else None,
        untrue=tuple(
            name
            for name in given.red_now
            if name in state.components and state.components[name].state in UP
        ),
        checks=sum(isinstance(record.event, CheckFinished) for record in records),
        faults=tuple(_fault(fault, given, records, state) for fault in given.faults),
        cuts=given.cuts,
        deaths=given.deaths,
        interventions=tuple(_interventions(records)),
        untold=tuple(_untold(given, state)),
        expert_absent=given.console is not None,
        proves=tuple(_proves(records, state)) if as_expected else (),
        files=dict(given.files),
        seconds=given.seconds,
    )
    broken = _broken(made, given, must_stay, site, dry=state.dry_run)
    return made.model_copy(update={"broke": tuple(name for name in fail_if if name in broken)})


def reasons(scored: DrillScored) -> Iterator[str]:
    """Why a drill failed, a line for each condition that broke."""
    missed = [name for name, time in scored.layers.items() if time.missed]
    missed += ["the site"] if scored.site.missed else []
    which = {
        "untrue": list(scored.untrue),
        "unnoticed": [fault.name for fault in scored.faults if not fault.noticed],
        "unmet": [f"{f.name} ({f.note})" for f in scored.faults if not f.met],
        "rto": missed,
        "untold": list(scored.untold),
        "intervention": list(scored.interventions),
        "lost": [f"{scored.lost} of {scored.acknowledged}"] if scored.lost else [],
    }
    for name in scored.broke:
        named = ", ".join(which.get(name, []))
        yield f"{name}: {CONDITIONS[name]}{f': {named}' if named else ''}"


def _as_expected(state: RunState, must_stay: set[str]) -> bool:
    if state.finished is None:
        return False
    if state.dry_run:
        return not state.among(frozenset({ComponentState.FAILED}))
    up = {c.name for c in state.components.values() if c.state in UP}
    return up == set(state.components) - must_stay


def _up_after(state: RunState, names: Iterable[str], before: float) -> float | None:
    components = [state.components[name] for name in names if name in state.components]
    if not components or any(c.state not in UP for c in components):
        return None
    return before + max(c.since for c in components)


def _fault(
    fault: LabFault, given: Given, records: tuple[Record, ...], state: RunState
) -> FaultScore:
    of_it = [r.event for r in records if getattr(r.event, "component", None) == fault.component]
    noticed = any(isinstance(event, GateFinished) and not event.green for event in of_it)
    component = state.components.get(fault.component)
    up = component is not None and component.state in UP
    if fault.expect == "recovered":
        said = given.proofs.get(fault.name, "nobody asked for its proof")
        note = said or ("" if up else f"{fault.component} is not up")
    else:
        told = "\n".join(text for event in of_it for text in _texts(event.model_dump()))
        note = "" if re.search(fault.reason, told) else "its reason was not said"
        note = f"{fault.component} counts as up" if up else note
    return FaultScore(
        name=fault.name,
        component=fault.component,
        expect=fault.expect,
        noticed=noticed,
        met=not note,
        note=clean(note),
    )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _interventions(records: Iterable[Record]) -> Iterator[str]:
    for record in records:
        event = record.event
        if isinstance(event, FindingIgnored):
            yield clean(f"{event.by} ignored {event.name}: {event.because}")
        elif isinstance(event, Decision) and not isinstance(event, RequestRefused):
            yield clean(
                " ".join(filter(None, [getattr(event, "component", ""), decision_line(event)]))
            )


def _untold(given: Given, state: RunState) -> Iterator[str]:
    """What a person who knows only the console would still have to find out by himself."""
    if given.console is None:
        return
    if "Next: drcli" not in given.console:
        yield "what to type next"
    for fault in given.faults:
        component = state.components.get(fault.component)
        if component is None or component.state in UP:
            continue
        if fault.component not in given.console:
            yield f"that {fault.component} is not up"
        missing = [host for host in fault.hosts if host not in given.console]
        if missing:
            yield f"on which host {fault.component} is not up: {', '.join(missing)}"
        if not re.search(fault.reason, given.console):
            yield f"why {fault.component} is not up"


def _proves(records: Iterable[Record], state: RunState) -> Iterator[str]:
    """What was down, was brought back by its playbook and verified, and was up at the end."""
    done = {r.event.component for r in records if isinstance(r.event, ComponentVerified)}
    for component in state.components.values():
        if component.name in done and component.state in UP:
            yield component.name


def _broken(
    made: DrillScored, given: Given, must_stay: set[str], site: Site, *, dry: bool
) -> set[str]:
    expected_up = {
        layer.name: not must_stay.intersection(c.name for c in layer.components)
        for layer in site.layers
    }
    late = any(time.missed for name, time in made.layers.items() if expected_up[name])
    late |= made.site.missed and not must_stay
    broken = {
        "unexpected": not made.as_expected,
        "untrue": bool(made.untrue),
        # Where a component is to be held, what reads the ledger may be down with it.
        "lost": given.has_ledger and (made.lost or 0 if made.held else made.lost != 0),
        "unnoticed": any(not fault.noticed for fault in made.faults),
        "unmet": any(not fault.met for fault in made.faults),
        "rto": late and not dry,
        "untold": bool(made.untold),
        "intervention": bool(made.interventions),
    }
    return {name for name, is_so in broken.items() if is_so}
