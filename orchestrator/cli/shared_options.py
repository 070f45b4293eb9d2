"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from orchestrator.command import Place
from orchestrator.state_directory import VARIABLE, state_directory

LAB_VARIABLE = "DRCLI_LAB"
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


def typed_place(state_dir: Path | None = None) -> Place:
    """Where a person said that project and journal are: what they type next must say it, too."""
    project = click.get_current_context().find_root().params.get("project")
    return Place(
        project=str(Path(project).absolute()) if project else "",
        state_dir=str(state_directory(state_dir)) if state_dir else "",
    )


def lab_option(command: Command) -> Command:
    """Add --lab, which every command that reads a site's hosts has."""
    return click.option(
        "--lab",
        metavar="NAME",
        envvar=LAB_VARIABLE,
        help=f"The lab whose hosts are meant. [default: {LAB_VARIABLE}, or the checkout's own]",
    )(command)


def selection_options(command: Command) -> Command:
    """Add what names a site and a part of it, the same for plan, recover and verify."""
    for option in reversed(
        (
            click.option("--site", required=True, help="The site, a folder of inventories/."),
            click.option("--layer", "layers", multiple=True, help="Only this layer; repeatable."),
            click.option("--component", "components", multiple=True, help="Only this; repeatable."),
            click.option("--limit", metavar="PATTERN", default="", help=(
                "Only these hosts: a pattern as for ansible --limit."
            )),
        )
    ):  # fmt: skip
        command = option(command)
    return command


def from_option(command: Command) -> Command:
    """Add --from, the same for plan and recover."""
    return click.option(
        "--from",
        "start",
        metavar="COMPONENT",
        default="",
        help="Begin there: of what comes before it only the gates are run.",
    )(command)
