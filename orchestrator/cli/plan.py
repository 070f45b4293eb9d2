"""`drcli validate`, `plan` and `schema`: what can be known before anything is touched."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from orchestrator import order
from orchestrator.cli.ansible_options import trust_option
from orchestrator.cli.shared_options import json_option, selection_options, state_dir_option
from orchestrator.console import Console
from orchestrator.durations import Expected, expected_of
from orchestrator.errors import InputError, JournalError, join_errors, noting
from orchestrator.inventory import Inventory, load_inventory
from orchestrator.journal import read_journal
from orchestrator.plan import DEFAULT_PARALLEL, Component, Plan, direct_graph, make_plan
from orchestrator.project import find_project, project_settings, site_folder, site_names
from orchestrator.reach import Reach, reach_of
from orchestrator.report import duration
from orchestrator.runbook import runbook
from orchestrator.schedule import Outlook, outlook
from orchestrator.site import Site, load_site, site_schema
from orchestrator.state_directory import state_directory


@click.command()
@click.option("--site", help="The site, a folder of inventories/; without it, every site.")
@trust_option
def validate(*, site: str | None, trust_inventory: bool) -> None:
    """Check sites: site file, inventory, playbooks and gates. Tells every mistake, with its place.

    Example: drcli validate --site hosting-a
    """
    project = find_project(None)
    names = (site,) if site is not None else site_names(project)
    if not names:
        raise InputError(
            f"no site in {project / 'inventories'}", hint="Make inventories/SITE/site.yml."
        )
    console, errors = Console(), list[InputError]()
    for name in names:
        plan = _checked(project, name, errors, trusted=trust_inventory)
        if plan:
            _warn(plan)
        told = f"ok: {_size(plan)}" if plan else "WRONG"
        console.line(f"inventories/{name}/site.yml: {told}")
    if errors:
        raise join_errors(errors)
    following = " ".join(["drcli plan --site", names[0], *_trusting(trust_inventory)])
    console.line(f"{len(names)} of {len(names)} sites are ok. Next: {following}")


@click.command()
def schema() -> None:
    """Print the JSON Schema of a site file, for editors.

    Example: drcli schema > site.schema.json
    """
    click.echo(json.dumps(site_schema(), indent=2, ensure_ascii=False))


@click.command()
@selection_options
@click.option("--from", "start_from", help="Only this component or layer and what comes after.")
@trust_option
@state_dir_option
@json_option
@click.option(
    "--format", "shape", type=click.Choice(["html", "md"]), help="Its runbook, to print on paper."
)
def plan(  # noqa: PLR0913 -- one for each option
    *,
    site: str,
    limit: str | None,
    layers: tuple[str, ...],
    components: tuple[str, ...],
    start_from: str | None,
    trust_inventory: bool,
    state_dir: Path | None,
    as_json_: bool,
    shape: Literal["html", "md"] | None,
) -> None:
    """Show what a recovery would do, in which order; touch no host.

    Components with the same step number are recovered side by side. How long each takes is the
    median of its last recoveries in the journal; what would shorten a recovery is computed by
    playing its schedule through.

    Example: drcli plan --site hosting-a --from storage
    """
    project = find_project(None)
    loaded, inventory = _load(project, site, trusted=trust_inventory)
    expected = expected_durations(state_directory(state_dir), site)
    made = make_plan(
        project,
        loaded,
        inventory,
        limit=limit,
        layers=layers,
        components=components,
        start_from=start_from,
        expected=expected,
    )
    ahead = outlook_of(made)
    console = Console(as_json=as_json_)
    _warn(made)
    if shape is not None:
        console.raw(paper_of(made, project, inventory, expected, ahead, shape=shape).rstrip("\n"))
        return
    if as_json_:
        console.json(_as_json(made, project, expected, ahead))
        return
    console.line(_heading(loaded), style="bold")
    for line, style in _lines(made, project, expected):
        console.line(line, style=style)
    for line in _outlook_lines(made, expected, ahead):
        console.line(line)
    console.line(f"Plan hash: {made.hash}", style="dim")
    chosen = [f"--layer={name}" for name in layers] + [f"--component={name}" for name in components]
    chosen += [f"--from={start_from}"] if start_from else []
    chosen += [f"--limit={limit}"] if limit else []
    chosen += _trusting(trust_inventory)
    command = shlex.join(["drcli", "recover", "--site", site, *chosen])
    console.line(f"Ready: {_size(made)}. Next: {command}")


commands = [validate, schema, plan]


def outlook_of(made: Plan) -> Outlook:
    """What a plan comes to, played through, and what would shorten it."""
    site = made.site
    return outlook(
        made.graph,
        made.weights,
        max_parallel=site.max_parallel or DEFAULT_PARALLEL,
        by_needs=_by_needs(site, made) if site.order == "layers" else None,
    )


def paper_of(  # noqa: PLR0913 -- what a runbook is made of
    made: Plan,
    project: Path,
    inventory: Inventory,
    expected: Mapping[str, Expected],
    ahead: Outlook,
    *,
    shape: Literal["html", "md"] = "html",
) -> str:
    """A plan's runbook, to print on paper."""
    from orchestrator.page import draw  # noqa: PLC0415 -- no recovery waits for Jinja2

    book = runbook(
        made,
        project=project,
        inventory=inventory.path,
        reaches=_reaches(made, inventory, project),
        expected=expected,
        outlook=ahead,
        at=datetime.now(UTC),
    )
    return draw("plan", shape, book=book)


