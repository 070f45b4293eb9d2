"""`drcli status`, `runs` and `show`: views of the journal; they take no lock and write nothing."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.shared_options import json_option, state_dir_option, typed_place
from orchestrator.command import Place, command
from orchestrator.console import Console
from orchestrator.errors import InputError
from orchestrator.journal import Journal, RunLine, read_journal
from orchestrator.project import did_you_mean, find_project, site_names
from orchestrator.report import as_json, state_line
from orchestrator.site_lock import lock_holder
from orchestrator.state import RunState
from orchestrator.state_directory import state_directory


@click.command()
@click.option("--site", help="The site; without it, every site of the journal.")
@state_dir_option
@json_option
def status(*, site: str | None, state_dir: Path | None, as_json_: bool) -> None:
    """Say where each component stands after (or in) the last run of a site.

    Example: drcli status --site hosting-a
    """
    folder, place = state_directory(state_dir), typed_place(state_dir)
    console = Console(as_json=as_json_, place=place)
    journal = read_journal(folder)
    lines = _runs(journal, site)
    if not (journal and lines):
        _say_none(console, place, site=site, as_json_=as_json_)
        return
    for run in {line.site: line.run for line in lines}.values():
        state, alive = _look(folder, journal, run)
        if as_json_:
            console.json(as_json(state, alive=alive, place=place))
        else:
            console.status(state, alive=alive)


@click.command()
@click.option("--site", help="Only the runs of this site.")
@state_dir_option
@json_option
def runs(*, site: str | None, state_dir: Path | None, as_json_: bool) -> None:
    """List the runs, the latest last.

    Example: drcli runs --site hosting-a
    """
    folder, place = state_directory(state_dir), typed_place(state_dir)
    console = Console(as_json=as_json_, place=place)
    journal = read_journal(folder)
    lines = _runs(journal, site)
    if not (journal and lines):
        _say_none(console, place, site=site, as_json_=as_json_)
        return
    rows = []
    for line in lines:
        state, alive = _look(folder, journal, line.run)
        if as_json_:
            console.json(as_json(state, alive=alive, place=place))
        began = f"{line.started_at.astimezone():%Y-%m-%d %H:%M:%S}"
        rows.append([line.run, began, state_line(state, alive=alive)])
    if not as_json_:
        console.table(["RUN", "STARTED", "STATE"], rows)
        told = command("show", lines[-1].run, place=place)
        console.line(f"{len(lines)} runs. Next: {told}")


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
    folder, place = state_directory(state_dir), typed_place(state_dir)
    console = Console(as_json=as_json_, place=place)
    journal = read_journal(folder)
    lines = _runs(journal, site)
    chosen = _chosen(lines, run)
    if not (journal and chosen):
        _say_none(console, place, site=site, as_json_=as_json_)
        return
    state, alive = _look(folder, journal, chosen)
    if as_json_:
        console.json(as_json(state, alive=alive, place=place))
    else:
        console.details(state, alive=alive)


def _runs(journal: Journal | None, site: str | None) -> tuple[RunLine, ...]:
    """The runs of a site, or of all.

    Raises:
        InputError: neither the journal nor the project knows the site: it is misspelt.
    """
    lines = journal.runs(site) if journal else ()
    if site is None or lines:
        return lines
    known = {line.site for line in journal.runs()} if journal else set()
    with suppress(InputError):  # views work outside of any project, too
        known.update(site_names(find_project()))
    if site not in known:
        raise InputError(
            f"no site {site!r}{did_you_mean(site, sorted(known))}",
            hint="List those with runs: drcli status; those of this project: drcli validate",
        )
    return lines


def _look(folder: Path, journal: Journal, run: str) -> tuple[RunState, bool]:
    """Where a run stands at this moment, and whether its process lives: it has the site's lock."""
    state = journal.state(run)
    holder = lock_holder(folder, state.site) if state.site and not state.finished else None
    if holder is None or holder.run != run or state.started_at is None:
        return state, False
    so_far = (datetime.now(UTC) - state.started_at).total_seconds()
    return replace(state, elapsed=max(state.elapsed, so_far)), True


def _chosen(lines: tuple[RunLine, ...], wanted: str | None) -> str | None:
    """The run that has `wanted` in its id and is the only one; without it the last, if any.

    Raises:
        InputError: none has, or several have.
    """
    if wanted is None:
        return lines[-1].run if lines else None
    found = [line.run for line in lines if line.run == wanted]
    found = found or [line.run for line in lines if wanted in line.run]
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} runs have {wanted!r} in their id" if found else f"no run {wanted!r}"
    raise InputError(many, hint="List them: drcli runs")


def _say_none(console: Console, place: Place, *, site: str | None, as_json_: bool) -> None:
    if not as_json_:
        of = f" of {site}" if site else ""
        told = command("recover", "--site", site or "SITE", place=place)
        console.line(f"No run{of} yet. Next: {told}")
