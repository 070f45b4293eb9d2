"""Views of a run, pure: a state in, words or JSON out.

Whatever came from a host is cleaned before it can reach a terminal: no escape sequence, no control
or invisible character, no endless line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

from orchestrator.command import Place, next_command
from orchestrator.events import CheckFinished, GatePurpose, RunOutcome, TaskFailed
from orchestrator.state import DOWN, UP, ComponentProgress, ComponentState, RunState

LONGEST_LINE = 1000  # characters of one line; the journal keeps the rest
MOST_LINES = 30  # of one message
MOST_NAMES = 6  # of hosts or components, in a line

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


# Of a run


def state_line(  # noqa: C901 -- one for each outcome
    state: RunState, *, alive: bool = False
) -> str:
    """Where the run stands, in one sentence. `alive`: its process lives.

    A run without an end in the journal whose process is gone was killed or lost its power.
    """
    took, only = duration(state.elapsed), _only(state)
    dry, rehearsed = "dry run " if state.dry_run else "", f"dry run{_only(state, of=' of')}"
    match state.outcome:
        case None if alive:
            going = "dry run under way" if dry else "running"
            at = _working(state) or "between two steps"
            text = f"{going} for {took}: {at}{_counts(state)}"
        case None:
            text = f"{dry}interrupted after {took}, its process is gone: {_cut_short(state)}"
        case RunOutcome.INTERRUPTED:
            why = clean(state.finished.reason) if state.finished else ""
            text = f"{dry}interrupted after {took} ({why}): {_cut_short(state)}"
        case RunOutcome.RECOVERED:
            text = f"recovered{only} in {took}{_counts(state)}"
        case RunOutcome.DEGRADED:
            rules = ", ".join(f"{c.name} ({c.rule})" for c in state.components.values() if c.rule)
            text = f"up{only} in {took} but DEGRADED, by the site's rule: {rules}{_counts(state)}"
        case RunOutcome.NOT_RECOVERED:
            text = f"NOT recovered{only} after {took}{_counts(state)}"
        case RunOutcome.VERIFIED:
            which = "every gate that ran" if only else "every gate"
            text = f"verified{only} in {took}: {which} is green"
        case RunOutcome.NOT_VERIFIED:
            text = f"NOT verified{only}: red: {_names(state.among(DOWN))}"
        case RunOutcome.DRY_RUN_ENDED_WELL:
            text = f"{rehearsed}: nothing was changed; {_would_change(state)}{_counts(state)}"
        case RunOutcome.DRY_RUN_FAILED:
            text = f"{rehearsed} FAILED: {_would_change(state)}{_counts(state)}"
    return f"{site_title(state)}: {text}"


def site_title(state: RunState) -> str:
    """The site, and of a copy of it which one: `room-a (lab copy)`."""
    lab = f" (lab {state.started.lab})" if state.started and state.started.lab else ""
    return clean(f"{state.site}{lab}")


def exit_code(state: RunState) -> int:
    """0 when all that was asked for is up, 1 when not, 130 when interrupted."""
    match state.outcome:
        case RunOutcome.RECOVERED | RunOutcome.VERIFIED | RunOutcome.DRY_RUN_ENDED_WELL:
            return 0
        case RunOutcome.INTERRUPTED | None:
            return 130
        case (
            RunOutcome.DEGRADED
            | RunOutcome.NOT_RECOVERED
            | RunOutcome.NOT_VERIFIED
            | RunOutcome.DRY_RUN_FAILED
        ):
            return 1


def heading(state: RunState) -> str:
    """Which run it is, of what, by whom and when."""
    started = state.started
    if started is None or state.started_at is None:
        return f"run {state.run}: its first record cannot be read by this version"
    when = f"{state.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
    who = f" by {started.by} on {started.controller}" if started.by else ""
    return clean(f"run {state.run} of {site_title(state)}, begun {when}{who}")


def _only(state: RunState, *, of: str = "") -> str:
    """` routing, dns on r1, ns1 only`, where a person narrowed the run to a part of the site."""
    started, components = state.started, state.components.values()
    if started is None:
        return ""
    part = ""
    if started.selected:  # of these layers, where some were named, too
        part += f"{of} {_few([c.name for c in components], 'components')}"
    elif started.layers:
        part += f"{of} {'layer' if len(started.layers) == 1 else 'layers'} "
        part += ", ".join(started.layers)
    if started.limit:
        part += f" on {_few(list(dict.fromkeys(h for c in components for h in c.hosts)), 'hosts')}"
    return f"{part} only" if part else ""


def _would_change(state: RunState) -> str:
    changes = sum(component.changed for component in state.components.values())
    return f"{changes} tasks would change"


def _working(state: RunState) -> str:
    parts = []
    for component in state.busy:
        task = f" ({clean(component.task)})" if component.task else ""
        parts.append(f"{component.name} {component.state.value}{task}")
    return ", ".join(parts)


def _cut_short(state: RunState) -> str:
    working = ", ".join(f"{c.name} {c.state.value}" for c in state.busy)
    return f"{f'{working} cut short' if working else 'nothing was under way'}{_counts(state)}"


def _names(components: Iterable[ComponentProgress]) -> str:
    return ", ".join(c.name for c in components)


def _counts(state: RunState) -> str:
    """`; 3 verified; 2 healthy already; failed: dns; blocked: database, imaging`."""
    found = {  # what waits by a rule is under way
        each: [c for c in state.among(frozenset({each})) if not c.waits] for each in ComponentState
    }
    counted = {
        ComponentState.VERIFIED: "verified",
        ComponentState.WOULD_RECOVER: "would recover",
        ComponentState.HEALTHY: "healthy already",
        ComponentState.PENDING: "not started",
    }
    named = (ComponentState.FAILED, ComponentState.HELD, ComponentState.BLOCKED)
    parts = [f"{len(found[each])} {words}" for each, words in counted.items() if found[each]]
    parts += [f"{each.value}: {_names(found[each])}" for each in named if found[each]]
    red = [component for component in state.components.values() if component.red_again]
    parts += [f"seen red again: {_names(red)}"] if red else []
    return "".join(f"; {part}" for part in parts)


# Of a component


def summary(  # noqa: PLR0911 -- one return for each kind
    component: ComponentProgress, *, alive: bool = False
) -> str:
    """What matters most about a component now, in one line."""
    match component.state:
        case ComponentState.BLOCKED:
            return f"waits for {', '.join(component.blocked_by)}"
        case ComponentState.FAILED | ComponentState.HELD:
            return clean(_reason(component, alive=alive))
        case ComponentState.RECOVERING:
            return clean(component.task) or "starting the playbook"
        case ComponentState.OBSERVING | ComponentState.VERIFYING:
            return _gate_line(component)
        case ComponentState.VERIFIED | ComponentState.HEALTHY:
            by = f", by the rule {component.rule}" if component.rule else ""
            red = ", but red when looked at again" if component.red_again else ""
            return f"{checks_line(component)}{by}{red}"
        case ComponentState.WOULD_RECOVER:
            return f"{component.changed} tasks would change"
        case ComponentState.PENDING if component.blocked_by:
            return f"waits for {', '.join(component.blocked_by)}, which is down again"
        case ComponentState.PENDING:
            return f"down again: {clean(component.reason)}" if component.reason else ""


def _reason(component: ComponentProgress, *, alive: bool) -> str:
    """Why it is not up; of a wait by a rule also when it ends, as long as the run lives."""
    if not (component.waits and component.wait):
        return component.reason
    rule = f"by the site's rule `{component.wait.rule}`"
    if not alive:
        return f"waited {rule}; {component.reason}"
    return f"{rule} it goes on in {component.wait.seconds:.0f} s; {component.reason}"


def hosts_line(component: ComponentProgress) -> str:
    """The hosts, by name as long as they fit in a column: `db1, db2` or `h1, h2, ... 50 hosts`."""
    return _few(component.hosts, "hosts")


def _few(names: Sequence[str], what: str) -> str:
    if len(names) <= MOST_NAMES:
        return ", ".join(names)
    return f"{', '.join(names[:2])}, ... {len(names)} {what}"


def checks_line(component: ComponentProgress) -> str:
    """`12 of 14 checks passed`, as the last gate had it."""
    gate = component.gate
    return f"{gate.passed} of {gate.total} checks passed" if gate and gate.total else ""


def _gate_line(component: ComponentProgress) -> str:
    """A gate under way: `7 of 20 checks, 1 of them bad: test_answers on ns1: failed`."""
    if component.gate is not None:
        return f"{checks_line(component)}; looks again"
    done = component.passed + len(component.failing)
    if not (done or component.collected):
        return "starting the gate"
    of = f" of {component.collected}" if component.collected else ""
    line = f"{done}{of} checks"
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


def timeline(component: ComponentProgress) -> str:
    """`observe 1.2 s, playbook 12 s, gate 3.0 s`; only what was done."""
    parts = (
        ("observe", component.observe_seconds),
        ("playbook", component.playbook_seconds),
        ("gate", component.gate_seconds),
    )
    return ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts if seconds)


def evidence(component: ComponentProgress, *, alive: bool = False) -> Iterator[tuple[int, str]]:
    """Why a component is not up, as (indent, line): reason, tasks, checks and what they saw."""
    if component.turned_red:
        times = "once" if component.turned_red == 1 else f"{component.turned_red} times"
        yield 0, f"was up and turned red {times}"
    if component.blocked_by:
        yield 0, f"waits for {', '.join(component.blocked_by)}"
    yield from ((0, line) for line in clean_lines(_reason(component, alive=alive)))
    for diffed in component.diffs:
        yield 0, f"difference by task {clean(diffed.task)} on {clean(diffed.host)}"
        yield from ((1, line) for line in clean_lines(diffed.diff))
    for failure in component.failures:
        yield 0, f"task {failure_title(failure)}"
        yield from ((1, line) for line in clean_lines(failure.message))
    if component.state not in UP | {ComponentState.BLOCKED}:
        yield from _red_checks(component)
    if component.played and component.played.artifact and (component.failures or component.reason):
        yield 0, f"log {clean(component.played.artifact)}"


def _red_checks(component: ComponentProgress) -> Iterator[tuple[int, str]]:
    observed = component.gate is not None and component.gate.purpose is GatePurpose.OBSERVE
    when = " before the playbook" if observed and component.played else ""
    for check in component.failing:
        yield 0, f"check{when} {check_title(check)}"
        yield from ((1, line) for line in clean_lines(check.message))
    if component.gate:
        yield from ((0, f"gate: {clean(reason)}") for reason in component.gate.reasons)


# For a program


def as_json(state: RunState, *, alive: bool, place: Place | None = None) -> dict[str, object]:
    """A run for a program: the same facts as `status` and `show` give a person."""
    started = state.started
    word = state.outcome.value if state.outcome else "running" if alive else "interrupted"
    return {
        "run": state.run,
        "site": state.site,
        "state": word,
        "reason": state.finished.reason if state.finished else "",
        "started_at": state.started_at.isoformat() if state.started_at else None,
        "elapsed": state.elapsed,
        "plan_hash": started.plan_hash if started else "",
        "by": started.by if started else "",
        "controller": started.controller if started else "",
        "layers": list(started.layers) if started else [],
        "selected": list(started.selected) if started else [],
        "limit": started.limit if started else "",
        "from": started.start if started else "",
        "lab": started.lab if started else "",
        "dry_run": state.dry_run,
        "components": [_component_json(c, alive=alive) for c in state.components.values()],
        "next": next_command(state, alive=alive, place=place),
    }


def _component_json(component: ComponentProgress, *, alive: bool) -> dict[str, object]:
    return {
        "name": component.name,
        "layer": component.layer,
        "hosts": list(component.hosts),
        "state": component.state.value,
        "reason": _reason(component, alive=alive),
        "rule": component.rule,
        "blocked_by": list(component.blocked_by),
        "attempts": component.attempts,
        "red_again": component.red_again,
        "turned_red": component.turned_red,
        "seconds": {
            "observe": component.observe_seconds,
            "playbook": component.playbook_seconds,
            "gate": component.gate_seconds,
        },
        "task": component.task,
        "checks": component.gate.total if component.gate else component.collected,
        "passed": component.passed,
        "failing": [check.model_dump(mode="json") for check in component.failing],
        "unreachable": list(component.gate.unreachable) if component.gate else [],
        "failures": [failure.model_dump(mode="json") for failure in component.failures],
        "diffs": [diffed.model_dump(mode="json") for diffed in component.diffs],
        "stats": {host: line.model_dump() for host, line in component.stats.items()},
        "log": component.played.artifact if component.played else "",
    }
