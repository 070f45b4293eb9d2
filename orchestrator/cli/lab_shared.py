"""What the lab's commands share: options, which lab is meant, progress and tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from orchestrator.cli.shared_options import typed_place
from orchestrator.command import command, narrowed
from orchestrator.lab.definition import Definition, load_definition
from orchestrator.lab.instance import Instance, require_instance
from orchestrator.lab.machine import check_root
from orchestrator.lab.part import up_to
from orchestrator.lab.progress import Step, Tell
from orchestrator.project import find_project

SIGN_OF_LIFE = 5.0  # seconds between two lines of a log
WIDE = 300  # columns: wider than any row
SITE = click.option("--site", required=True, metavar="SITE", help="The site the lab is a copy of.")
NAME = click.option(
    "--name",
    envvar="DRCLI_LAB",
    metavar="NAME",
    help="Which lab. [default: DRCLI_LAB, or the one of this site and checkout]",
)
HOSTS = click.option("--hosts", metavar="PATTERN", help="Globs of host names, comma-separated.")


def load_lab(site: str, name: str | None) -> tuple[Definition, Instance]:
    """What the lab is made of, and the instance that is up; root is needed for both."""
    check_root()
    project = find_project(None)
    definition, instance = load_definition(project, site), require_instance(project, site, name)
    return up_to(definition, instance.layer), instance


def hint(instance: Instance, verb: str, *words: str) -> str:
    """A command of `drcli lab` on this lab and no other."""
    return command(
        "lab", verb, *words, "--site", instance.site, "--name", instance.name, place=typed_place()
    )


def recovery_hint(instance: Instance) -> str:
    """The command that recovers what there is of the site in this lab, never the site itself."""
    layers = [instance.layer] if instance.layer else []
    part = narrowed(instance.site, layers=layers, lab=instance.name)
    return command("recover", *part, place=typed_place())


def print_table(table: Table) -> None:
    """As wide as the terminal; one line a row where there is none: for grep and for a log."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(table)


@contextmanager
def progress() -> Iterator[Tell]:
    """Bars on stderr where it is a terminal, plain lines where it is not."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield plain_lines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(),
               TextColumn("{task.fields[note]}"))  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def tell(step: Step) -> None:
            if not step.total:
                if step.note:
                    console.print(step.note)
                return
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.stage, total=step.total, note="")
            bars.update(tasks[step.stage], completed=step.done, total=step.total, note=step.note)

        yield tell


def plain_lines(console: Console) -> Callable[[Step], None]:
    """Lines for a log: where a stage begins and ends, remarks, and a sign of life between them."""
    last = ("", 0.0)

    def tell(step: Step) -> None:
        nonlocal last
        now = time.monotonic()
        edge = step.done in (0, step.total)
        if not edge and now - last[1] < SIGN_OF_LIFE:
            return
        counted = f" {step.done}/{step.total}" if step.total else ""
        line = f"{step.stage}{counted} {step.note}".rstrip()
        if line != last[0] and (step.total or step.note):
            last = (line, now)
            console.print(line, highlight=False, soft_wrap=True)

    return tell
