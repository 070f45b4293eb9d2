"""The report of a run: all that it says, as values made from the run's records; formats draw it.

Pure. Every text in it that came from a host, a person or a file is cleaned: no escape sequence, no
control or bidirectional character, no endless line. What a format must escape is its own matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from orchestrator.chain import Checked
from orchestrator.decided import EXPIRED
from orchestrator.decisions import TerminalLost
from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentHeld,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlaybookFinished,
    Record,
    RunOutcome,
    TaskFailed,
)
from orchestrator.forecast_words import forecast_log
from orchestrator.report import (
    clean,
    clean_lines,
    ignored_line,
    next_command,
    state_line,
    summary,
)
from orchestrator.spoken import decision_line, waiver_lines
from orchestrator.state import ComponentProgress, ComponentState, RunState
from orchestrator.timeline import Span, Timeline, of_component, timeline_of

MOST_ROWS = 500  # of one list in a report; the rest stands in the journal
NOT_MEASURED = "not measured: this run compared nothing with a record of what was acknowledged"
_GOOD = {RunOutcome.RECOVERED, RunOutcome.VERIFIED, RunOutcome.DRY_RUN}


@dataclass(frozen=True, kw_only=True)
class ReportedComponent:
    """One component: how it ended, how long each part took, and its spans."""

    name: str
    layer: str
    hosts: tuple[str, ...]
    needs: tuple[str, ...]
    state: str
    words: str
    attempts: int
    turned_red: int
    seconds: Mapping[str, float]
    spans: tuple[Span, ...]
    critical: bool


@dataclass(frozen=True, kw_only=True)
class FailedCheck:
    """A check that was not passed on a host, as it was seen last; `times` it was seen so.

    `open`: nothing says that it passes now. `when` is the purpose of the gate.
    """

    component: str
    check: str
    host: str
    outcome: str
    when: str
    times: int
    at: float
    message: tuple[str, ...]
    artifact: str
    open: bool


@dataclass(frozen=True, kw_only=True)
class FailedTask:
    """A task that failed on a host, or did not reach it."""

    component: str
    task: str
    host: str
    how: str
    at: float
    message: tuple[str, ...]
    artifact: str


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a person asked or decided, or a question of the run, with its moment."""

    at: datetime
    elapsed: float
    component: str
    words: str


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """A whole report. Seconds are the run's own; `made_at` is when the report was made.

    `versions` are those that the run was made with, `environment` those of this report. `verdict`
    is one of good, doubtful (up, but with open work; or not at its end) and bad.
    """

    run: str
    site: str
    verdict: str
    outcome: str
    sentence: str
    next: str
    begun: datetime | None
    elapsed: float
    by: str
    controller: str
    kind: str
    resumed: tuple[float, ...]
    components: tuple[ReportedComponent, ...]
    run_spans: tuple[Span, ...]
    critical_path: tuple[str, ...]
    checks: tuple[FailedCheck, ...]
    tasks: tuple[FailedTask, ...]
    people: tuple[Said, ...]
    open_work: tuple[str, ...]
    ignored: tuple[str, ...]
    data_loss: str
    forecasts: tuple[str, ...]
    versions: Mapping[str, str]
    plan_hash: str
    given: tuple[str, ...]
    environment: Mapping[str, str]
    records: int
    head: str
    chain_fault: str
    left_out: int
    made_at: datetime


