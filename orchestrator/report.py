"""Views of a run, pure: a state in, lines of text or JSON out.

Whatever came from a host is cleaned before it can reach a terminal: no escape sequence, no control
or invisible character, no endless line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import datetime

from orchestrator.events import CheckFinished, FindingIgnored, GatePurpose, RunOutcome, TaskFailed
from orchestrator.spoken import hold_json, waived_words, waivers_json
from orchestrator.state import BUSY, DOWN, UP, ComponentProgress, ComponentState, RunState

LONGEST_LINE = 1000  # characters of one line; the journal keeps the rest
MOST_LINES = 30  # of one message

_UNCHANGED = "nothing was changed"
MOST_HOSTS = 6  # named in a table

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|\x1b.|\x9b[0-?]*.?"
)


def clean(text: str) -> str:
    """One harmless line: escape sequences and control characters taken out, length bounded."""
    text = _ESCAPE.sub("", text[: LONGEST_LINE * 4]).replace("\t", " ").replace("\n", " ")
    kept = "".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cf", "Cs"})
    return kept if len(kept) <= LONGEST_LINE else f"{kept[:LONGEST_LINE]} [...]"


def clean_lines(text: str) -> list[str]:
    """The harmless lines of a message; the last of too many: the cause stands at the end."""
    lines = [clean(line) for line in text.splitlines() if line.strip()]
    return lines if len(lines) <= MOST_LINES else ["[...]", *lines[-MOST_LINES:]]


def duration(seconds: float) -> str:
    """Seconds for a person: `0.4 s`, `12 s`, `2 min 05 s`, `1 h 02 min`."""
    if seconds < 10:  # noqa: PLR2004 -- below ten seconds a tenth matters
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def state_line(state: RunState, *, alive: bool = False) -> str:
    """Where the run stands, in one sentence. `alive`: its process lives.

    A run without an end in the journal whose process is gone was killed or lost its power.
    """
    took = duration(state.elapsed)
    match state.outcome:
        case None if alive:
            now = _waits_for(state) or _working(state) or "between two steps"
            text = f"running for {took}: {now}{_counts(state)}"
        case None:
            text = f"interrupted after {took}, its process is gone: {_cut_short(state)}"
        case RunOutcome.INTERRUPTED:
            why = clean(state.finished.reason) if state.finished else ""
            text = f"interrupted after {took} ({why}): {_cut_short(state)}"
        case RunOutcome.DRY_RUN:
            failed = _names(state.among(frozenset({ComponentState.FAILED})))
            really = [c.name for c in state.components.values() if c.really_changed]
            what = f"something WAS CHANGED, by {', '.join(really)}" if really else _UNCHANGED
            text = f"dry run over in {took}: {what}"
            text += f"; check mode failed in {failed}" if failed else ""
        case RunOutcome.RECOVERED:
            text = f"recovered in {took}{_counts(state)}"
        case RunOutcome.DEGRADED:
            begun = "up" if state.started and state.started.gates_only else f"recovered in {took}"
            work = "; ".join(filter(None, [open_work(state), waived_words(state)]))
            text = f"{begun} but DEGRADED: open work: {work}{_counts(state)}"
        case RunOutcome.NOT_RECOVERED:
            text = f"NOT recovered after {took}{_counts(state)}"
        case RunOutcome.VERIFIED:
            text = f"verified in {took}: every gate is green"
        case RunOutcome.NOT_VERIFIED:
            text = f"NOT verified: red: {_names(state.among(DOWN))}"
    return f"{state.site}: {text}"


def next_command(  # noqa: PLR0911 -- one return for each kind
    state: RunState, *, alive: bool = False, shown: bool = False
) -> str:
    """What to type next. `shown`: the person is looking at this run's details already."""
    site, show = state.site, f"drcli show {state.run}"
    recover = f"drcli recover --site {site}"
    held = state.among(frozenset({ComponentState.HELD}))
    failed = state.among(frozenset({ComponentState.FAILED}))
    match state.outcome:
        case None if alive and state.decided.hold:
            return f"drcli release {state.run}"
        case None if alive and (asking := [c.name for c in state.components.values() if c.asks]):
            return f"drcli approve {state.run} {asking[0]}"
        case None if alive:
            return f"drcli watch {state.run}"
        case None | RunOutcome.INTERRUPTED if state.resumable:
            return f"drcli resume --site {site}"
        case RunOutcome.VERIFIED:
            return f"drcli status --site {site}"
        case RunOutcome.RECOVERED | RunOutcome.DEGRADED:
            return f"drcli verify --site {site}" if shown else show
        case RunOutcome.NOT_RECOVERED | RunOutcome.DRY_RUN if failed and not shown:
            return show
        case RunOutcome.NOT_RECOVERED if held:
            return " ".join([recover, *(f"--approve {c.name}" for c in held)])
        case _:
            return recover


def _waits_for(state: RunState) -> str:
    """What a person must say before the run goes on, and what goes on meanwhile."""
    hold = state.decided.hold
    parts = [f"ON HOLD by {hold.by}{f' ({hold.reason})' if hold.reason else ''}"] if hold else []
    parts += [f"{c.name} asks: {c.reason}" for c in state.components.values() if c.asks]
    if parts and (working := _working(state)):
        parts.append(working)
    return clean("; ".join(parts))


