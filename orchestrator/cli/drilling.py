"""Drives a drill on a lab: types drcli's own commands, follows the run, scores it, cleans up.

Each step is a command that a person could type, in a process and a session of its own: so a Ctrl-C
reaches this process alone, which then ends them in good order.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from orchestrator.drills import Drill
from orchestrator.errors import Interrupted, RecoveryError
from orchestrator.events import RunOutcome
from orchestrator.journal import read_journal
from orchestrator.lab import ledger, podman
from orchestrator.lab.definition import Lab
from orchestrator.lab.faults import LabFault, load_faults
from orchestrator.lab.scenario import Scenario
from orchestrator.state import UP, RunState
from orchestrator.state_directory import VARIABLE

PAUSE = 0.3  # seconds between two looks at the run
LAST_WORDS = 120.0  # seconds for a command that is asked to stop
MOST_CONSOLE = 4_000_000  # characters of a run's console that are kept
_DRCLI = "from orchestrator.cli.front import main; main()"


class GaveWayError(RecoveryError):
    """The drill was ended for a real recovery; nothing was cleaned up under its hands."""


@dataclass(kw_only=True)
class Drilling:
    """One drill on a lab.

    `echo` shows a line of a command; `began` is when the first step was done, on the monotonic
    clock, and `console` all that the run has shown.
    """

    lab: Lab
    scenario: Scenario
    drill: Drill
    state_dir: Path
    echo: Callable[[str], object]
    began: float = 0.0
    before: float = 0.0
    deaths: int = 0
    console: list[str] = field(default_factory=list)
    run: str = ""

    @property
    def faults(self) -> tuple[LabFault, ...]:
        """The faults of the scenario, as the catalogue has them."""
        known = load_faults(self.lab) if self.scenario.faults else {}
        return tuple(known[name] for name in self.scenario.faults)

    def prepare(self) -> None:
        """Have the lab up and the site whole.

        Raises:
            RecoveryError: it does not come up, or is not whole and cannot be made so.
        """
        site = self.lab.site
        self.must("lab", "up", "--site", site)
        if self.type_("verify", "--site", site) != 0:
            self.must("recover", "--site", site, "--new", "--no-wait")

    def do(self) -> RunState:
        """Break what the scenario breaks, recover, and meanwhile do what it says; the run's end.

        Raises:
            GaveWayError: a real recovery of the site began, or was under way.
            RecoveryError: a step failed, or the run never began.
        """
        self.began = time.monotonic()
        for step in self.scenario.steps:
            self.must(*step.command(self.lab.site))
        self.before = time.monotonic() - self.began
        as_drill = ("--as-drill", f"{self.drill.kind.value}:{self.drill.scenario}")
        self.console.clear()
        child = self._start("recover", "--site", self.lab.site, "--new", "--no-wait", *as_drill)
        state = self._follow(child)
        if state.outcome is RunOutcome.INTERRUPTED:
            raise GaveWayError(
                f"the drill gave way: {state.finished.reason if state.finished else ''}",
                hint=f"Follow what goes on: drcli watch --site {self.lab.site}",
            )
        return state

    def proofs(self) -> dict[str, str]:
        """Of each fault with a proof: empty when it succeeded in every host, else what failed."""
        found: dict[str, str] = {}
        for fault in self.faults:
            if fault.proof is None:
                continue
            failed = []
            for name in fault.hosts:
                try:
                    podman.execute(self.lab.container(self.lab.host(name)), fault.proof)
                except RecoveryError:
                    failed.append(name)
            found[fault.name] = f"its proof fails on {', '.join(failed)}" if failed else ""
        return found

    def verdict(self) -> ledger.Verdict | None:
        """What the site still has of what it acknowledged; None where nobody could look."""
        if self.lab.file.reader is None:
            return None
        try:
            return ledger.verdict(self.lab)
        except RecoveryError as error:
            self.echo(error.message)
            return None

    def red_now(self) -> tuple[str, ...]:
        """The components whose gates are red now, after the run."""
        lines: list[str] = []
        words = ("verify", "--site", self.lab.site, "--json")
        self.echo(f"$ drcli {shlex.join(words)}")
        child = Command(words, state_dir=self.state_dir, show=lines.append)
        try:
            child.wait()
        finally:
            end(child)
        found = []
        for line in lines:
            with contextlib.suppress(ValueError):  # what was said on stderr
                event = json.loads(line).get("event", {})
                if event.get("kind") == "gate_finished" and not event["green"]:
                    found.append(str(event["component"]))
        return tuple(found)

    def undo(self) -> None:
        """Take back what no recovery may repair."""
        for fault in self.faults:
            if fault.expect == "held" or fault.undo is not None:
                self.type_("lab", "break", "--undo", fault.name, "--site", self.lab.site)

    def must(self, *words: str) -> None:
        """Type a command that has to succeed.

        Raises:
            RecoveryError: it did not.
        """
        if code := self.type_(*words):
            raise RecoveryError(f"`drcli {shlex.join(words)}` failed ({code}): the drill ends")

    def type_(self, *words: str) -> int:
        """Type a command and wait for its end; its exit code."""
        child = self._start(*words)
        try:
            return child.wait()
        finally:
            end(child)

    def _start(self, *words: str) -> Command:
        self.echo(f"$ drcli {shlex.join(words)}")
        return Command(words, state_dir=self.state_dir, show=self._show)

    def _show(self, line: str) -> None:
        self.console.append(line)
        self.echo(line)

    def _follow(self, child: Command) -> RunState:
        due = list(self.scenario.meanwhile)
        state = RunState()
        try:
            while True:
                over = child.poll() is not None  # asked before its records: none is missed
                state = self._look(child.pid, state)
                for part in [part for part in due if is_up(state, part.after)]:
                    due.remove(part)
                    for step in part.do:
                        if step.controller is not None:
                            child = self._kill(child)
                        else:
                            self.must(*step.command(self.lab.site, at_once=True))
                    if child.poll() is not None:
                        raise RecoveryError(
                            f"the run was over before what was to happen after {part.after} had: "
                            "the scenario was not played"
                        )
                if over:
                    break
                time.sleep(PAUSE)
        finally:
            end(child)
        if not state.started:
            raise GaveWayError("the run never began", hint=f"drcli status --site {self.lab.site}")
        if due and state.outcome is not RunOutcome.INTERRUPTED:
            raise RecoveryError(f"{due[0].after} was never up: the scenario was not played")
        return state

    def _kill(self, child: Command) -> Command:
        """The controller dies, and somebody types the command that goes on."""
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        self.deaths += 1
        self.echo("the controller was killed")
        return self._start("resume", "--site", self.lab.site, "--no-wait")

    def _look(self, pid: int, state: RunState) -> RunState:
        with read_journal(self.state_dir) as journal:
            if journal is None:
                return state
            if not self.run:
                for line in reversed(journal.runs(site=self.lab.site)):
                    begun = journal.state(line.run).started
                    if begun is not None and begun.pid == pid and begun.drill is not None:
                        self.run = line.run
                        break
                else:
                    return state
            return journal.state(self.run)


class Command:
    """A drcli command in a session of its own; each line it says is shown as it comes."""

    def __init__(
        self, words: tuple[str, ...], *, state_dir: Path, show: Callable[[str], object]
    ) -> None:
        self._process = subprocess.Popen(  # noqa: S603 -- an argument list, no shell
            [sys.executable, "-c", _DRCLI, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, VARIABLE: str(state_dir)},
            start_new_session=True,
            text=True,
            errors="replace",
        )
        assert self._process.stdout is not None  # noqa: S101 -- a pipe was asked for
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, show))
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process, and its group."""
        return self._process.pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and its last words; its exit code."""
        code = self._process.wait(timeout)
        self._reader.join(
            PAUSE * 10
        )  # what it left running may hold the pipe: it is not waited for
        return code


def _read(pipe: IO[str], show: Callable[[str], object]) -> None:
    kept = 0
    with pipe:
        for line in pipe:
            kept += len(line)
            if kept < MOST_CONSOLE:
                show(line.rstrip("\n"))


def end(child: Command) -> None:
    """End a command in good order where it still runs; by force when it takes too long."""
    for number in (signal.SIGINT, signal.SIGKILL):
        if child.poll() is not None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(LAST_WORDS)


def is_up(state: RunState, name: str) -> bool:
    """A component is up, or all of a layer."""
    chosen = [c for c in state.components.values() if name in {c.name, c.layer}]
    return bool(chosen) and all(c.state in UP for c in chosen)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP end the block as Ctrl-C does: what must be cleaned up is.

    Raises:
        Interrupted: one of them came.
    """

    def handle(number: int, _: object) -> None:
        raise Interrupted(f"the drill was ended by {signal.Signals(number).name}")

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
