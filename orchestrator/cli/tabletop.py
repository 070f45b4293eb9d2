"""A drill on paper: the plan walked through and printed, with what a scenario would do to it."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

from orchestrator.cli.person import person
from orchestrator.cli.plan import expected_durations
from orchestrator.cli.scored import keep_score, time_words
from orchestrator.console import Console
from orchestrator.drills import Drill, DrillKind, DrillScored, TimeScore
from orchestrator.events import PlannedComponent, RunFinished, RunOutcome, RunStarted
from orchestrator.inventory import load_inventory
from orchestrator.journal import open_journal
from orchestrator.lab.definition import load_lab
from orchestrator.lab.faults import load_faults
from orchestrator.lab.scenario import load_scenario, scenario_file
from orchestrator.plan import Plan, make_plan
from orchestrator.project import site_folder
from orchestrator.proof import Scored
from orchestrator.site import Site


def walk_through(
    console: Console, project: Path, site: Site, scenario: str | None, folder: Path
) -> Scored:
    """The plan walked through and printed, with what the scenario would do; nothing is run."""
    plan = plan_of(project, site, folder)
    told = None
    if scenario:
        lab = load_lab(project, site.site)
        told = load_scenario(scenario_file(project, site.site, scenario), lab, site)
        console.line(f"{scenario}: {told.title}. {told.explains}")
        faults = load_faults(lab) if told.faults else {}
        for step in told.steps:
            console.line(f"  - {step}")
        for part in told.meanwhile:
            console.line(f"  - once {part.after} is up: {', '.join(map(str, part.do))}")
        for name in told.faults:
            fault = faults[name]
            must = "must be repaired" if fault.expect == "recovered" else "must be left to a person"
            console.line(f"  {name} ({fault.component}, {must}): {fault.explains}")
    for layer in site.layers:
        objective = (
            f", to be up within {time_words(layer.rto.total_seconds())}" if layer.rto else ""
        )
        console.line(f"{layer.name}{objective}")
        for component in (c for c in plan.components if c.layer == layer.name):
            stands = f"; stands on {', '.join(component.needs)}" if component.needs else ""
            console.line(f"  {component.name} on {', '.join(component.hosts)}{stands}")
            console.line(f"    {component.playbook.relative_to(project)}, then "
                         f"{component.gate.relative_to(project)}")  # fmt: skip
            if component.approval:
                console.line(f"    asks first: {component.approval}")
            if told and component.name in told.held:
                console.line("    is to be held here: who decides, and how are they reached?")
    run = f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{token_hex(2)}"
    drill_ = Drill(kind=DrillKind.TABLETOP, scenario=scenario or "")
    scored = DrillScored(
        drill=drill_,
        held=told.held if told else (),
        as_expected=True,
        site=TimeScore(objective=site.rto.total_seconds() if site.rto else None, actual=None),
    )
    started = RunStarted(
        site=site.site, plan_hash=plan.hash, dry_run=True, drill=drill_, by=person(),
        controller=socket.gethostname(),
        components=tuple(PlannedComponent(name=c.name, layer=c.layer, hosts=c.hosts, needs=c.needs)
                         for c in plan.components),
    )  # fmt: skip
    with open_journal(folder) as journal:
        finished = RunFinished(outcome=RunOutcome.DRY_RUN, seconds=0.0, reason="a tabletop")
        return keep_score(journal, run, 0.0, scored, started, finished)


def plan_of(project: Path, site: Site, folder: Path) -> Plan:
    """The site's plan as it is now."""
    hosts = load_inventory(site_folder(project, site.site) / "hosts.yml")
    return make_plan(project, site, hosts, expected=expected_durations(folder, site.site))