def open_work(state: RunState) -> str:
    """What is not up though its component counts as up: `imaging on img7, img9`."""
    degraded = state.among(frozenset({ComponentState.DEGRADED}))
    return "; ".join(f"{c.name} on {', '.join(c.degraded)}" for c in degraded)


def _working(state: RunState) -> str:
    return ", ".join(f"{c.name} {c.state.value}" for c in state.among(BUSY))


def _cut_short(state: RunState) -> str:
    working = _working(state)
    return f"{f'{working} cut short' if working else 'nothing was under way'}{_counts(state)}"


def _names(components: Iterable[ComponentProgress]) -> str:
    return ", ".join(c.name for c in components)


def _counts(state: RunState) -> str:
    """`; 3 verified; 2 healthy already; failed: dns; blocked: database, imaging`."""
    parts = []
    for component_state, words in (
        (ComponentState.VERIFIED, "verified"),
        (ComponentState.HEALTHY, "healthy already"),
        (ComponentState.DEGRADED, "degraded"),
        (ComponentState.WAIVED, "waived"),
    ):
        found = state.among(frozenset({component_state}))
        if found:
            parts.append(f"{len(found)} {words}")
    for component_state in (ComponentState.FAILED, ComponentState.HELD, ComponentState.BLOCKED):
        found = state.among(frozenset({component_state}))
        if found:
            parts.append(f"{component_state.value}: {_names(found)}")
    waiting = state.among(frozenset({ComponentState.PENDING}))
    if waiting:
        parts.append(f"{len(waiting)} not started")
    return f"; {'; '.join(parts)}" if parts else ""


def summary(  # noqa: PLR0911 -- one return for each kind
    component: ComponentProgress,
) -> str:
    """What matters most about a component now, in one line."""
    match component.state:
        case ComponentState.BLOCKED:
            return f"waits for {', '.join(component.blocked_by)}"
        case ComponentState.FAILED | ComponentState.HELD:
            return clean(component.reason)
        case ComponentState.RECOVERING:
            return clean(component.task) or "starting the playbook"
        case ComponentState.OBSERVING | ComponentState.VERIFYING:
            return gate_line(component)
        case ComponentState.VERIFIED | ComponentState.HEALTHY:
            return checks_line(component)
        case ComponentState.DEGRADED:
            return f"open work on {', '.join(component.degraded)}; {checks_line(component)}"
        case ComponentState.WAIVED:
            return "; ".join(
                filter(None, [clean(", ".join(component.waived)), checks_line(component)])
            )
        case _:
            return _waiting(component)


def _waiting(component: ComponentProgress) -> str:
    if component.blocked_by:
        return f"waits for {', '.join(component.blocked_by)}, which is down again"
    if component.reason:
        return f"down again: {clean(component.reason)}"
    return f"check mode: {component.changed} tasks would change" if component.played else ""


def hosts_line(component: ComponentProgress) -> str:
    """The hosts, by name as long as they fit in a column: `db1, db2` or `h1, h2, ... 50 hosts`."""
    hosts = component.hosts
    if len(hosts) <= MOST_HOSTS:
        return ", ".join(hosts)
    return f"{', '.join(hosts[:2])}, ... {len(hosts)} hosts"


def checks_line(component: ComponentProgress) -> str:
    """`12 of 14 checks passed`, as far as they have run."""
    return f"{component.passed} of {component.checks} checks passed" if component.checks else ""


def gate_line(component: ComponentProgress) -> str:
    """A gate under way: `7 of 20 checks, 1 of them bad: test_answers on ns1: failed`."""
    held = component.gate
    if held is not None and 0 < held.passes < held.wanted:
        return f"{checks_line(component)}; holds: {held.passes} of {held.wanted} passes in a row"
    if component.gate is not None and component.state is ComponentState.VERIFYING:
        return f"{checks_line(component)}; waits to look again"
    if not component.collected:
        return checks_line(component)
    line = f"{component.checks} of {component.collected} checks"
    if component.failing:
        line += f", {len(component.failing)} of them bad: {check_title(component.failing[-1])}"
    return line


def check_title(check: CheckFinished) -> str:
    """The check and its host: `test_dns.py::test_answers on ns1: failed`."""
    where = f" on {clean(check.host)}" if check.host else ""
    return f"{clean(check.check)}{where}: {check.outcome.value}"


def failure_title(failure: TaskFailed) -> str:
    """The task, its host, and whether it counted: `Start unbound on ns1: failed`."""
    words = "unreachable" if failure.unreachable else "failed"
    if failure.ignored:
        words += " (ignored)"
    if failure.rescued:
        words += " (rescued)"
    return f"{clean(failure.task)} on {clean(failure.host)}: {words}"


