"""`drcli validate`, `plan` and `schema`: what can be known before anything is touched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from orchestrator.cli.ansible_options import vault_options, vault_passwords
from orchestrator.cli.shared_options import from_option, json_option, selection_options, typed_place
from orchestrator.cli.wiring import load
from orchestrator.command import command, narrowed
from orchestrator.console import Console
from orchestrator.errors import InputError, join_errors, noting
from orchestrator.plan import Component, Plan, make_plan
from orchestrator.project import find_project, site_names
from orchestrator.report import duration
from orchestrator.site import Site, site_schema


@click.command()
@click.option("--site", help="The site, a folder of inventories/; without it, every site.")
@vault_options
def validate(
    *, site: str | None, vault_id: tuple[str, ...], vault_password_file: Path | None
) -> None:
    """Check sites: site file, inventory, playbooks and gates. Tells every mistake, with its place.

    Example: drcli validate --site hosting-a
    """
    project = find_project()
    names = (site,) if site is not None else site_names(project)
    if not names:
        raise InputError(
            f"no site in {project / 'inventories'}", hint="Make inventories/SITE/site.yml."
        )
    vault = vault_passwords(project, vault_id, vault_password_file)
    console, errors = Console(), list[InputError]()
    for name in names:
        told = "WRONG"
        with noting(errors):
            plan = make_plan(project, *load(project, name, vault=vault))
            _warn(console, plan)
            told = f"ok: {_size(plan)}"
        console.line(f"inventories/{name}/site.yml: {told}")
    if errors:
        raise join_errors(errors)
    told = command("plan", "--site", names[0], place=typed_place())
    console.line(f"{len(names)} of {len(names)} sites are ok. Next: {told}")


@click.command()
@selection_options
@from_option
@vault_options
@json_option
def plan(  # noqa: PLR0913 -- one for each option
    *,
    site: str,
    layers: tuple[str, ...],
    components: tuple[str, ...],
    limit: str,
    start: str,
    vault_id: tuple[str, ...],
    vault_password_file: Path | None,
    as_json_: bool,
) -> None:
    """Show what a recovery would do, in which order; touch no host.

    Components with the same step number are recovered side by side.

    Example: drcli plan --site hosting-a --layer storage
    """
    project = find_project()
    vault = vault_passwords(project, vault_id, vault_password_file)
    made = make_plan(
        project,
        *load(project, site, vault=vault),
        layers=layers,
        components=components,
        limit=limit,
        start=start,
    )
    console = Console(as_json=as_json_)
    _warn(console, made)
    if as_json_:
        console.json(_as_json(made, project))
        return
    console.line(_heading(made.site), style="bold")
    for line, style in _lines(made, project):
        console.line(line, style=style)
    console.line(f"Plan hash: {made.hash}", style="dim")
    part = narrowed(site, layers=layers, components=components, limit=limit, start=start)
    console.line(f"Ready: {_size(made)}. Next: {command('recover', *part, place=typed_place())}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of site.yml: what an editor needs to complete and check one.

    Example: drcli schema > site.schema.json
    """
    click.echo(json.dumps(site_schema(), indent=2))


def _warn(console: Console, made: Plan) -> None:
    for warning in made.warnings:
        console.note(f"warning: {warning}")


def _heading(site: Site) -> str:
    how = (
        "layer by layer" if site.order == "layers" else "each as soon as what it needs is verified"
    )
    at_most = f", at most {site.max_parallel} at once" if site.max_parallel else ""
    within = f", within {duration(site.rto.total_seconds())}" if site.rto else ""
    return f"{site.site}: {how}{at_most}{within}"


def _lines(made: Plan, project: Path) -> Iterator[tuple[str, str]]:
    """The plan as lines and their styles: layers in order, each component with its step."""
    step = {name: number for number, names in enumerate(made.stages, 1) for name in names}
    width = max(len(component.name) for component in made.components)
    for layer in made.site.layers:
        chosen = [component for component in made.components if component.layer == layer.name]
        if chosen:
            within = f" (within {duration(layer.rto.total_seconds())})" if layer.rto else ""
            yield f"{layer.name}{within}", "bold"
        for component in chosen:
            yield f"{step[component.name]:>3}  {component.name:{width}}  {_who(component)}", ""
            yield f"     {_what(component, project)}", "dim"
    steps = "; ".join(f"{number} {', '.join(names)}" for number, names in enumerate(made.stages, 1))
    yield f"Steps, side by side where there are several: {steps}", ""


def _who(component: Component) -> str:
    needs = f"  needs {', '.join(component.needs)}" if component.needs else ""
    asks = f"  asks first: {component.approval}" if component.approval else ""
    only = "  its gate alone" if component.gate_only else ""
    return f"{','.join(component.hosts)}{needs}{asks}{only}"


def _what(component: Component, project: Path) -> str:
    playbook = component.playbook.relative_to(project).as_posix()
    beside = component.gate.parent == component.playbook.parent
    gate = component.gate.name if beside else component.gate.relative_to(project).as_posix()
    return f"{playbook}, {gate}: {component.minimum_checks}+ checks a host"


def _size(made: Plan) -> str:
    hosts = {host for component in made.components for host in component.hosts}
    return f"{len(made.components)} components on {len(hosts)} hosts"


def _as_json(made: Plan, project: Path) -> dict[str, object]:
    return {
        "site": made.site.site,
        "order": made.site.order,
        "hash": made.hash,
        "components": [
            {
                "name": component.name,
                "layer": component.layer,
                "hosts": component.hosts,
                "playbook": component.playbook.relative_to(project).as_posix(),
                "gate": component.gate.relative_to(project).as_posix(),
                "minimum_checks": component.minimum_checks,
                "needs": component.needs,
                "stands_on": component.stands_on,
                "settle": component.settle,
                "timeout": component.timeout,
                "approval": component.approval,
                "gate_only": component.gate_only,
            }
            for component in made.components
        ],
        "steps": made.stages,
        "critical_path": made.critical_path,
        "warnings": made.warnings,
    }
