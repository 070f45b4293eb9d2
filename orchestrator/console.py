"""The only printer. Progress goes to stderr, results and the last line to stdout.

On a terminal a run is a live table of layers and components; elsewhere it is plain lines with a
time; with `--json` it is the records, one a line, on stdout. A terminal or a reader that goes away
in the middle of a run silences the console; it never stops the run.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import IO, Self, cast

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentHeldBack,
    ComponentTurnedRed,
    ComponentVerified,
    ComponentWaived,
    FindingIgnored,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlaybookFinished,
    PlaybookStarted,
    Record,
    RunResumed,
    RunStarted,
    TaskFailed,
    TaskStarted,
    WorkAwaited,
    WorkTaken,
)
from orchestrator.forecast_words import forecast_line, forecast_words
from orchestrator.report import (
    check_title,
    clean,
    clean_lines,
    duration,
    evidence,
    failure_title,
    hosts_line,
    ignored_line,
    next_command,
    state_line,
    summary,
    timeline,
)
from orchestrator.screen import Screen, terminal_on, until_gone
from orchestrator.spoken import decision_line, waiver_lines
from orchestrator.state import BUSY, ComponentProgress, ComponentState, RunState

STYLES = {
    ComponentState.PENDING: "dim",
    ComponentState.OBSERVING: "blue",
    ComponentState.HEALTHY: "green",
    ComponentState.RECOVERING: "cyan",
    ComponentState.VERIFYING: "cyan",
    ComponentState.VERIFIED: "bold green",
    ComponentState.DEGRADED: "bold yellow",
    ComponentState.WAIVED: "bold yellow",
    ComponentState.FAILED: "bold red",
    ComponentState.HELD: "bold yellow",
    ComponentState.BLOCKED: "magenta",
}
MOST_BAD = 20  # checks of one gate shown as they come; all of them stand in `drcli show`


class Console:
    """What a person or a program sees of a run. Use it as a context: it puts the terminal back."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        out: IO[str] | None = None,
        err: IO[str] | None = None,
        may_hang: bool = False,
    ) -> None:
        self._json = as_json
        streams = (out or sys.stdout, err or sys.stderr)
        # What is read by a program must come whole, however slow that is; a terminal must not.
        self._screens = [Screen(s) if may_hang and s.isatty() else None for s in streams]
        self._out, self._err = (
            terminal_on(cast("IO[str]", screen) if screen else stream)
            for screen, stream in zip(self._screens, streams, strict=True)
        )
        self._state = RunState()
        self._seen = time.monotonic()
        self._bad: dict[str, set[tuple[str, str]]] = {}  # by component: checks shown as bad, hosts
        self._live: Live | None = None
        if not as_json and self._err.is_terminal and not self._err.is_dumb_terminal:
            self._live = Live(get_renderable=self._picture, console=self._err, refresh_per_second=4)

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with until_gone(self._err):
            if self._live:
                self._live.stop()
        self._drain()

    def _drain(self) -> None:
        for screen in self._screens:
            if screen:
                screen.drain()

    def show(self, record: Record, state: RunState) -> None:
        """Show one more record; `state` is the fold up to it."""
        self._state, self._seen = state, time.monotonic()
        if self._json:
            self.json(record.model_dump(mode="json"))
            return
        with until_gone(self._err):
            live = self._live is not None
            news = self._bad_check(record.event, state, live=live)
            for line in (*_lines(record, state, only_verdicts=live), *news):
                stamp = (f"{record.at.astimezone():%H:%M:%S} ", "dim")
                self._err.print(Text.assemble(stamp, line), soft_wrap=not live)

    def finish(self, state: RunState, *, shown: bool = False, alive: bool = False) -> None:
        """Say the state and the next command: the last line of every run and view of one."""
        line = f"{state_line(state, alive=alive)}. Next: "
        command = next_command(state, alive=alive, shown=shown)
        target = self._err if self._json else self._out
        with until_gone(target):
            target.print(Text(line) + Text(command, style="bold"), soft_wrap=True)
        self._drain()

    def json(self, content: object) -> None:
        """One JSON value on one line of stdout; pure ASCII, so that no terminal obeys it."""
        with until_gone(self._out):
            self._out.file.write(json.dumps(content) + "\n")
            self._out.file.flush()

    def raw(self, line: str) -> None:
        """One line of a result that is JSON in ASCII already."""
        with until_gone(self._out):
            self._out.file.write(f"{line}\n")

    def note(self, text: str) -> None:
        """One line of progress that is no record."""
        with until_gone(self._err):
            self._err.print(Text(clean(text)), soft_wrap=True)

    def line(self, text: str, *, style: str = "") -> None:
        """One line of a result."""
        with until_gone(self._out):
            self._out.print(Text(clean(text), style=style), soft_wrap=True)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
        """A result in columns."""
        table = _table(heads)
        for row in rows:
            table.add_row(*(Text(clean(cell)) if isinstance(cell, str) else cell for cell in row))
        with until_gone(self._out):
            self._out.print(table)

    def status(self, state: RunState, *, alive: bool) -> None:
        """Where each component of a run stands."""
        rows: list[list[str | Text]] = [
            [
                component.layer,
                component.name,
                _state_text(component, alive=alive),
                hosts_line(component),
                timeline(component),
                summary(component),
            ]
            for component in state.components.values()
        ]
        self.table(["LAYER", "COMPONENT", "STATE", "HOSTS", "TIME", "NOW"], rows)
        self._waivers(state)
        self.finish(state, alive=alive)

    def details(self, state: RunState, *, alive: bool) -> None:
        """A run for whoever has to mend it: each component's time line, and the evidence."""
        for ignored in state.ignored:
            self.line(ignored_line(ignored))
        for component in state.components.values():
            head = Text(f"{component.layer}/{component.name}  ")
            head += _state_text(component, alive=alive)
            if done := timeline(component):
                head += Text(f"  {done}", style="dim")
            with until_gone(self._out):
                self._out.print(head, soft_wrap=True)
            for indent, line in evidence(component):
                self.line(f"{'  ' * (indent + 1)}{line}")
        self._waivers(state)
        self.finish(state, alive=alive, shown=True)

    def _waivers(self, state: RunState) -> None:
        for line in waiver_lines(state, at=datetime.now(UTC)):
            self.line(line, style=STYLES[ComponentState.WAIVED])

    def _bad_check(self, event: object, state: RunState, *, live: bool) -> Iterator[Text]:
        """A check that did not pass, at once; while a gate is repeated, only what is new.

        Under the live table what is down before its playbook is seen in its line alone.
        """
        if (
            isinstance(event, GateStarted)
            and event.attempt <= 1
            and event.purpose is not GatePurpose.RECHECK
        ):
            self._bad[event.component] = set()
        if not isinstance(event, CheckFinished) or event.outcome is CheckOutcome.PASSED:
            return
        component = state.components.get(event.component)
        if component is None or (live and component.state is not ComponentState.VERIFYING):
            return
        if component.rechecking:
            return  # one red look decides nothing; what decides says why
        shown = self._bad.setdefault(event.component, set())
        unreachable = event.outcome is CheckOutcome.UNREACHABLE and event.host
        what = ("", event.host) if unreachable and event.host else (event.check, event.host or "")
        if what in shown or len(shown) > MOST_BAD:
            return
        shown.add(what)
        if len(shown) > MOST_BAD:
            yield _place(component) + Text("  more of its checks are bad: drcli show")
            return
        style = STYLES[ComponentState.FAILED]
        title = f"{clean(event.host or '')}: unreachable" if unreachable else check_title(event)
        yield _place(component) + Text(f"  {title}", style=style)
        for line in _brief(event.message):
            yield _place(component) + Text(f"    {line}")

    def _picture(self) -> RenderableType:
        """The live table, drawn again some times a second."""
        state = self._state
        now = state.elapsed + (0 if state.finished else time.monotonic() - self._seen)
        table = _table(["LAYER", "COMPONENT", "STATE", "HOSTS", "FOR", "NOW"])
        for layer, components in state.layers.items():
            for place, component in enumerate(components):
                busy = component.state in BUSY
                table.add_row(
                    layer if place == 0 else "",
                    component.name,
                    _state_text(component, alive=True),
                    hosts_line(component),
                    duration(now - component.since) if busy else "",
                    Text(summary(component), no_wrap=True, overflow="ellipsis"),
                )
        ahead = forecast_words(state, now)
        return Group(table, Text(f"{state.site}  {duration(now)}  {ahead}", style="dim"))