def evidence(component: ComponentProgress) -> Iterator[tuple[int, str]]:
    """Why a component is not up, as (indent, line): reasons, tasks, checks and what they saw."""
    if component.blocked_by:
        yield 0, f"waits for {', '.join(component.blocked_by)}"
    yield from ((0, line) for line in _history(component))
    if component.hint:
        yield 0, f"next: {clean(component.hint)}"
    for failure in component.failures:
        yield 0, f"task {failure_title(failure)}"
        yield from ((1, line) for line in clean_lines(failure.message))
    yield from _checks_evidence(component)
    if component.played and component.played.artifact and (component.failures or component.reason):
        yield 0, f"artifact {clean(component.played.artifact)}"


def _checks_evidence(component: ComponentProgress) -> Iterator[tuple[int, str]]:
    for host in component.degraded:
        yield 0, f"open work: host {clean(host)} is not up"
    up = component.state in UP and not (component.degraded or component.waived)
    if not up and component.state is not ComponentState.BLOCKED:
        # Of what is blocked an early look may have been red: that is no evidence of its own.
        observed = component.gate is not None and component.gate.purpose is GatePurpose.OBSERVE
        when = " before the playbook" if observed and component.played else ""
        for check in component.failing:
            yield 0, f"check{when} {check_title(check)}"
            yield from ((1, line) for line in clean_lines(check.message))
        if component.gate and component.gate.reasons:
            yield from ((0, f"gate: {clean(reason)}") for reason in component.gate.reasons)


def _history(component: ComponentProgress) -> Iterator[str]:
    """What became of it, and why."""
    if component.turned_red:
        times = component.turned_red
        yield f"was up and turned red {'once' if times == 1 else f'{times} times'}"
    yield from (f"waived: {clean(what)}" for what in component.waived)
    yield from clean_lines(component.reason)


def timeline(component: ComponentProgress) -> str:
    """`observe 1.2 s, playbook 12 s, gate 3.0 s`; only what was done."""
    parts = (
        ("observe", component.observe_seconds),
        ("playbook", component.playbook_seconds),
        ("gate", component.gate_seconds),
    )
    return ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts if seconds)


def as_json(state: RunState, *, alive: bool, at: datetime) -> dict[str, object]:
    """A run for a program, at a moment: the same facts as `status` and `show` give a person."""
    started = state.started
    return {
        "run": state.run,
        "site": state.site,
        "state": _state_word(state, alive=alive),
        "started_at": state.started_at.isoformat() if state.started_at else None,
        "elapsed": state.elapsed,
        "resumed": list(state.resumed),
        "reason": state.finished.reason if state.finished else "",
        "plan_hash": state.plan_hash,
        "by": started.by if started else "",
        "controller": started.controller if started else "",
        "dry_run": bool(started and started.dry_run),
        "ignored": [ignored.model_dump(exclude={"kind"}) for ignored in state.ignored],
        "hold": hold_json(state),
        "waivers": waivers_json(state, at=at),
        "components": [_component_json(c) for c in state.components.values()],
        "next": next_command(state, alive=alive),
    }


def _state_word(state: RunState, *, alive: bool) -> str:
    if state.outcome is not None:
        return state.outcome.value
    return "running" if alive else RunOutcome.INTERRUPTED.value


def _component_json(component: ComponentProgress) -> dict[str, object]:
    return {
        "name": component.name,
        "layer": component.layer,
        "hosts": list(component.hosts),
        "state": component.state.value,
        "reason": component.reason,
        "hint": component.hint,
        "blocked_by": list(component.blocked_by),
        "asks": component.asks,
        "waived": list(component.waived),
        "attempts": component.attempts,
        "seconds": {
            "observe": component.observe_seconds,
            "playbook": component.playbook_seconds,
            "gate": component.gate_seconds,
            "recheck": component.recheck_seconds,
        },
        "degraded": list(component.degraded),
        "turned_red": component.turned_red,
        "rechecks": component.rechecks,
        "task": component.task,
        "checks": component.checks,
        "failing": [check.model_dump(mode="json") for check in component.failing],
        "unreachable": list(component.gate.unreachable) if component.gate else [],
        "failures": [failure.model_dump(mode="json") for failure in component.failures],
        "stats": {host: line.model_dump() for host, line in component.stats.items()},
        "artifact": component.played.artifact if component.played else "",
    }


def ignored_line(ignored: FindingIgnored) -> str:
    """A finding of preflight that a person overrode, and why."""
    who = f" by {ignored.by}" if ignored.by else ""
    what = f"{ignored.name}: {ignored.where}: {ignored.what}"
    return clean(f"ignored{who} {what}; because: {ignored.because}")


def exit_code(state: RunState) -> int:
    """0 when the site is up (or a dry run went through), 1 when not, 130 when interrupted.

    What is up only because a person accepts what is bad is not 0: nothing that only looks at the
    code may take it for a plain success.
    """
    match state.outcome:
        case RunOutcome.RECOVERED | RunOutcome.VERIFIED:
            return 0
        case RunOutcome.DRY_RUN:
            return int(bool(state.among(frozenset({ComponentState.FAILED}))))
        case RunOutcome.INTERRUPTED | None:
            return 130
        case _:
            return 1
