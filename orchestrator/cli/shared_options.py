"""Options that several commands have; of the journal this imports nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from orchestrator.plan import DEFAULT_PARALLEL
from orchestrator.state_directory import VARIABLE

Command = TypeVar("Command", bound=Callable[..., object])


def state_dir_option(command: Command) -> Command:
    """Add --state-dir, which every command that reads or writes the journal has."""
    return click.option(
        "--state-dir",
        type=click.Path(path_type=Path, file_okay=False),
        help=f"Where drcli keeps its journal. [default: {VARIABLE}, or the user's state directory]",
    )(command)


def json_option(command: Command) -> Command:
    """Add --json."""
    return click.option("--json", "as_json_", is_flag=True, help="Print JSON.")(command)


def selection_options(command: Command) -> Command:
    """Add what names a site and a part of it, the same for plan, recover and verify."""
    for option in reversed(
        (
            click.option("--site", required=True, help="The site, a folder of inventories/."),
            click.option("--limit", help="Only hosts of this Ansible pattern."),
            click.option("--layer", "layers", multiple=True, help="Only this layer; repeatable."),
            click.option("--component", "components", multiple=True, help="Only this; repeatable."),
        )
    ):
        command = option(command)
    return command


def max_parallel_option(command: Command) -> Command:
    """Add --max-parallel."""
    return click.option(
        "--max-parallel",
        type=click.IntRange(1, 64),
        help=f"Components at once. [default: max_parallel of the site, or {DEFAULT_PARALLEL}]",
    )(command)
