"""`drcli verify`: the gates alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from orchestrator import recovery
from orchestrator.cli.ansible_options import access_options, build_options
from orchestrator.cli.person import signals
from orchestrator.cli.runners import runners
from orchestrator.cli.shared_options import json_option, max_parallel_option, selection_options
from orchestrator.cli.wiring import loop, wire
from orchestrator.console import Console
from orchestrator.errors import MachineError
from orchestrator.events import CheckFinished, Selection
from orchestrator.junit import junit_xml
from orchestrator.report import exit_code


@click.command()
@selection_options
@max_parallel_option
@access_options
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML.")
@json_option
def verify(  # noqa: PLR0913 -- one for each option
    *,
    site: str,
    limit: str | None,
    layers: tuple[str, ...],
    components: tuple[str, ...],
    max_parallel: int | None,
    junit: Path | None,
    as_json_: bool,
    **access: Any,  # noqa: ANN401 -- the options of ansible_options.py
) -> int:
    """Run the gates alone: change nothing, take no lock, write no journal. Exit code 1 when red.

    Example: drcli verify --site hosting-a --junit gates.xml
    """
    selection = Selection(limit=limit, layers=layers, components=components)
    with (
        wire(site, build_options(**access), selection, max_parallel=max_parallel) as wired,
        signals(wired.options.run) as inbox,
        Console(as_json=as_json_) as console,
        runners(site, wired.options, state_dir=None, local=wired.gates) as (_, gates),
    ):
        records = recovery.verify(wired.plan, gates, options=wired.options, inbox=inbox)
        checks: list[CheckFinished] | None = [] if junit else None
        state = loop(records, console, inbox, checks=checks)
    if junit:
        try:
            junit.write_text(junit_xml(state, checks or ()), encoding="utf-8")
        except OSError as error:
            raise MachineError(f"cannot write {junit}: {error.strerror or error}") from error
    console.finish(state)
    return exit_code(state)
