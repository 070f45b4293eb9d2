"""`drcli report` and `compare`: a run on paper, and two runs side by side; nothing is changed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.chain import check
from orchestrator.cli.shared_options import json_option, state_dir_option
from orchestrator.cli.views import chosen_run, is_alive
from orchestrator.comparison import Difference, Side, comparison_json
from orchestrator.comparison import compare as compared
from orchestrator.console import Console
from orchestrator.errors import InputError, MachineError
from orchestrator.events import Record
from orchestrator.journal import read_journal
from orchestrator.junit import junit_xml
from orchestrator.page import draw
from orchestrator.project import find_project
from orchestrator.report import duration
from orchestrator.run_report import RunReport, last_checks, report_json, run_report
from orchestrator.state import RunState
from orchestrator.state_directory import state_directory
from orchestrator.versions import versions


@click.command()
@click.argument("run", required=False)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["html", "md", "json", "junit", "pdf"]),
    default="html",
    show_default=True,
    help="One HTML file, Markdown, JSON, JUnit XML of the gates, or PDF (the extra pdf).",
)
@click.option("--evidence", is_flag=True, help="Pack all of a site for an auditor: --site, --out.")
@click.option("--site", help="The site of --evidence; without RUN: the last run of this site.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Not to stdout.")
@state_dir_option
def report(  # noqa: PLR0913 -- one for each option
    *,
    run: str | None,
    shape: str,
    evidence: bool,
    site: str | None,
    out: Path | None,
    state_dir: Path | None,
) -> None:
    """Write the report of one run, the last one by default: for people, auditors and programs.

    The HTML is one file that asks nobody for anything: it may be mailed, kept, and printed. With
    --evidence: the plan, drills, proofs, reports and records of a site, each with its hash.

    Example: drcli report 20260102-120000-1f3a --out report.html
    """
    folder, console = state_directory(state_dir), Console()
    if evidence:
        if site is None or out is None:
            raise click.UsageError(
                "--evidence: name --site, and the archive with --out FILE.tar.gz"
            )
        from orchestrator.cli.evidence import pack  # noqa: PLC0415 -- of this option alone

        number = pack(find_project(None), site, folder, out)
        console.line(f"{out}: {number} runs of {site}. Next: sha256sum --check SHA256SUMS, in it")
        return
    if shape == "pdf":
        if out is None:
            raise click.UsageError("A PDF is no text for a terminal: name its file with --out.")
        from orchestrator.pdf import pdf_of  # noqa: PLC0415 -- of this option alone

        made, page = report_of(folder, run, shape="html", site=site)
        write_file(out, pdf_of(page))
        console.line(f"{out}: {made.sentence}. Next: {made.next}")
        return
    made, text = report_of(folder, run, shape=shape, site=site)
    write_page(console, text, out)
    if out is not None:
        console.line(f"{out}: {made.sentence}. Next: {made.next}")


@click.command()
@click.argument("before")
@click.argument("after")
@state_dir_option
@json_option
def compare(*, before: str, after: str, state_dir: Path | None, as_json_: bool) -> None:
    """Show what differed between two runs, component by component, the largest change first.

    Example: drcli compare 20260102-120000-1f3a 20260202-120000-77c0
    """
    with read_journal(state_directory(state_dir)) as kept:
        lines = kept.runs() if kept else ()
        names = [chosen_run(lines, name) for name in (before, after)]
        first, second = (kept.state(name) if kept else RunState() for name in names)
    console = Console(as_json=as_json_)
    if as_json_:
        console.json(comparison_json(first, second))
        return
    for state in (first, second):
        console.line(f"{state.run} of {state.site}: {_came_to(state)}")
    if first.site != second.site:
        console.line("Two sites: only components of the same name are compared.", style="yellow")
    elif first.plan_hash != second.plan_hash:
        console.line("Files of the plan changed between them.", style="yellow")
    found = compared(first, second)
    console.table(["COMPONENT", "BEFORE", "AFTER", "CHANGE", "MOST OF IT"], [*map(_row, found)])
    changed = sum(_outcome(d.before) != _outcome(d.after) for d in found)
    console.line(
        f"{_change(second.elapsed - first.elapsed)} in all; {changed} components came to another "
        f"end. Next: drcli report {second.run}"
    )


def report_of(
    folder: Path, run: str | None, *, shape: str = "html", site: str | None = None
) -> tuple[RunReport, str]:
    """The report of a run of the journal in `folder`, the last one by default, and its text.

    Raises:
        InputError: there is no such run.
    """
    with read_journal(folder, chained=True) as kept:
        lines = kept.runs(site=site) if kept else ()
        if kept is None or not lines:
            raise InputError("no run yet", hint="drcli recover --site SITE begins one")
        name = chosen_run(lines, run)
        records, state = kept.records(name), kept.state(name)
        made = run_report(
            records,
            state,
            chain=check(name, kept.rows(name)),
            alive=is_alive(folder, kept, state),
            environment=versions(),
            at=datetime.now(UTC),
        )
    return made, _drawn(made, records, state, shape=shape)


def write_page(console: Console, text: str, out: Path | None) -> None:
    """Write a page to a file that is its owner's alone, or to stdout.

    Raises:
        MachineError: the file cannot be written.
    """
    if out is None:
        console.raw(text.rstrip("\n"))
        return
    write_file(out, text.encode("utf-8"))


def write_file(out: Path, content: bytes) -> None:
    """Write a file that is its owner's alone.

    Raises:
        MachineError: it cannot be written.
    """
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError as error:
        raise MachineError(f"cannot write {out}: {error.strerror or error}") from error


def _drawn(made: RunReport, records: tuple[Record, ...], state: RunState, *, shape: str) -> str:
    match shape:
        case "json":
            return json.dumps(report_json(made)) + "\n"
        case "junit":
            return junit_xml(state, last_checks(records))
        case "md":
            return draw("report", "md", report=made)
        case _:
            return draw("report", "html", report=made)


def _came_to(state: RunState) -> str:
    outcome = state.outcome.value if state.outcome else "no end"
    return f"{outcome} after {duration(state.elapsed)}"


def _row(difference: Difference) -> list[str]:
    part, seconds = difference.largest_part
    return [
        difference.component,
        _outcome(difference.before),
        _outcome(difference.after),
        _change(difference.seconds),
        f"{part} {_change(seconds)}" if seconds else "",
    ]


def _outcome(side: Side | None) -> str:
    if side is None:
        return "not in it"
    tries = f", {side.attempts} attempts" if side.attempts > 1 else ""
    red = f", turned red {side.turned_red} times" if side.turned_red else ""
    return f"{side.state}{tries}{red}, {duration(side.whole)}"


def _change(seconds: float) -> str:
    return f"{'-' if seconds < 0 else '+'}{duration(abs(seconds))}"
