"""The only printer of a run and its views: progress on stderr, results and last line on stdout.

On a terminal a run is a live table of layers and components; elsewhere it is plain lines with a
time; with `--json` it is the records, one a line, on stdout. A terminal or a reader that goes away
in the middle of a run silences the console; it never stops the run, nor does one that takes no more
for a while: what is piped waits for its reader, to the end and beyond it.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import IO, Self, cast

from rich.console import Console as Terminal
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestrator.command import Place, next_command
from orchestrator.events import (
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentHeldBack,
    ComponentTurnedRed,
    ComponentVerified,
    ComponentWouldRecover,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlaybookFinished,
    PlaybookStarted,
    Record,
    RuleApplied,
    RuleAwaited,
    RunStarted,
    TaskFailed,
    TaskStarted,
)
from orchestrator.progress import STOPPED
from orchestrator.report import (
    check_title,
    clean,
    clean_lines,
    duration,
    evidence,
    failure_title,
    heading,
    hosts_line,
    site_title,
    state_line,
    summary,
    timeline,
)
from orchestrator.screen import MOST, Screen
from orchestrator.state import ComponentProgress, ComponentState, RunState

STYLES = {
    ComponentState.PENDING: "dim",
    ComponentState.OBSERVING: "blue",
    ComponentState.HEALTHY: "green",
    ComponentState.RECOVERING: "cyan",
    ComponentState.VERIFYING: "cyan",
    ComponentState.VERIFIED: "bold green",
    ComponentState.WOULD_RECOVER: "yellow",
    ComponentState.FAILED: "bold red",
    ComponentState.HELD: "bold yellow",
    ComponentState.BLOCKED: "magenta",
}
MOST_BAD = 5  # checks of a failed component shown at once; all of them stand in `drcli show`
NARROW = 72  # columns; in fewer, a table leaves out what would not be readable
_PLAIN_WIDTH = 10_000  # a pipe has no width: nothing is wrapped or cut there


class Console:
    """What a person or a program sees of a run. It is a context for as long as a run goes on."""

    def __init__(
        self,
        *,
        as_json: bool = False,
        place: Place | None = None,
        out: IO[str] | None = None,
        err: IO[str] | None = None,
    ) -> None:
        self._json, self._place = as_json, place
        self._out, self._err = _terminal(out or sys.stdout), _terminal(err or sys.stderr)
        self._screens: list[Screen] = []
        self._state = RunState()
        self._seen = time.monotonic()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        pipes: dict[tuple[int, int], Screen] = {}  # one for `2>&1`: the order stays
        for terminal in (self._out, self._err):
            pipe = _pipe(terminal.file)
            if pipe in pipes:
                terminal.file = cast("IO[str]", pipes[pipe])
            elif pipe or terminal.file.isatty():
                screen = Screen(terminal.file, most=None if pipe else MOST)
                terminal.file = cast("IO[str]", screen)
                self._screens.append(screen)
                if pipe:  # its reader gets all of it, and no lock of the run is held for that
                    pipes[pipe] = screen
                    atexit.register(_drain_at_last, screen)
        if not self._json and self._err.is_terminal and not self._err.is_dumb_terminal:
            self._live = Live(get_renderable=self._picture, console=self._err, refresh_per_second=4)
        return self

    def __exit__(self, *_: object) -> None:
        self._end_live()

    def show(self, record: Record, state: RunState) -> None:
        """Show one more record; `state` is the fold up to it."""
        self._state, self._seen = state, time.monotonic()
        if self._json:
            self.json(record.model_dump(mode="json"))
            return
        live = self._live
        with _until_gone(self._err):
            if live and not live.is_started:
                live.start()
            for line in _lines(record, state, only_verdicts=live is not None):
                stamp = (f"{record.at.astimezone():%H:%M:%S} ", "dim")
                self._err.print(Text.assemble(stamp, line), soft_wrap=live is None)

    def finish(self, state: RunState, *, alive: bool = False, shown: bool = False) -> None:
        """Say the state and the next command: the last line of every run and view of one."""
        self._end_live()
        said = f"{state_line(state, alive=alive)}."
        command = f"Next: {next_command(state, alive=alive, shown=shown, place=self._place)}"
        target = self._err if self._json else self._out
        # What is to be typed is not broken where there is room for it on a line of its own.
        between = " " if len(f"{said} {command}") <= target.width else "\n"
        with _until_gone(target):
            target.print(Text(said + between) + Text(command, style="bold"), soft_wrap=True)
        self._drain()

    def json(self, content: object) -> None:
        """One JSON value on one line of stdout; pure ASCII, so that no terminal obeys it."""
        with _until_gone(self._out):
            self._out.file.write(json.dumps(content) + "\n")
            self._out.file.flush()

    def note(self, text: str) -> None:
        """One line of progress that is no record."""
        with _until_gone(self._err):
            self._err.print(Text(clean(text)), soft_wrap=True)

    def line(self, text: str, *, style: str = "") -> None:
        """One line of a result."""
        with _until_gone(self._out):
            self._out.print(Text(clean(text), style=style), soft_wrap=True)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A result in columns."""
        table = _table(heads)
        for row in rows:
            table.add_row(*(Text(clean(cell)) for cell in row))
        with _until_gone(self._out):
            self._out.print(table)

    def status(self, state: RunState, *, alive: bool) -> None:
        """Where each component of a run stands."""
        with _until_gone(self._out):
            self._out.print(_components(state, state.elapsed, alive=alive, width=self._out.width))
        self.finish(state, alive=alive)

    def details(self, state: RunState, *, alive: bool) -> None:
        """A run for whoever has to mend it: each component's time line, and the evidence."""
        self.line(heading(state))
        for component in state.components.values():
            head = Text(f"{component.layer}/{component.name}  ")
            head += _state_text(component, alive=alive)
            if done := timeline(component):
                head += Text(f"  {done}", style="dim")
            with _until_gone(self._out):
                self._out.print(head, soft_wrap=True)
            for indent, line in evidence(component, alive=alive):
                self.line(f"{'  ' * (indent + 1)}{line}")
        self.finish(state, alive=alive, shown=True)

    def _end_live(self) -> None:
        """The live table stays as it is now; what comes after stands below it."""
        with _until_gone(self._err):
            if self._live:
                self._live.stop()
        self._live = None
        self._drain()

    def _drain(self) -> None:
        for screen in self._screens:
            screen.drain()

    def _picture(self) -> RenderableType:
        """The live table, drawn again some times a second."""
        state = self._state
        now = state.elapsed + (0 if state.finished else time.monotonic() - self._seen)
        table = _components(state, now, alive=True, width=self._err.width)
        return Group(table, Text(f"{site_title(state)}  {duration(now)}", style="dim"))


