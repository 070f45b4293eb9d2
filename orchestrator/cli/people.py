"""`drcli approve`, `hold`, `cancel` and the like: what a person asks of a run from any terminal.

Each puts a request into the journal and waits for the event that answers it: the run alone decides.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click
from pydantic_core import PydanticCustomError

from orchestrator.cli.person import person
from orchestrator.cli.shared_options import state_dir_option
from orchestrator.cli.views import chosen_run, is_alive
from orchestrator.console import Console
from orchestrator.decisions import Decision, RequestRefused
from orchestrator.errors import InputError, RecoveryError
from orchestrator.journal import Journal, open_journal, read_journal
from orchestrator.report import clean, next_command, state_line
from orchestrator.requests import (
    LONGEST,
    Approve,
    Cancel,
    Deny,
    Hold,
    Release,
    Request,
    Retry,
    Waive,
    title,
)
from orchestrator.site_types import parse_duration
from orchestrator.state import RunState, advance
from orchestrator.state_directory import state_directory

Command = TypeVar("Command", bound=Callable[..., object])

PATIENCE = 5.0  # seconds for the run's answer: it looks three times a second
ENDING = 60.0  # seconds for a cancelled run to end what it has started
PAUSE = 0.2

_run = click.argument("run", required=False)
_run_and_component = click.argument("words", nargs=-1, required=True, metavar="[RUN] COMPONENT")
_site = click.option("--site", help="Without RUN: the run of this site.")
_why = click.option("--reason", default="", help="Why; it is kept in the journal.")
_why_required = click.option("--reason", required=True, help="Why; it is kept in the journal.")
_until = click.option(
    "--until",
    required=True,
    metavar="TIME",
    help="When it ends: 2026-01-31, 2026-01-31T18:00, or from now on: 90m, 4h.",
)


@click.command()
@_run_and_component
@_why_required
@click.option("--deny", is_flag=True, help="Answer no: the component stays held.")
@_site
@state_dir_option
def approve(
    *, words: tuple[str, ...], reason: str, deny: bool, site: str | None, state_dir: Path | None
) -> int:
    """Answer the question a component asks before its playbook runs.

    Without RUN it is the run that is under way.

    Example: drcli approve database --reason "db1 is the primary: checked by hand"
    """
    run, component = _split(words)
    kind = Deny if deny else Approve
    request = kind(component=_bounded(component), reason=_bounded(reason))
    return _Asking(run, site, state_dir).ask(request)


@click.command()
@_run
@_why
@_site
@state_dir_option
def hold(*, run: str | None, reason: str, site: str | None, state_dir: Path | None) -> int:
    """Start nothing new in a run; what is under way ends. It waits for `drcli release`.

    Example: drcli hold --reason "smoke in the room"
    """
    request = Hold(reason=_bounded(reason))
    return _Asking(run, site, state_dir).ask(request)


@click.command()
@_run
@_why
@_site
@state_dir_option
def release(*, run: str | None, reason: str, site: str | None, state_dir: Path | None) -> int:
    """Let a run go on that is on hold.

    Example: drcli release
    """
    request = Release(reason=_bounded(reason))
    return _Asking(run, site, state_dir).ask(request)


@click.command()
@_run
@_why
@_site
@state_dir_option
def cancel(*, run: str | None, reason: str, site: str | None, state_dir: Path | None) -> int:
    """End a run in good order, and say what was left in which state. `drcli resume` goes on.

    Example: drcli cancel --reason "wrong room"
    """
    request = Cancel(reason=_bounded(reason))
    asked = _Asking(run, site, state_dir)
    asked.ask(request)
    asked.show_end()
    return 0


@click.command()
@_run_and_component
@_why
@_site
@state_dir_option
def retry(*, words: tuple[str, ...], reason: str, site: str | None, state_dir: Path | None) -> int:
    """Try a failed or held component again while the run goes on; what it blocked waits again.

    Example: drcli retry database --reason "its disk is back"
    """
    run, component = _split(words)
    request = Retry(component=_bounded(component), reason=_bounded(reason))
    return _Asking(run, site, state_dir).ask(request)


@click.command()
@_run
@click.option("--host", help="Accept whatever is bad on this host, or that it is gone.")
@click.option("--check", help="Accept that this check is bad; needs --component.")
@click.option("--component", help="Only of this component.")
@_why_required
@_until
@_site
@state_dir_option
def waive(  # noqa: PLR0913 -- one for each option
    *,
    run: str | None,
    host: str | None,
    check: str | None,
    component: str | None,
    reason: str,
    until: str,
    site: str | None,
    state_dir: Path | None,
) -> int:
    """Accept a failing host or check until a time. It stays open work wherever the run is shown.

    Example: drcli waive --host db2 --reason "its disk is dead, ticket 4711" --until 12h
    """
    if (host is None) == (check is None):
        raise InputError("name one of --host and --check", hint="A whole component: drcli skip")
    if check is not None and component is None:
        raise InputError("--check needs --component", hint="A check's name says not whose it is.")
    request = Waive(
        component=component and _bounded(component),
        host=host and _bounded(host),
        check=check and _bounded(check),
        reason=_bounded(reason),
        until=end_of_waiver(until, now=datetime.now(UTC)),
    )
    return _Asking(run, site, state_dir).ask(request)


@click.command()
@_run_and_component
@_why_required
@_until
@_site
@state_dir_option
def skip(
    *, words: tuple[str, ...], reason: str, until: str, site: str | None, state_dir: Path | None
) -> int:
    """Leave a whole component as it is, by a waiver: what stands on it goes on without.

    Example: drcli skip imaging --reason "the hospital is on paper until noon" --until 4h
    """
    run, component = _split(words)
    ends = end_of_waiver(until, now=datetime.now(UTC))
    request = Waive(component=_bounded(component), reason=_bounded(reason), until=ends)
    return _Asking(run, site, state_dir).ask(request)


def end_of_waiver(text: str, *, now: datetime) -> datetime:
    """A date, a date and time (of this machine's zone unless it says which), or so long from now.

    Raises:
        InputError: it is none of these, or is over.
    """
    try:
        end = now + parse_duration(text)
    except PydanticCustomError:
        try:
            end = datetime.fromisoformat(text).astimezone()
        except (ValueError, OverflowError, OSError):
            raise InputError(
                f"--until {clean(text)!r} is no time",
                hint="Write 2026-01-31, 2026-01-31T18:00, or from now on: 90m, 4h.",
            ) from None
    if end <= now:
        raise InputError(f"--until {clean(text)} is over already", hint="Name a time to come.")
    return end


@dataclass
class _Asking:
    """A run that is asked something."""

    run: str | None
    site: str | None
    state_dir: Path | None

    def __post_init__(self) -> None:
        self.folder = state_directory(self.state_dir)
        with read_journal(self.folder) as journal:
            self.state = _running(journal, self.folder, self.run, self.site)

    def ask(self, request: Request) -> int:
        """Ask, and say what the run answers.

        Raises:
            RecoveryError: it refuses, ends without an answer, or does not answer.
        """
        state = self.state
        with open_journal(self.folder) as journal:
            number = journal.ask(state.run, request, by=person(), at=datetime.now(UTC))
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                refused = self._read(journal, number)
                if refused is not None:
                    break
                if self.state.finished:
                    raise _not_running(self.state)
                time.sleep(PAUSE)
            else:
                raise RecoveryError(
                    f"run {state.run} has not answered within {PATIENCE:g} s; it may still take it",
                    hint=f"See whether it is stopped or busy: drcli watch {state.run}",
                )
        if refused:
            raise RecoveryError(
                f"run {state.run} refuses: {clean(refused)}",
                hint=f"See where it stands: drcli status --site {state.site}",
            )
        Console().line(f"run {state.run} has taken it: {title(request)}")
        return 0

    def show_end(self) -> None:
        """Wait until the run has ended, and say in which state everything was left."""
        console = Console()
        deadline = time.monotonic() + ENDING
        with read_journal(self.folder) as journal:
            while journal and not self.state.finished and time.monotonic() < deadline:
                self._read(journal, 0)
                time.sleep(PAUSE)
        console.status(self.state, alive=not self.state.finished)

    def _read(self, journal: Journal, number: int) -> str | None:
        """Read on; why request `number` is refused, "" where it is taken, None without answer."""
        answer = None
        for record in journal.records(self.state.run, after=self.state.last_seq):
            self.state = advance(self.state, record)
            event = record.event
            if number and isinstance(event, Decision) and event.request == number:
                answer = event.reason if isinstance(event, RequestRefused) else ""
        return answer


def _running(journal: Journal | None, folder: Path, run: str | None, site: str | None) -> RunState:
    """The run that is meant and is under way.

    Raises:
        InputError: no such run; or none is named, and not exactly one is under way.
        RecoveryError: it is not running.
    """
    lines = journal.runs(site=site) if journal else ()
    if journal is None or not lines:
        of = f" of {site}" if site else ""
        raise InputError(
            f"no run{of} yet", hint=f"Begin one: drcli recover --site {site or 'SITE'}"
        )
    if run is not None:
        state = journal.state(chosen_run(lines, run))
        if not is_alive(folder, journal, state):
            raise _not_running(state)
        return state
    last = {line.site: line.run for line in lines if line.site}
    states = [journal.state(run) for run in last.values()]
    alive = [state for state in states if is_alive(folder, journal, state)]
    if len(alive) == 1:
        return alive[0]
    if alive:
        names = ", ".join(f"{state.run} of {state.site}" for state in alive)
        raise InputError(f"{len(alive)} runs are under way: {names}", hint="Name one, or --site.")
    raise _not_running(states[-1])


def _not_running(state: RunState) -> RecoveryError:
    return RecoveryError(
        f"run {state.run} is not running: {state_line(state, alive=False)}",
        hint=f"Next: {next_command(state)}",
    )


def _split(words: tuple[str, ...]) -> tuple[str | None, str]:
    match words:
        case (component,):
            return None, component
        case (run, component):
            return run, component
        case _:
            raise InputError(
                f"{len(words)} words where [RUN] COMPONENT is wanted",
                hint="One component at a time; a reason in quotes.",
            )


def _bounded(text: str) -> str:
    """A person's words as they are kept: one harmless line.

    Raises:
        InputError: nothing is left of a name, or it is too long.
    """
    text = clean(text).strip()
    if len(text) > LONGEST:
        raise InputError(f"longer than {LONGEST} characters: {text[:40]}...", hint="Be brief.")
    return text
