"""`drcli lab break`: gives the lab a named fault, or takes it back."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator

import click

from orchestrator.cli.lab_shared import NAME, SITE, WIDE, hint, load_lab, progress, recovery_hint
from orchestrator.cli.shared_options import typed_place
from orchestrator.command import command
from orchestrator.lab import power
from orchestrator.lab.breaking import Breaker
from orchestrator.lab.broken import Broken, read_broken
from orchestrator.lab.definition import Definition, load_definition
from orchestrator.lab.faults import Catalogue, LabFault, elsewhere, load_faults
from orchestrator.lab.instance import default_name, find_instance
from orchestrator.lab.lab_lock import lab_lock
from orchestrator.project import find_project


@click.command("break")
@SITE
@NAME
@click.argument("fault", required=False)
@click.option("--host", metavar="HOST", help="Put it on another host of the same component.")
@click.option("--undo", is_flag=True, help="Take the fault back.")
@click.option("--list", "as_list", is_flag=True, help="Explain every fault; break nothing.")
@click.option("--json", "as_json", is_flag=True, help="With --list: print JSON.")
def break_(  # noqa: PLR0913 -- one for each option
    site: str,
    *,
    name: str | None,
    fault: str | None,
    host: str | None,
    undo: bool,
    as_list: bool,
    as_json: bool,
) -> None:
    """Give the lab one named fault: at once where there is power, else when it comes back.

    `drcli lab reset` takes every fault back.

    Example: drcli lab break mirror-leg-missing --site hosting-a
    """
    context = click.get_current_context()
    if as_json and not as_list:
        raise click.UsageError("--json goes with --list.", ctx=context)
    if as_list:
        if fault or host or undo:
            raise click.UsageError("--list goes alone.", ctx=context)
        _list(site, name, as_json=as_json)
        return
    if fault is None:
        raise click.UsageError("Name a fault, or type --list.", ctx=context)
    definition, instance = load_lab(site, name)
    whole = load_definition(definition.project, site)
    catalogue = load_faults(whole)
    chosen = catalogue.find(fault, site=site)
    if host is not None:
        chosen = elsewhere(whole, chosen, host)
    elif undo and (given := read_broken(instance).given.get(fault)):
        chosen = chosen.model_copy(update={"hosts": given})
    with lab_lock(instance.name), progress() as tell:
        power.require_made(definition, instance)
        breaker = Breaker(
            definition=definition, instance=instance, prelude=catalogue.prelude, tell=tell
        )
        done = breaker.take_back(chosen) if undo else breaker.give(chosen)
    click.echo(f"{fault}: taken back" if undo else f"{fault}: {chosen.explains}")
    if not undo:
        click.echo(f"  {chosen.effect}")
    for line in done:
        click.echo(f"  {line}")
    if not undo:
        back = hint(instance, "break", fault, "--undo") if chosen.has_undo else "a recovery"
        click.echo(f"Undo: {back}; every fault: {hint(instance, 'reset')}")
    click.echo(f"Next: {recovery_hint(instance)}")


def _list(site: str, name: str | None, *, as_json: bool) -> None:
    """Show the catalogue, and which of its faults the lab has been given; it need not be up."""
    project = find_project(None)
    definition = load_definition(project, site)
    catalogue = load_faults(definition)
    instance = find_instance(name or default_name(project, site))
    broken = read_broken(instance) if instance else Broken()
    if as_json:
        listed = [_as_json(definition, fault, broken) for fault in catalogue.faults]
        click.echo(json.dumps({"site": site, "faults": listed}))
        return
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDE
    for line in _lines(catalogue, broken, columns):
        click.echo(line)
    named = ("--site", site, *(("--name", name) if name else ()))
    click.echo(f"Undo of every fault: {command('lab', 'reset', *named, place=typed_place())}")


def _as_json(definition: Definition, fault: LabFault, broken: Broken) -> dict[str, object]:
    return {
        **fault.model_dump(exclude_none=True),
        "has_undo": fault.has_undo,
        "given": broken.given.get(fault.name, ()),
        "site": definition.site,
    }


def _lines(catalogue: Catalogue, broken: Broken, columns: int) -> Iterator[str]:
    """A row for each fault, and below it, wrapped, what is broken and what comes of it."""
    rows = [("FAULT", "COMPONENT", "HOSTS", "ENDS", "UNDO")]
    for fault in catalogue.faults:
        given = broken.given.get(fault.name, ())
        on = f"given: {', '.join(given)}" if given else ", ".join(fault.hosts)
        back = "--undo" if fault.has_undo else "a recovery"
        rows.append((fault.name, fault.component, on, fault.expect, back))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    texts = ["", *(f"{fault.explains} {fault.effect}" for fault in catalogue.faults)]
    for row, text in zip(rows, texts, strict=True):
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
        yield from textwrap.wrap(text, columns, initial_indent="  ", subsequent_indent="  ")