class _Terminal(Terminal):
    """Rich's own, but a reader that left ends what is shown, not the process."""

    def on_broken_pipe(self) -> None:
        _silence(self)


def _pipe(file: IO[str]) -> tuple[int, int] | None:
    """What tells a pipe from all others; None for what is none."""
    with suppress(OSError, ValueError):
        found = os.fstat(file.fileno())
        if stat.S_ISFIFO(found.st_mode) or stat.S_ISSOCK(found.st_mode):
            return found.st_dev, found.st_ino
    return None


def _drain_at_last(screen: Screen) -> None:
    with suppress(KeyboardInterrupt):
        screen.drain(patience=math.inf)


def _terminal(file: IO[str]) -> Terminal:
    if isinstance(file, TextIOWrapper):
        file.reconfigure(errors="replace")  # not every locale has what is shown
    width = None if file.isatty() else _PLAIN_WIDTH
    return _Terminal(file=file, width=width, highlight=False, markup=False, emoji=False)


@contextmanager
def _until_gone(terminal: Terminal) -> Iterator[None]:
    """Let whoever read our output go: what is said after is lost, the run is not."""
    try:
        yield
    except OSError:
        _silence(terminal)


def _silence(terminal: Terminal) -> None:
    with suppress(OSError):  # a stream that is no file descriptor has nothing to redirect
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, terminal.file.fileno())
        os.close(sink)


# Tables


