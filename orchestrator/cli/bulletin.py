"""`drcli bulletin` and `handover`: what is told to people who do not type commands."""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click
from pydantic import ValidationError

from orchestrator.bulletin import LANGUAGES, Audience, Issued, issued, words_of
from orchestrator.bulletin import bulletin as text_of
from orchestrator.cli.report import write_page
from orchestrator.cli.shared_options import state_dir_option
from orchestrator.cli.views import chosen_run, is_alive
from orchestrator.console import Console
from orchestrator.errors import InputError, MachineError
from orchestrator.forecast_words import elapsed_at
from orchestrator.handover import handover as handover_of
from orchestrator.journal import Journal, read_journal
from orchestrator.state import RunState
from orchestrator.state_directory import make_private, state_directory, write_private


@click.command()
@click.argument("run", required=False)
@click.option(
    "--for",
    "audience",
    type=click.Choice(["public", "crisis"]),
    default="public",
    show_default=True,
    help="The crisis cell is told what waits for a person, too.",
)
@click.option(
    "--lang",
    "languages",
    multiple=True,
    type=click.Choice(LANGUAGES),
    help="The language; repeatable: one bulletin in several.  [default: en]",
)
@click.option("--zone", help="The time zone of its times.  [default: this machine's]")
@click.option("--draft", is_flag=True, help="Show it; it is not counted as given out.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Not to stdout.")
@state_dir_option
def bulletin(  # noqa: PLR0913 -- one for each option
    *,
    run: str | None,
    audience: Audience,
    languages: tuple[str, ...],
    zone: str | None,
    draft: bool,
    out: Path | None,
    state_dir: Path | None,
) -> None:
    """Write a bulletin: which services are back, degraded or down, for whom, and when they will be.

    Each is kept in the state directory, so that the next one says what has changed since. All in it
    stands in the journal: no cause is named, and no time that nobody forecast.

    Example: drcli bulletin --for public --lang fr
    """
    folder, at = state_directory(state_dir), datetime.now(UTC)
    where = _zone(zone)
    with read_journal(folder) as journal:
        state, alive = _chosen(journal, folder, run)
    kept = folder / "bulletins" / state.run
    before = _issued(kept)
    now = issued(state, number=before.number + 1 if before else 1, at=at)
    texts = [
        text_of(state, now, before, words=words_of(language, where), audience=audience, alive=alive)
        for language in languages or LANGUAGES[:1]
    ]
    if not draft:
        make_private(kept.parent)
        make_private(kept)
        try:
            write_private(kept / f"{now.number:04}.json", now.model_dump_json())
        except OSError as error:
            raise MachineError(f"cannot write {kept}: {error.strerror or error}") from error
    write_page(Console(), "\n".join(texts), out)


@click.command()
@click.argument("run", required=False)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Not to stdout.")
@state_dir_option
def handover(*, run: str | None, out: Path | None, state_dir: Path | None) -> None:
    """Write what whoever takes over must know: what waits, what is open, what was decided.

    Example: drcli handover --out handover.md
    """
    folder, at = state_directory(state_dir), datetime.now(UTC)
    with read_journal(folder) as journal:
        state, alive = _chosen(journal, folder, run)
        records = journal.records(state.run) if journal else ()
    now = elapsed_at(state, at) if not state.finished else state.elapsed
    write_page(Console(), handover_of(state, records, alive=alive, now=now, at=at), out)


def _chosen(journal: Journal | None, folder: Path, run: str | None) -> tuple[RunState, bool]:
    lines = journal.runs() if journal else ()
    if journal is None or not lines:
        raise InputError("no run yet", hint="drcli recover --site SITE begins one")
    state = journal.state(chosen_run(lines, run))
    return state, is_alive(folder, journal, state)


def _issued(kept: Path) -> Issued | None:
    """The last bulletin of the run; one that cannot be read is passed over."""
    for path in sorted(kept.glob("*.json"), reverse=True):
        try:
            return Issued.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            continue
    return None


def _zone(name: str | None) -> tzinfo:
    if name is None:
        found = datetime.now().astimezone().tzinfo
        return found or UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(f"--zone {name!r}: no such time zone") from None