def run_report(  # noqa: PLR0913 -- each by name
    records: Iterable[Record],
    state: RunState,
    *,
    chain: Checked,
    alive: bool,
    environment: Mapping[str, str],
    at: datetime,
) -> RunReport:
    """The report of a run from all its records and the state they come to.

    `chain` says whether the records are what was written; `environment` is what the report was
    made with; `at` is now.
    """
    records = tuple(records)
    timeline = timeline_of(records)
    checks, tasks = _failures(records, state)
    people = _people(records)
    lists = (checks, tasks, people)
    started = state.started
    return RunReport(
        run=clean(state.run),
        site=clean(state.site),
        verdict=_verdict(state),
        outcome=state.outcome.value if state.outcome else ("running" if alive else "interrupted"),
        sentence=clean(state_line(state, alive=alive)),
        next=clean(next_command(state, alive=alive, shown=True)),
        begun=state.started_at,
        elapsed=state.elapsed,
        by=clean(started.by) if started else "",
        controller=clean(started.controller) if started else "",
        kind=_kind(state),
        resumed=state.resumed,
        components=tuple(_component(c, timeline) for c in state.components.values()),
        run_spans=tuple(span for span in timeline.spans if not span.component),
        critical_path=timeline.critical_path,
        checks=checks[:MOST_ROWS],
        tasks=tasks[:MOST_ROWS],
        people=people[:MOST_ROWS],
        open_work=_open_work(state, at),
        ignored=tuple(ignored_line(ignored) for ignored in state.ignored),
        data_loss=_data_loss(state),
        forecasts=tuple(forecast_log(state)),
        versions=dict(started.versions) if started else {},
        plan_hash=state.plan_hash,
        given=tuple(clean(name) for name in started.given) if started else (),
        environment=environment,
        records=chain.records,
        head=chain.head,
        chain_fault=clean(chain.fault),
        left_out=sum(max(0, len(found) - MOST_ROWS) for found in lists),
        made_at=at,
    )


def report_json(report: RunReport) -> dict[str, Any]:
    """The report as plain values for JSON; times are ISO 8601."""
    plain: dict[str, Any] = TypeAdapter(RunReport).dump_python(report, mode="json")
    return plain


def last_checks(records: Iterable[Record]) -> tuple[CheckFinished, ...]:
    """The checks of each component's last gate that counts, as JUnit wants them: passed ones too.

    Gates that are repeated while others are recovered decide nothing and are left out.
    """
    found: dict[str, list[CheckFinished]] = {}
    repeated: set[str] = set()
    for record in records:
        match record.event:
            case GateStarted(component=name, purpose=purpose):
                if purpose is GatePurpose.RECHECK:
                    repeated.add(name)
                else:
                    found[name] = []
            case GateFinished(component=name, purpose=GatePurpose.RECHECK):
                repeated.discard(name)
            case CheckFinished(component=name) as check if name not in repeated:
                found.setdefault(name, []).append(check)
            case _:
                pass
    return tuple(check for checks in found.values() for check in checks)


def _verdict(state: RunState) -> str:
    if state.outcome in _GOOD and not state.among(frozenset({ComponentState.FAILED})):
        return "good"
    doubtful = {None, RunOutcome.DEGRADED, RunOutcome.INTERRUPTED, RunOutcome.DRY_RUN}
    return "doubtful" if state.outcome in doubtful else "bad"


def _data_loss(state: RunState) -> str:
    """What a drill found when it looked for all that had been acknowledged."""
    score = state.score
    if score is None or score.acknowledged is None:
        return NOT_MEASURED
    return f"{score.lost} of {score.acknowledged} acknowledged records lost"


def _kind(state: RunState) -> str:
    if state.started is None:
        return "run"
    return "dry run" if state.dry_run else "gates alone" if state.started.gates_only else "recovery"


def _component(component: ComponentProgress, timeline: Timeline) -> ReportedComponent:
    return ReportedComponent(
        name=clean(component.name),
        layer=clean(component.layer),
        hosts=tuple(clean(host) for host in component.hosts),
        needs=component.needs,
        state=component.state.value,
        words=clean(summary(component)),
        attempts=component.attempts,
        turned_red=component.turned_red,
        seconds={
            "look": component.observe_seconds,
            "playbook": component.playbook_seconds,
            "gate": component.gate_seconds,
        },
        spans=of_component(timeline, component.name),
        critical=component.name in timeline.critical_path,
    )


