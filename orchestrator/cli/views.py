"""`drcli status`, `runs` and `show`: views of the journal; they take no lock and write nothing."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.services import show_services
from orchestrator.cli.shared_options import json_option, state_dir_option
from orchestrator.console import Console
from orchestrator.errors import InputError, JournalError
from orchestrator.forecast_words import elapsed_at, forecast_json, forecast_log, forecast_words
from orchestrator.journal import Journal, RunLine, read_journal
from orchestrator.project import did_you_mean, find_project, site_names
from orchestrator.report import as_json, clean, duration, state_line
from orchestrator.site_lock import lock_holder
from orchestrator.state import RunState
from orchestrator.state_directory import state_directory


@click.command()
@click.option("--site", help="The site; without it, every site of the journal.")
@click.option(
    "--by",
    type=click.Choice(["component", "service", "hospital"]),
    default="component",
    show_default=True,
    help="What people know: services, or hospitals over all sites.",
)
@click.option("--lang", default="en", show_default=True, help="The language of their names.")
@state_dir_option
@json_option
def status(*, site: str | None, by: str, lang: str, state_dir: Path | None, as_json_: bool) -> None:
    """Say where each component stands after (or in) the last run of a site.

    By service or hospital: what is back, what is degraded, what blocks the rest, when it is
    expected. Drills and dry runs say nothing of the site, and are left out there.

    Example: drcli status --site hosting-a --by service
    """
    folder, console = state_directory(state_dir), Console(as_json=as_json_)
    with read_journal(folder) as journal:
        runs = journal.runs(site=site) if journal else ()
        last = {line.site: line.run for line in runs if line.site}
        if not last:
            _say_none(console, journal, site=site, as_json_=as_json_)
        if by != "component":
            states = [found for name in last if journal and (found := real_run(journal, name))]
            show_services(console, states, by=by, language=lang, as_json=as_json_)
            return
        for run in last.values():
            state = journal.state(run) if journal else RunState()
            alive = is_alive(folder, journal, state)
            if as_json_:
                now = datetime.now(UTC)
                told = forecast_json(state, elapsed_at(state, now))
                console.json({**as_json(state, alive=alive, at=now), "forecast": told})
                continue
            if alive and (words := forecast_words(state, elapsed_at(state, datetime.now(UTC)))):
                console.line(f"{state.site}: {words}")
            console.status(state, alive=alive)


@click.command()
@click.option("--site", help="Only the runs of this site.")
@state_dir_option
@json_option
def runs(*, site: str | None, state_dir: Path | None, as_json_: bool) -> None:
    """List the runs, the latest last.

    Example: drcli runs --site hosting-a
    """
    folder, console = state_directory(state_dir), Console(as_json=as_json_)
    with read_journal(folder) as journal:
        lines = journal.runs(site=site) if journal else ()
        if not (journal and lines):
            _say_none(console, journal, site=site, as_json_=as_json_)
            return
        if as_json_:
            for line in lines:
                state = journal.state(line.run)
                console.json(
                    as_json(state, alive=is_alive(folder, journal, state), at=datetime.now(UTC))
                )
            return
        states = [(line, journal.state(line.run)) for line in lines]
        rows = [_row(line, state, alive=is_alive(folder, journal, state)) for line, state in states]
        console.table(["RUN", "STARTED", "STATE"], rows)
        console.line(f"{len(lines)} runs. Next: drcli show {lines[-1].run}")


@click.command()
@click.argument("run", required=False)
@click.option("--site", help="Without RUN: the last run of this site.")
@state_dir_option
@json_option
def show(*, run: str | None, site: str | None, state_dir: Path | None, as_json_: bool) -> None:
    """Show one run, the last one by default: its time line, and each failure with its evidence.

    RUN is a run's id or a part of it that only one run has.

    Example: drcli show 20260102-120000-1f3a
    """
    folder, console = state_directory(state_dir), Console(as_json=as_json_)
    with read_journal(folder) as journal:
        lines = journal.runs(site=site) if journal else ()
        if not lines and run is None:
            _say_none(console, journal, site=site, as_json_=as_json_)
            return
        chosen = chosen_run(lines, run)
        state = journal.state(chosen) if journal else RunState()
        alive = is_alive(folder, journal, state)
        if as_json_:
            head = journal.head(chosen)[1] if journal else ""
            console.json({**as_json(state, alive=alive, at=datetime.now(UTC)), "head": head})
        else:
            console.line(_heading(state))
            if journal:
                console.line(head_line(journal, chosen))
            for line in forecast_log(state):
                console.line(line)
            console.details(state, alive=alive)


def real_run(journal: Journal, site: str) -> RunState | None:
    """The last run of a site that was to change it, and was no drill on a lab."""
    for line in reversed(journal.runs(site=site)):
        state = journal.state(line.run)
        started = state.started
        if started and not state.dry_run and not (started.drill and started.drill.on_lab):
            return state
    return None


def head_line(journal: Journal, run: str) -> str:
    """What a person keeps elsewhere, to see later that nothing of the run was changed."""
    try:
        records, head = journal.head(run)
    except JournalError as error:  # the run is over, whatever happens to its journal now
        return error.message
    return f"journal: {records} records, head {head or 'not chained yet'}"


def is_alive(folder: Path, journal: Journal | None, state: RunState) -> bool:
    """The run's process holds the site's lock; on another machine it may be dead, unknown here."""
    if journal is None or not state.site or state.finished:
        return False
    holders = (lock_holder(folder, state.site), journal.holder(state.site))
    return any(holder is not None and holder.run == state.run for holder in holders)


def chosen_run(lines: tuple[RunLine, ...], wanted: str | None) -> str:
    """The run that has `wanted` in its id and is the only one; the last one without it.

    Raises:
        InputError: none has, or several have.
    """
    if wanted is None:
        return lines[-1].run
    found = [line.run for line in lines if line.run == wanted]
    found = found or [line.run for line in lines if wanted in line.run]
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} runs have {wanted!r} in their id" if found else f"no run {wanted!r}"
    raise InputError(many, hint="List them: drcli runs")


def _heading(state: RunState) -> str:
    started = state.started
    if started is None or state.started_at is None:
        return f"run {state.run}: its first record cannot be read by this version"
    kind = " (dry run)" if started.dry_run else ""
    kind += f" ({drill_words(state)})" if started.drill else ""
    when = f"{state.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
    who = f" by {started.by} on {started.controller}" if started.by else ""
    times = ", ".join(f"after {duration(away)}" for away in state.resumed)
    resumed = f"; went on {times}" if times else ""
    return f"run {state.run} of {started.site}{kind}, begun {when}{who}{resumed}"


def _row(line: RunLine, state: RunState, *, alive: bool) -> list[str]:
    began = f"{line.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
    drill = f"{drill_words(state)}: " if state.started and state.started.drill else ""
    return [line.run, began, drill + state_line(state, alive=alive)]


def drill_words(state: RunState) -> str:
    """`lab drill feed-b-lost, as expected`: what makes a run a drill, and what it came to."""
    drill = state.started.drill if state.started else None
    if drill is None:
        return ""
    words = clean(f"{drill.kind.value} drill {drill.scenario}".strip())
    if state.score is None:
        return f"{words}, not scored"
    return (
        f"{words}, FAILED: {', '.join(state.score.broke)}"
        if state.score.broke
        else f"{words}, passed"
    )


def _say_none(
    console: Console, journal: Journal | None, *, site: str | None, as_json_: bool
) -> None:
    """There is no run; a site that is nowhere else either is a misspelt one.

    Raises:
        InputError: neither the journal nor the project knows the site.
    """
    if site is not None:
        _require_known(site, journal)
    if not as_json_:
        of = f" of {site}" if site else ""
        console.line(f"No run{of} yet. Next: drcli recover --site {site or 'SITE'}")


def _require_known(site: str, journal: Journal | None) -> None:
    known = {line.site for line in journal.runs()} if journal else set()
    with suppress(InputError):  # views work outside of any project, too
        known.update(site_names(find_project(None)))
    if site not in known:
        raise InputError(
            f"no site {site!r}{did_you_mean(site, sorted(filter(None, known)))}",
            hint="List those with runs: drcli status; those of this project: drcli validate",
        )
