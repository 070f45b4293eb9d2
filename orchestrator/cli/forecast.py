"""`drcli forecast`: how long a recovery would take, and how far such a figure can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import click

from orchestrator import order
from orchestrator.calibration import Calibration, leave_one_out
from orchestrator.cli.ansible_options import trust_option
from orchestrator.cli.plan import expected_durations
from orchestrator.cli.shared_options import json_option, state_dir_option
from orchestrator.console import Console
from orchestrator.errors import InputError
from orchestrator.forecast import Ahead, Forecast
from orchestrator.forecast import forecast as forecast_of
from orchestrator.forecast_words import span_words
from orchestrator.inventory import load_inventory
from orchestrator.journal import read_journal
from orchestrator.past import Basis, PastRun, basis_of
from orchestrator.plan import DEFAULT_PARALLEL, Plan, make_plan
from orchestrator.project import find_project, site_folder
from orchestrator.published import Span
from orchestrator.site import load_site
from orchestrator.state_directory import state_directory

_site = click.option("--site", help="The site, a folder of inventories/.")


@click.group(invoke_without_command=True)
@_site
@trust_option
@state_dir_option
@json_option
@click.pass_context
def forecast(
    ctx: click.Context,
    *,
    site: str | None,
    trust_inventory: bool,
    state_dir: Path | None,
    as_json_: bool,
) -> None:
    """Say how long a recovery would take, all being down, by the runs in the journal.

    The first figure is as likely too high as too low (p50); the second holds nine times in ten
    (p90). Where no run says anything there is no figure. `drcli forecast check` says how good such
    forecasts are.

    Example: drcli forecast --site hosting-a
    """
    if ctx.invoked_subcommand is not None:
        return
    plan, ahead, runs = _ground(_named(site), state_dir, trusted=trust_inventory)
    basis = basis_of(runs, hosts_of(plan))
    found, console = forecast_of(ahead, basis), Console(as_json=as_json_)
    if as_json_:
        console.json(_as_json(plan, found, basis, runs))
        return
    rows = [
        [c.layer, c.name, _ends(found.components.get(c.name)), _by(basis.get(c.name))]
        for c in plan.components
    ]
    console.table(["LAYER", "COMPONENT", "UP AFTER", "BY"], rows)
    for layer, span in found.layers.items():
        console.line(f"{layer}: up after {span_words(span)}")
    console.line(_site_line(plan.site.site, found))


@forecast.command()
@_site
@trust_option
@state_dir_option
@json_option
def check(
    *, site: str | None, trust_inventory: bool, state_dir: Path | None, as_json_: bool
) -> None:
    """Forecast each past run from all the others, and say how often the truth lay below.

    Of good forecasts half lie under p50, and nine in ten under p90.

    Example: drcli forecast check --site hosting-a
    """
    name = _named(site)
    plan, ahead, runs = _ground(name, state_dir, trusted=trust_inventory)
    whole, each = leave_one_out(runs, ahead, hosts_of(plan))
    console = Console(as_json=as_json_)
    if as_json_:
        components = {name: asdict(found) for name, found in each.items()}
        console.json({"site": name, "whole": asdict(whole), "components": components})
        return
    rows = [_row(component, found) for component, found in each.items()]
    console.table(["FORECAST OF", "RUNS", "UNDER P50", "UNDER P90"], [*rows, _row(name, whole)])
    console.line(_verdict(name, whole, each))


def hosts_of(plan: Plan) -> dict[str, int]:
    """On how many hosts each component of a plan is."""
    return {component.name: len(component.hosts) for component in plan.components}


def _named(site: str | None) -> str:
    if site is None:
        raise InputError("of which site?", hint="Name it: drcli forecast --site SITE")
    return site


def _ground(
    name: str, state_dir: Path | None, *, trusted: bool
) -> tuple[Plan, Ahead, tuple[PastRun, ...]]:
    """The site's plan as it is now, all of it ahead, and the journal's runs of it."""
    project, folder = find_project(None), state_directory(state_dir)
    site = load_site(project, name)
    hosts = load_inventory(site_folder(project, name) / "hosts.yml", trusted=trusted)
    plan = make_plan(project, site, hosts, expected=expected_durations(folder, name))
    with read_journal(folder) as journal:
        runs = tuple(journal.past_runs(name)) if journal else ()
    ahead = Ahead(
        graph=plan.graph,
        layers={component.name: component.layer for component in plan.components},
        way=order.remaining(plan.graph, plan.weights),
        max_parallel=site.max_parallel or DEFAULT_PARALLEL,
    )
    return plan, ahead, runs


def _ends(span: Span | None) -> str:
    return span_words(span) if span else "no basis"


def _by(basis: Basis | None) -> str:
    if basis is None:
        return ""
    number = len(basis.seconds)
    parts = [f"{number} recoveries" if number > 1 else "one recovery"]
    parts += [f"{basis.drills} of them in drills on a lab"] if basis.drills else []
    parts += ["on another number of hosts"] if basis.other_hosts else []
    parts += [f"{len(basis.retries)} with retries"] if basis.retries else []
    parts += [f"failed {basis.failed} times"] if basis.failed else []
    return ", ".join(parts)


def _site_line(name: str, found: Forecast) -> str:
    unknown = ", ".join(found.no_basis)
    then = f"Next: drcli recover --site {name}"
    if found.site is None:
        return f"{name}: no basis, no run of the journal brought any of these back. {then}"
    least = f", at the least: no basis for {unknown}" if unknown else ""
    return f"{name}: all being down, up after {span_words(found.site)}{least}. {then}"


def _as_json(
    plan: Plan, found: Forecast, basis: Mapping[str, Basis], runs: tuple[PastRun, ...]
) -> dict[str, object]:
    return {
        "site": plan.site.site,
        "runs": len(runs),
        "whole": found.site.model_dump() if found.site else None,
        "layers": {name: span.model_dump() for name, span in found.layers.items()},
        "components": {name: span.model_dump() for name, span in found.components.items()},
        "no_basis": found.no_basis,
        "basis": {c.name: asdict(basis[c.name]) for c in plan.components if c.name in basis},
    }


def _row(name: str, found: Calibration) -> list[str]:
    return [name, str(found.judged), _share(found.under_p50, found), _share(found.under_p90, found)]


def _share(count: int, found: Calibration) -> str:
    return f"{count} ({count / found.judged:.0%})" if found.judged else "no basis"


def _verdict(name: str, whole: Calibration, each: Mapping[str, Calibration]) -> str:
    judged = whole.judged + sum(found.judged for found in each.values())
    if not judged:
        return f"{name}: no basis, too few runs to check a forecast. Next: drcli runs --site {name}"
    under = whole.under_p90 + sum(found.under_p90 for found in each.values())
    share = f"{under} of {judged} ({under / judged:.0%})"
    return f"{name}: the truth lay under p90 in {share}. Next: drcli forecast --site {name}"