def _table(heads: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for head in heads:
        table.add_column(head, overflow="fold", no_wrap=head not in {"NOW", "HOSTS", "STATE"})
    return table


def _components(state: RunState, now: float, *, alive: bool, width: int) -> RenderableType:
    """Each component with its state; in a narrow terminal what goes on stands below the table."""
    wide = width >= NARROW
    heads = ("LAYER", "COMPONENT", "STATE", "TIME", "HOSTS", "NOW")
    table = _table(heads if wide else heads[1:4])
    going_on: list[Text] = []
    for layer, components in state.layers.items():
        for place, component in enumerate(components):
            said = summary(component, alive=alive)
            cells = [
                Text(layer if place == 0 or width == _PLAIN_WIDTH else "", style="dim"),
                Text(component.name),
                _state_text(component, alive=alive),
                Text(_time(component, now, alive=alive), style="dim"),
                Text(hosts_line(component)),
                Text(said, no_wrap=alive, overflow="ellipsis" if alive else "fold"),
            ]
            table.add_row(*(cells if wide else cells[1:4]))
            if not wide and said and component.busy:
                words = f"{component.name}: {said}"
                going_on.append(Text(words, no_wrap=True, overflow="ellipsis"))
    return Group(table, *going_on)


def _time(component: ComponentProgress, now: float, *, alive: bool) -> str:
    """How long what goes on has lasted; of what is over, all its seconds of work."""
    if component.busy and alive:
        return duration(now - component.since)
    seconds = component.observe_seconds + component.playbook_seconds + component.gate_seconds
    return duration(seconds) if seconds else ""


def _state_text(component: ComponentProgress, *, alive: bool) -> Text:
    if component.busy and not alive:
        return Text(f"cut short {component.state.value}", style="bold yellow")
    return Text(component.state.value, style=STYLES[component.state])


# Lines


def _lines(record: Record, state: RunState, *, only_verdicts: bool) -> Iterator[Text]:
    """A record as lines for a log; under a live table only what must stay in sight."""
    event = record.event
    if isinstance(event, RunStarted):
        hosts = {host for component in event.components for host in component.hosts}
        what = "gates only, run" if event.gates_only else "dry run" if event.dry_run else "run"
        count = f"{len(event.components)} components on {len(hosts)} hosts"
        limit = f", limited to {clean(event.limit)}" if event.limit else ""
        yield Text(f"{site_title(state)}: {what} {state.run}: {count}{limit}")
    component = state.components.get(getattr(event, "component", ""))
    if component is None:
        return
    place = Text(f"{component.layer}/{component.name} ".ljust(24))
    if said := _verdict(component, event):
        yield place + Text(said, style=STYLES[component.state])
    elif not only_verdicts and (said := _step(component, event, dry_run=state.dry_run)):
        yield place + Text(said)
    if isinstance(event, ComponentFailed):
        yield from (Text(f"  {line}") for line in _failing(component))


def _verdict(  # noqa: C901, PLR0911 -- one return for each kind
    component: ComponentProgress, event: object
) -> str:
    match event:
        case ComponentHealthy():
            return f"healthy already: {summary(component)}"
        case ComponentVerified():
            return f"verified: {summary(component)} ({timeline(component)})"
        case ComponentWouldRecover():
            return f"would recover: {summary(component)}"
        case ComponentFailed(reason=reason):
            return f"FAILED: {clean(reason)}"
        case ComponentHeld(reason=reason):
            return f"held: {clean(reason)}"
        case RuleAwaited(rule=rule, seconds=seconds, reason=reason):
            return f"held, and goes on by {rule} in {duration(seconds)}: {clean(reason)}"
        case RuleApplied(rule=rule):
            return f"goes on by the site's rule {rule}"
        case ComponentBlocked(by=by):
            return f"blocked: waits for {', '.join(by)}"
        case ComponentTurnedRed(times=times, reason=reason):
            again = f", {times} times now" if times > 1 else ""
            return f"DOWN AGAIN{again}: {clean(reason)}"
        case ComponentHeldBack(by=by):
            return f"held back: waits for {', '.join(by)}, which is down again"
        case _:
            return ""


def _failing(component: ComponentProgress) -> Iterator[str]:
    """The checks that did not pass after the playbook, each with what it saw in short."""
    if component.gate is None or component.gate.purpose is GatePurpose.OBSERVE:
        return  # what was red before the playbook says nothing about why it failed
    for check in component.failing[:MOST_BAD]:
        yield check_title(check)
        lines = clean_lines(check.message)  # it begins with the values; the place stands at the end
        yield from (f"  {line}" for line in (*lines[:2], *lines[2:][-1:]))
    if len(component.failing) > MOST_BAD:
        yield f"{len(component.failing) - MOST_BAD} more: drcli show"


def _step(  # noqa: PLR0911 -- one return for each kind
    component: ComponentProgress, event: object, *, dry_run: bool
) -> str:
    match event:
        case GateStarted(purpose=GatePurpose.OBSERVE):
            return "observe"
        case GateStarted(purpose=GatePurpose.VERIFY, attempt=1):
            return "gate"
        case GateFinished(green=True):
            return ""  # what it means for the component is said at once
        case GateFinished(purpose=GatePurpose.RECHECK, attempt=1, reasons=reasons):
            # Ended together with the run, or not begun, it has seen nothing.
            return "was up and is red now: looks once more" if STOPPED.isdisjoint(reasons) else ""
        case GateFinished(purpose=GatePurpose.OBSERVE | GatePurpose.VERIFY, attempt=1) as gate:
            bad = f": {check_title(component.failing[0])}" if component.failing else ""
            took = duration(gate.seconds)
            return f"red: {gate.passed} of {gate.total} checks passed in {took}{bad}"
        case PlaybookStarted(playbook=playbook, attempt=attempt):
            how = " in check mode" if dry_run else ""
            return f"playbook {clean(playbook)}{how}, attempt {attempt}"
        case TaskStarted(task=task):
            return f"  {clean(task)}"
        case TaskFailed() as failure:
            return f"  {failure_title(failure)}: {' '.join(clean_lines(failure.message)[-1:])}"
        case PlaybookFinished(outcome=outcome, seconds=seconds, stats=stats):
            changed = sum(host.changed for host in stats.values())
            what = "would change" if dry_run else "changed"
            return f"playbook {outcome.value} in {duration(seconds)}, {changed} tasks {what}"
        case _:
            return ""
