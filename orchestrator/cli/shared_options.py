"""Options that several commands have."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from click.core import ParameterSource

from orchestrator.command import Place
from orchestrator.state_directory import VARIABLE, state_directory

LAB_VARIABLE = "DRCLI_LAB"
_EMPTY = "it is empty"
Command = TypeVar("Command", bound=Callable[..., object])


class _Folder(click.Path):
    """A folder; an empty word would mean the current one."""

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        """Give the path, unless there is none."""
        if value == "":
            self.fail(_EMPTY, param, ctx)
        return super().convert(value, param, ctx)


def _not_empty(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Refuse `--limit "$HOSTS"` of an unset HOSTS: it would mean every host."""
    typed = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
    if value == "" and typed:
        raise click.BadParameter(_EMPTY)
    return value


def state_dir_option(command: Command) -> Command:
    """Add --state-dir, which every command that reads or writes the journal has."""
    return click.option(
        "--state-dir",
        type=_Folder(path_type=Path, file_okay=False),
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
        callback=_not_empty,
        help=f"The lab whose hosts are meant. [default: {LAB_VARIABLE}, or the checkout's own "
        "where the inventory has no addresses]",
    )(command)


def selection_options(command: Command) -> Command:
    """Add what names a site and a part of it, the same for plan, recover and verify."""
    for option in reversed(
        (
            click.option("--site", required=True, help="The site, a folder of inventories/."),
            click.option("--layer", "layers", multiple=True, help="Only this layer; repeatable."),
            click.option("--component", "components", multiple=True, help="Only this; repeatable."),
            click.option("--limit", metavar="PATTERN", default="", callback=_not_empty, help=(
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
        callback=_not_empty,
        help="Begin there: of what comes before it only the gates are run.",
    )(command)