def _table(heads: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head not in {"NOW", "HOSTS"})
    return table


def _state_text(component: ComponentProgress, *, alive: bool) -> Text:
    if component.state in BUSY and not alive:
        return Text(f"cut short {component.state.value}", style="bold yellow")
    return Text(component.state.value, style=STYLES[component.state])


def _lines(record: Record, state: RunState, *, only_verdicts: bool) -> Iterator[Text]:
    """A record as lines for a log; under a live table only what must stay in sight."""
    event = record.event
    component = state.components.get(getattr(event, "component", ""))
    if component is None:
        if isinstance(event, RunStarted | RunResumed) and not only_verdicts:
            yield Text(_opening(event, state))
        if isinstance(event, FindingIgnored):
            yield Text(ignored_line(event), style="yellow")
        if said := decision_line(event) or forecast_line(event, state.elapsed):
            yield Text(clean(said), style=STYLES[ComponentState.HELD])
        return
    place = _place(component)
    verdict = _verdict(component, event)
    if verdict is not None:
        yield place + verdict
        if isinstance(event, ComponentFailed):
            yield from (place + Text(line) for line in _failing(component))
    elif said := decision_line(event):
        yield place + Text(clean(said), style=STYLES[ComponentState.HELD])
    elif not only_verdicts:
        step = _step(event)
        if step:
            yield place + Text(step)