def _reaches(made: Plan, inventory: Inventory, project: Path) -> dict[str, Reach]:
    """How each host of the plan is reached; of one whose variables cannot be read, nothing."""
    settings, found = project_settings(project / "ansible.cfg"), {}
    for host in dict.fromkeys(host for component in made.components for host in component.hosts):
        with suppress(InputError):
            found[host] = reach_of(
                host,
                inventory.readable(host),
                itself=inventory.itself(host),
                settings=settings,
            )
    return found


def expected_durations(state: Path, site: str) -> dict[str, Expected]:
    """What each component of a site will take, by the journal; nothing when that cannot be read.

    A plan must not need a journal: a recovery tells what is wrong with it.
    """
    with suppress(JournalError, InputError), read_journal(state) as journal:
        return expected_of(journal.recoveries(site)) if journal else {}
    return {}


def _trusting(trusted: bool) -> list[str]:  # noqa: FBT001 -- the option itself
    """The option again, for the command that comes next."""
    return ["--trust-inventory"] if trusted else []


def _load(project: Path, name: str, *, trusted: bool) -> tuple[Site, Inventory]:
    """The site file and the inventory; what is wrong in both is told at once."""
    folder = site_folder(project, name)
    errors: list[InputError] = []
    with noting(errors):
        site = load_site(project, name)
    with noting(errors):
        inventory = load_inventory(folder / "hosts.yml", trusted=trusted)
    if errors:
        raise join_errors(errors)
    return site, inventory


def _checked(project: Path, name: str, errors: list[InputError], *, trusted: bool) -> Plan | None:
    with noting(errors):
        return make_plan(project, *_load(project, name, trusted=trusted))
    return None


def _warn(made: Plan) -> None:
    for warning in made.warnings:
        click.echo(f"warning: {warning}", err=True)


def _heading(site: Site) -> str:
    within = f", within {duration(site.rto.total_seconds())}" if site.rto else ""
    how = (
        "layer by layer" if site.order == "layers" else "each as soon as what it needs is verified"
    )
    at_most = f", at most {site.max_parallel} at once" if site.max_parallel else ""
    return f"{site.site}: {how}{at_most}{within}"


