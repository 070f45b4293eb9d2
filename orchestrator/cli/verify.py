"""`drcli verify`: the gates alone."""

from __future__ import annotations

import os
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click

from orchestrator import recovery
from orchestrator.cli.ansible_options import access_options, build_options
from orchestrator.cli.person import signals
from orchestrator.cli.shared_options import json_option, lab_option, selection_options, typed_place
from orchestrator.cli.wiring import wire
from orchestrator.console import Console
from orchestrator.errors import MachineError
from orchestrator.events import Record
from orchestrator.gate import TestinfraGates
from orchestrator.junit import junit_xml
from orchestrator.report import exit_code
from orchestrator.state import RunState, advance


def _writable(_: click.Context, __: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a file that cannot be written before the gates run, which may take minutes."""
    if value is None:
        return None
    if value.exists() and not value.is_file():
        raise click.BadParameter(f"{value} is not a regular file")
    try:
        with TemporaryFile(dir=value.parent):
            pass
    except OSError as error:
        why = error.strerror or error
        raise click.BadParameter(f"cannot write to {value.parent}: {why}") from error
    return value


@click.command()
@selection_options
@access_options
@lab_option
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False, resolve_path=True),
    callback=_writable,
    help="Write JUnit XML.",
)
@json_option
def verify(  # noqa: PLR0913 -- one for each option
    *,
    site: str,
    layers: tuple[str, ...],
    components: tuple[str, ...],
    limit: str,
    lab: str | None,
    junit: Path | None,
    as_json_: bool,
    **given: Any,  # noqa: ANN401 -- those of access_options
) -> int:
    """Run the gates alone: change nothing, take no lock, write no journal. Exit code 1 when red.

    Example: drcli verify --site hosting-a --junit gates.xml
    """
    ansible = build_options(site, **given)
    plan, options = wire(
        site, lab=lab, layers=layers, components=components, limit=limit, ansible=ansible
    )
    state, seen = RunState(), list[Record]()
    with (
        signals(options.run) as inbox,
        Console(as_json=as_json_, place=typed_place()) as console,
    ):
        events = recovery.verify(plan, TestinfraGates(ansible), options=options, inbox=inbox)
        with closing(events):
            for record in events:
                seen.append(record)
                state = advance(state, record)
                console.show(record, state)
        console.finish(state)
    if junit:
        _write(junit, junit_xml(seen))
    return exit_code(state)


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("x", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()
        raise MachineError(f"cannot write {path}: {error.strerror or error}") from error
