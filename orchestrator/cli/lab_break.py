"""`drcli lab break`: gives the lab a named fault, or takes it back."""

from __future__ import annotations

import json

import click
from rich.table import Table

from orchestrator.cli.lab_shared import (
    NAME,
    SITE,
    load_lab,
    print_table,
    progress,
    recovery_hint,
)
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
    for line in done:
        click.echo(f"  {line}")
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
    _show(catalogue, broken)


def _as_json(definition: Definition, fault: LabFault, broken: Broken) -> dict[str, object]:
    return {
        **fault.model_dump(exclude_none=True),
        "has_undo": fault.has_undo,
        "given": broken.given.get(fault.name, ()),
        "site": definition.site,
    }


def _show(catalogue: Catalogue, broken: Broken) -> None:
    table = Table("fault", "component", "hosts", "ends", "what is broken", box=None, pad_edge=False)
    for fault in catalogue.faults:
        given = broken.given.get(fault.name, ())
        on = f"given: {', '.join(given)}" if given else ", ".join(fault.hosts)
        table.add_row(fault.name, fault.component, on, fault.expect, fault.explains)
    print_table(table)