def _lines(
    made: Plan, project: Path, expected: Mapping[str, Expected]
) -> Iterator[tuple[str, str]]:
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
            if component.name in expected:
                yield f"     {_takes(expected[component.name])}", "dim"
    steps = "; ".join(f"{number} {', '.join(names)}" for number, names in enumerate(made.stages, 1))
    yield f"Steps, side by side where there are several: {steps}", ""


def _by_needs(site: Site, made: Plan) -> order.Graph:
    """The plan's graph, had the site file said `order: dependencies`."""
    return order.restricted(direct_graph(site, by="dependencies"), tuple(made.graph))


def _outlook_lines(made: Plan, expected: Mapping[str, Expected], ahead: Outlook) -> Iterator[str]:
    """How long it takes, by what that is said, and what would shorten it."""
    names = [component.name for component in made.components]
    unknown = [name for name in names if name not in expected]
    if len(unknown) == len(names):
        yield f"Critical path, by number of components: {' -> '.join(made.critical_path)}"
        yield "Expected time: no basis, none of these was recovered in a run of the journal."
        return
    path = " -> ".join(f"{name} {duration(made.weights[name])}" for name in made.critical_path)
    yield f"Critical path, {duration(ahead.longest)} by the journal: {path}"
    at_once = made.site.max_parallel or DEFAULT_PARALLEL
    yield f"Expected time, all being down: {duration(ahead.seconds)}, at most {at_once} at once."
    if unknown:
        yield f"No basis, weighed like the others: {', '.join(unknown)}"
    name, share = next(iter(ahead.shares.items()))
    yield f"Of the critical path {name} is {share:.0%}{_largest_part(expected.get(name))}."
    for saving in ahead.savings:
        needs = ", if `needs` name all that each stands on" if "order" in saving.change else ""
        yield f"`{saving.change}` would save {duration(saving.seconds)}{needs}."
    if not ahead.savings:
        yield "No other order and no larger max_parallel would save anything."


def _largest_part(expected: Expected | None) -> str:
    if expected is None:
        return ""
    parts = {"look": expected.observe, "playbook": expected.playbook, "gate": expected.gate}
    largest = max(parts, key=lambda part: parts[part])
    return f", its {largest} alone {duration(parts[largest])}"


def _who(component: Component) -> str:
    needs = f"  needs {', '.join(component.needs)}" if component.needs else ""
    asks = f"  asks first: {component.approval}" if component.approval else ""
    return f"{','.join(component.hosts)}{needs}{asks}"


def _what(component: Component, project: Path) -> str:
    playbook = component.playbook.relative_to(project).as_posix()
    beside = component.gate.parent == component.playbook.parent
    gate = component.gate.name if beside else component.gate.relative_to(project).as_posix()
    return f"{playbook}, {gate}: {component.minimum_checks}+ checks a host"


def _takes(expected: Expected) -> str:
    parts = (("look", expected.observe), ("playbook", expected.playbook), ("gate", expected.gate))
    each = ", ".join(f"{name} {duration(seconds)}" for name, seconds in parts)
    runs = f"median of {expected.runs} runs" if expected.runs > 1 else "one run"
    return f"expected {duration(expected.seconds)}: {each} ({runs})"


def _size(made: Plan) -> str:
    hosts = {host for component in made.components for host in component.hosts}
    return f"{len(made.components)} components on {len(hosts)} hosts"


def _as_json(
    made: Plan, project: Path, expected: Mapping[str, Expected], ahead: Outlook
) -> dict[str, object]:
    basis = any(component.name in expected for component in made.components)
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
                "expected": asdict(expected[component.name])
                if component.name in expected
                else None,
            }
            for component in made.components
        ],
        "steps": made.stages,
        "critical_path": made.critical_path,
        "critical_path_by": "expected seconds" if basis else "number of components",
        "expected_seconds": ahead.seconds if basis else None,
        "critical_path_seconds": ahead.longest if basis else None,
        "critical_path_shares": ahead.shares if basis else None,
        "savings": [asdict(saving) for saving in ahead.savings] if basis else [],
        "warnings": made.warnings,
    }