def _failures(
    records: tuple[Record, ...], state: RunState
) -> tuple[tuple[FailedCheck, ...], tuple[FailedTask, ...]]:
    """Each check that was not passed, those still open first; and each failed task, in order."""
    checks: dict[tuple[str, str, str], FailedCheck] = {}
    tasks: list[FailedTask] = []
    purposes: dict[str, GatePurpose] = {}
    artifacts: dict[str, str] = {}
    for record in records:
        match record.event:
            case GateStarted(component=name, purpose=purpose):
                purposes[name] = purpose
            case CheckFinished() as check:
                _note_check(checks, check, record.elapsed, purposes.get(check.component))
            case TaskFailed() as failure:
                tasks.append(_task(failure, record.elapsed))
            case PlaybookFinished(component=name, artifact=artifact):
                artifacts[name] = clean(artifact)
            case _:
                pass
    found = [
        replace(
            check,
            component=clean(name),
            open=check.open and _not_up(state, name),
            artifact=artifacts.get(name, ""),
        )
        for (name, _, _), check in checks.items()
    ]
    found.sort(key=lambda check: (not check.open, check.at))
    with_artifacts = (replace(t, artifact=artifacts.get(t.component, "")) for t in tasks)
    return tuple(found), tuple(with_artifacts)


def _note_check(
    checks: dict[tuple[str, str, str], FailedCheck],
    check: CheckFinished,
    elapsed: float,
    purpose: GatePurpose | None,
) -> None:
    key = (check.component, check.check, check.host or "")
    was = checks.get(key)
    if check.outcome is CheckOutcome.PASSED:
        if was:
            checks[key] = replace(was, open=False)
        return
    checks[key] = FailedCheck(
        component=check.component,
        check=clean(check.check),
        host=clean(check.host or ""),
        outcome=check.outcome.value,
        when=purpose.value if purpose else "",
        times=was.times + 1 if was else 1,
        at=elapsed,
        message=tuple(clean_lines(check.message)),
        artifact="",
        open=True,
    )


def _not_up(state: RunState, name: str) -> bool:
    """What a gate found red before the playbook is not open where the component was verified."""
    component = state.components.get(name)
    good = {ComponentState.HEALTHY, ComponentState.VERIFIED}
    return component is None or component.state not in good


def _task(failure: TaskFailed, elapsed: float) -> FailedTask:
    how = "unreachable" if failure.unreachable else "failed"
    how += ", ignored" * failure.ignored + ", rescued" * failure.rescued
    return FailedTask(
        component=clean(failure.component),
        task=clean(failure.task),
        host=clean(failure.host),
        how=how,
        at=elapsed,
        message=tuple(clean_lines(failure.message)),
        artifact="",
    )


def _people(records: tuple[Record, ...]) -> tuple[Said, ...]:
    """What people decided and asked, and the questions that they were asked."""
    found = []
    for record in records:
        event = record.event
        words = "" if isinstance(event, TerminalLost) else decision_line(event)
        if isinstance(event, ComponentHeld) and EXPIRED not in event.reason:
            words = f"held: {event.reason}"
        if words:
            component = clean(getattr(event, "component", ""))
            found.append(
                Said(at=record.at, elapsed=record.elapsed, component=component, words=clean(words))
            )
    return tuple(found)


def _open_work(state: RunState, at: datetime) -> tuple[str, ...]:
    """What a person still has to do: hosts that are not up, components that are not, waivers."""
    lines = []
    for component in state.components.values():
        lines += [f"{component.name}: host {host} is not up" for host in component.degraded]
        if component.state in {ComponentState.FAILED, ComponentState.HELD, ComponentState.BLOCKED}:
            lines.append(f"{component.name} is {component.state.value}: {summary(component)}")
        if component.state is ComponentState.WAIVED:
            lines += [f"{component.name}: waived: {what}" for what in component.waived]
    lines += waiver_lines(state, at=at)
    return tuple(clean(line) for line in lines)