def _place(component: ComponentProgress) -> Text:
    return Text(f"{component.layer}/{component.name} ".ljust(24))


def _opening(event: RunStarted | RunResumed, state: RunState) -> str:
    hosts = {host for component in event.components for host in component.hosts}
    what = "run"
    if isinstance(event, RunStarted):
        what = "dry run" if event.dry_run else "gates only" if event.gates_only else "run"
    line = f"{state.site}: {what} {state.run}"
    if isinstance(event, RunResumed):
        line += f" goes on, {duration(event.away)} after its last word"
    return f"{line}: {len(event.components)} components on {len(hosts)} hosts"


def _verdict(  # noqa: PLR0911 -- one return for each kind
    component: ComponentProgress, event: object
) -> Text | None:
    style = STYLES[component.state]
    match event:
        case ComponentHealthy():
            return Text(f"healthy already: {summary(component)}", style=style)
        case ComponentVerified(degraded=degraded) if degraded:
            return Text(f"DEGRADED: {summary(component)} ({timeline(component)})", style=style)
        case ComponentVerified():
            return Text(f"verified: {summary(component)} ({timeline(component)})", style=style)
        case ComponentWaived(waived=waived):
            return Text(f"up, but WAIVED: {clean(', '.join(waived))}", style=style)
        case ComponentFailed(reason=reason):
            return Text(f"FAILED: {clean(reason)}", style=style)
        case ComponentHeld(reason=reason, hint=hint, expires=expires):
            within = f" (within {duration(expires)})" if expires else ""
            then = f" -> {clean(hint)}" if hint else ""
            return Text(f"held: {clean(reason)}{within}{then}", style=style)
        case ComponentBlocked(by=by):
            return Text(f"blocked: waits for {', '.join(by)}", style=style)
        case ComponentTurnedRed(times=times, reason=reason):
            again = f", {times} times now" if times > 1 else ""
            style = STYLES[ComponentState.FAILED]
            return Text(f"DOWN AGAIN{again}: {clean(reason)}", style=style)
        case ComponentHeldBack(by=by):
            style = STYLES[ComponentState.HELD]
            return Text(f"held back: waits for {', '.join(by)}, which is down again", style=style)
        case _:
            return None


def _failing(component: ComponentProgress) -> Iterator[str]:
    if component.gate is None or component.gate.purpose is GatePurpose.OBSERVE:
        return  # what was red before the playbook says nothing about why it failed
    if component.gate.attempt == 1:
        return  # each was shown when it came
    for check in component.failing:
        yield f"  {check_title(check)}"
        yield from (f"    {line}" for line in _brief(check.message))


def _brief(message: str) -> list[str]:
    """What a check saw, in at most three lines: how it begins, and where the check stands.

    What pytest has to say on an assertion begins with its values; a comparison of them follows.
    """
    lines = [line for line in message.splitlines() if line.strip()]
    return [clean(line) for line in (*lines[:2], *lines[2:][-1:])]


def _step(event: object) -> str:  # noqa: C901, PLR0911, PLR0912 -- one return for each kind
    match event:
        case GateStarted(purpose=GatePurpose.RECHECK):
            return ""
        case GateFinished(purpose=GatePurpose.RECHECK, reasons=("stopped", *_)):
            return ""  # the run is at its end, and this look with it: it has seen nothing
        case GateFinished(purpose=GatePurpose.RECHECK, green=False, attempt=1):
            return "was up, and looked at again it is red; what it stands on is looked at, then it"
        case GateStarted(purpose=GatePurpose.OBSERVE):
            return "observe"
        case GateStarted(attempt=1):
            return "gate"
        case GateFinished(green=False, attempt=0 | 1, passed=passed, total=total, seconds=seconds):
            return f"red: {passed} of {total} checks passed in {duration(seconds)}"
        case GateFinished(green=True, passes=passes, wanted=wanted) if passes < wanted:
            return f"holds: {passes} of {wanted} passes in a row"
        case PlaybookStarted(playbook=playbook, attempt=attempt):
            return f"playbook {clean(playbook)}, attempt {attempt}"
        case WorkAwaited(reason=reason):
            return clean(reason)
        case WorkTaken(worker=worker, hosts=hosts):
            return f"  {len(hosts)} hosts by worker {clean(worker)}"
        case TaskStarted(task=task):
            return f"  {clean(task)}"
        case TaskFailed() as failure:
            return f"  {failure_title(failure)}: {' '.join(clean_lines(failure.message)[-1:])}"
        case PlaybookFinished(outcome=outcome, seconds=seconds, stats=stats):
            changed = sum(host.changed for host in stats.values())
            return f"playbook {outcome.value} in {duration(seconds)}, {changed} tasks changed"
        case _:
            return ""
