"""`drcli journal`: checks that records are what was written, exports them, brings them over."""

from __future__ import annotations

import os
from pathlib import Path

import click

from orchestrator.chain import Checked, check_file, exported
from orchestrator.cli.shared_options import state_dir_option
from orchestrator.cli.views import chosen_run
from orchestrator.console import Console
from orchestrator.errors import InputError, JournalError, MachineError
from orchestrator.journal import Journal, open_journal, read_journal
from orchestrator.journal_file import read_file
from orchestrator.journal_server import VARIABLE, named_server
from orchestrator.state_directory import state_directory

_LIMITS = (
    "A record that was changed, taken out or moved is found; an end that was cut off, a whole run"
    " that is gone, or a run written anew, only with a head that was kept: --head"
)


@click.group()
def journal() -> None:
    """Check, export and bring together what runs have recorded."""


@journal.command()
@click.argument("run", required=False)
@click.option(
    "--file",
    "path",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Check an exported run instead, without any journal.",
)
@click.option("--head", help="The hash that a person kept of this run: it must still be in it.")
@state_dir_option
def verify(*, run: str | None, path: Path | None, head: str | None, state_dir: Path | None) -> None:
    """Check that records are what drcli has written; of every run, or of RUN. Exit code 1 if not.

    Example: drcli journal verify 20260102-120000-1f3a --head 3f2a...
    """
    if head is not None and run is None and path is None:
        raise InputError("--head is of one run", hint="drcli journal verify RUN --head HASH")
    if path is not None and run is not None:
        raise InputError("either RUN or --file", hint="drcli journal verify --file FILE")
    console = Console()
    found = (check_file(path),) if path else _checked(state_directory(state_dir), run)
    for one in found:
        console.line(_line(one))
    bad = [f"run {one.run}: {fault}" for one in found if (fault := _fault(one, head))]
    if bad:
        raise JournalError(
            f"not what drcli has written: {'; '.join(bad)}",
            hint="Keep the journal as it is, and look for an export or a backup from before.",
        )
    console.line(f"{len(found)} runs verified. {_LIMITS}.")


@journal.command()
@click.argument("run")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Not to stdout.")
@state_dir_option
def export(*, run: str, out: Path | None, state_dir: Path | None) -> None:
    """Write a run's records as JSON lines that can be checked without this journal.

    Example: drcli journal export 20260102-120000-1f3a --out run.jsonl
    """
    console = Console()
    with read_journal(state_directory(state_dir), chained=True) as kept:
        name = chosen_run(kept.runs() if kept else (), run)
        assert kept is not None  # noqa: S101 -- it has that run
        checked = kept.check(name)
        lines = exported(checked, kept.rows(name))
        if out is None:
            for line in lines:
                console.raw(line)
            return
        try:
            descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.writelines(f"{line}\n" for line in lines)
        except OSError as error:
            raise MachineError(f"cannot write {out}: {error.strerror or error}") from error
    if checked.fault:
        console.note(f"warning: run {name} is not what drcli has written: {checked.fault}")
    console.line(f"{out}: {_line(checked)}. Next: drcli journal verify --file {out}")


@journal.command()
@state_dir_option
def merge(*, state_dir: Path | None) -> None:
    """Bring the runs of this controller's own journal over into the shared one of DRCLI_JOURNAL.

    For runs that were made while the shared journal was out of reach. What is there already is
    left as it is, and the file keeps all it has: it may be done again.

    Example: DRCLI_JOURNAL=postgresql+psycopg://drcli@db/drcli drcli journal merge
    """
    if named_server() is None:
        raise InputError(
            "no shared journal to bring runs over to",
            hint=f"Name it: {VARIABLE}=postgresql+psycopg://USER@HOST/DATABASE",
        )
    folder, console = state_directory(state_dir), Console()
    with read_file(folder, chained=True) as store, open_journal(folder) as shared:
        own = Journal(store) if store else None
        runs = own.all_runs() if own else ()
        for run in runs:
            assert own is not None  # noqa: S101 -- it has runs
            if fault := own.check(run).fault:
                raise JournalError(
                    f"run {run} is not what drcli has written: {fault}",
                    hint="It is not brought over; see it with: drcli journal verify",
                )
            new = shared.bring_over(run, own.rows(run))
            console.line(f"{run}: {new} records brought over")
    console.line(f"{len(runs)} runs are in the shared journal. Next: drcli runs")


def _checked(folder: Path, run: str | None) -> tuple[Checked, ...]:
    with read_journal(folder, chained=True) as kept:
        if kept is None:
            raise InputError("no journal yet", hint="drcli recover --site SITE begins one")
        lines = kept.runs()
        runs = [chosen_run(lines, run)] if run else kept.all_runs()
        return tuple(kept.check(one) for one in runs)


def _fault(one: Checked, head: str | None) -> str:
    if one.fault or head is None or head in one.hashes:
        return one.fault
    return (
        f"none of its {one.records} records has the hash {head[:12]}...: its end was cut off, "
        "or it was written anew"
    )


def _line(one: Checked) -> str:
    late = f", {one.late} of them chained only when an older journal was brought up" * bool(
        one.late
    )
    broken = f"  BROKEN: {one.fault}" if one.fault else ""
    return f"{one.run}  {one.records} records{late}  head {one.head}{broken}"
