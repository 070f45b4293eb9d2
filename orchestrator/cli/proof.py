"""`drcli proof`: what drills have proven, and what has changed since."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.ansible_options import trust_option
from orchestrator.cli.shared_options import json_option, state_dir_option
from orchestrator.console import Console
from orchestrator.inventory import load_inventory
from orchestrator.journal import Journal, read_journal
from orchestrator.plan import Plan, make_plan
from orchestrator.project import find_project, site_folder
from orchestrator.proof import Proof, Standing, Subject, proofs
from orchestrator.report import clean
from orchestrator.site import load_site
from orchestrator.sources import file_hashes
from orchestrator.spoken import moment
from orchestrator.state_directory import state_directory

SHOWN = 3  # changed files in a table's row


@click.command()
@click.option("--site", required=True, help="The site, a folder of inventories/.")
@trust_option
@state_dir_option
@json_option
def proof(*, site: str, trust_inventory: bool, state_dir: Path | None, as_json_: bool) -> int:
    """Say when each component was last proven by a drill, by which run, and what changed since.

    A green drill proves the files that it ran: site file, inventory, playbooks, roles and gates.
    Exit code 1 when a component is not proven as it is now.

    Example: drcli proof --site hosting-a
    """
    project = find_project(None)
    loaded = load_site(project, site)
    hosts = load_inventory(site_folder(project, site) / "hosts.yml", trusted=trust_inventory)
    plan = make_plan(project, loaded, hosts)
    with read_journal(state_directory(state_dir)) as journal:
        found = proofs_of(plan, project, journal)
    console = Console(as_json=as_json_)
    stale = [each.component for each in found if each.standing is not Standing.PROVEN]
    if as_json_:
        console.json(proofs_json(site, found))
        return int(bool(stale))
    console.table(["COMPONENT", "STANDS", "BY", "ON", "UNTIL", "CHANGED SINCE"], _rows(found))
    for each in found:
        for name in each.changed[SHOWN:]:
            console.line(f"{each.component}: {clean(name)} changed, too")
    words = f"not proven as it is now: {', '.join(stale)}" if stale else "proven as it is now"
    console.line(f"{site}: {words}. Next: drcli drill --site {site} --all")
    return int(bool(stale))


def proofs_of(plan: Plan, project: Path, journal: Journal | None) -> tuple[Proof, ...]:
    """The proofs of a plan's components, by the drills of a journal."""
    site = plan.site
    subjects = [
        Subject(
            name=component.name,
            layer=component.layer,
            playbook=component.playbook.relative_to(project).as_posix(),
            gate=component.gate.relative_to(project).as_posix(),
            text=component.playbook.read_text(encoding="utf-8", errors="replace"),
        )
        for component in plan.components
    ]
    drills = tuple(journal.drills(site.site)) if journal else ()
    files = file_hashes(project, site.site) if drills else {}
    return proofs(subjects, drills, files, valid=site.proof_stands, now=datetime.now(UTC))


def stale_words(found: tuple[Proof, ...]) -> str:
    """What is not proven as it is now, in one line; empty when all is, or there never was a drill.

    Who has never held a drill is not told so in the middle of the night.
    """
    stale = [each for each in found if each.standing is not Standing.PROVEN]
    if not stale or all(each.standing is Standing.NEVER for each in found):
        return ""
    parts = [f"{each.component} ({_why(each)})" for each in stale]
    return f"no drill has proven as it is now: {', '.join(parts)}"


def _rows(found: tuple[Proof, ...]) -> list[list[str]]:
    """The rows of the table."""
    return [
        [
            each.component,
            each.standing.value,
            clean(f"{each.run} {each.scenario}".strip()),
            moment(each.at) if each.at else "",
            moment(each.until) if each.until else "",
            clean(", ".join(each.changed[:SHOWN])),
        ]
        for each in found
    ]


def _why(each: Proof) -> str:
    match each.standing:
        case Standing.CHANGED:
            more = f" and {len(each.changed) - 1} more" if len(each.changed) > 1 else ""
            return clean(f"{each.changed[0]}{more} changed")
        case Standing.EXPIRED:
            return f"its proof is over since {moment(each.until)}" if each.until else "over"
        case _:
            return "never"


def proofs_json(site: str, found: tuple[Proof, ...]) -> dict[str, object]:
    """The proofs for a program."""
    stale = [each.component for each in found if each.standing is not Standing.PROVEN]
    return {"site": site, "stale": stale, "proofs": [_json(each) for each in found]}


def _json(each: Proof) -> dict[str, object]:
    times = {"at": each.at.isoformat() if each.at else None,
             "until": each.until.isoformat() if each.until else None}  # fmt: skip
    return {**asdict(each), **times}
