"""`drcli status`, `runs` and `show`: views of the journal; they take no lock and write nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.shared_options import json_option, state_dir_option, typed_place
from orchestrator.command import command
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
    view = _View(state_dir, as_json_=as_json_)
    for _, state, alive in view.runs(
        site, lambda lines: {each.site: each for each in lines}.values()
    ):
        view.console.status(state, alive=alive)


@click.command()
@click.option("--site", help="Only the runs of this site.")
@state_dir_option
@json_option
def runs(*, site: str | None, state_dir: Path | None, as_json_: bool) -> None:
    """List the runs, the latest last.

    Example: drcli runs --site hosting-a
    """
    view = _View(state_dir, as_json_=as_json_)
    rows = [
        (
            line.run,
            f"{line.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
            state_line(state, alive=alive),
        )
        for line, state, alive in view.runs(site, lambda lines: lines)
    ]
    if rows:
        view.console.table(["RUN", "STARTED", "STATE"], rows)
        told = command("show", rows[-1][0], place=view.place)
        view.console.line(f"{len(rows)} runs. Next: {told}")


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
    view = _View(state_dir, as_json_=as_json_)
    for _, state, alive in view.runs(site, lambda lines: _chosen(lines, run)):
        view.console.details(state, alive=alive)


class _View:
    """The runs of a state directory, and who looks at them."""

    def __init__(self, state_dir: Path | None, *, as_json_: bool) -> None:
        self.place = typed_place(state_dir)
        self.console = Console(as_json=as_json_, place=self.place)
        self._folder, self._json = state_directory(state_dir), as_json_

    def runs(
        self, site: str | None, pick: Callable[[tuple[RunLine, ...]], Collection[RunLine]]
    ) -> list[tuple[RunLine, RunState, bool]]:
        """Each run that is picked, where it stands, and whether it lives.

        With --json they are told here, as is that there is none: nothing is left to tell.
        """
        journal = read_journal(self._folder)
        picked = pick(_runs(journal, site))
        if not (journal and picked):
            self._say_none(site)
            return []
        looked = []
        for line in picked:
            state, alive = _look(self._folder, journal, line)
            if self._json:
                self.console.json(as_json(state, alive=alive, place=self.place))
            else:
                looked.append((line, state, alive))
        return looked

    def _say_none(self, site: str | None) -> None:
        if not self._json:
            of = f" of {site}" if site else ""
            told = command("recover", "--site", site or "SITE", place=self.place)
            self.console.line(f"No run{of} yet. Next: {told}")


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


def _look(folder: Path, journal: Journal, line: RunLine) -> tuple[RunState, bool]:
    """Where a run stands at this moment, and whether its process lives: it has the site's lock.

    The lock comes first: a run that is in the journal and has it no more has said its last word.
    """
    holder = lock_holder(folder, line.site) if line.site else None
    state = journal.state(line.run)
    alive = holder is not None and holder.run == line.run and not state.finished
    if not alive or state.started_at is None:
        return state, False
    so_far = (datetime.now(UTC) - state.started_at).total_seconds()
    return replace(state, elapsed=max(state.elapsed, so_far)), True


def _chosen(lines: tuple[RunLine, ...], wanted: str | None) -> tuple[RunLine, ...]:
    """The run that has `wanted` in its id and is the only one; without it the last, if any.

    Raises:
        InputError: none has, or several have.
    """
    if wanted is None:
        return lines[-1:]
    found = tuple(line for line in lines if line.run == wanted)
    found = found or tuple(line for line in lines if wanted in line.run)
    if len(found) == 1:
        return found
    many = f"{len(found)} runs have {wanted!r} in their id" if found else f"no run {wanted!r}"
    raise InputError(many, hint="List them: drcli runs")
