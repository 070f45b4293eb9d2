"""`drcli trend`: recovery times over time, against the objective."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import click

from orchestrator.cli.report import write_page
from orchestrator.cli.shared_options import json_option, state_dir_option
from orchestrator.console import Console
from orchestrator.errors import InputError
from orchestrator.journal import read_journal
from orchestrator.project import find_project
from orchestrator.site import load_site
from orchestrator.state_directory import state_directory
from orchestrator.trend import picture, point, rows

MOST = 500  # runs


@click.command()
@click.option("--site", required=True, help="The site, a folder of inventories/.")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Its picture, an SVG.")
@state_dir_option
@json_option
def trend(*, site: str, out: Path | None, state_dir: Path | None, as_json_: bool) -> None:
    """Show how long recoveries and drills took, the oldest first, and whether in time.

    Example: drcli trend --site hosting-a --out trend.svg
    """
    objective = None
    with suppress(InputError):  # views work outside of any project, too
        rto = load_site(find_project(None), site).rto
        objective = rto.total_seconds() if rto else None
    with read_journal(state_directory(state_dir)) as journal:
        lines = journal.runs(site=site)[-MOST:] if journal else ()
        states = [journal.state(line.run) for line in lines] if journal else []
    points = [found for state in states if (found := point(state, objective=objective))]
    console = Console(as_json=as_json_)
    if as_json_:
        for each in points:
            console.json({**vars(each), "at": each.at.isoformat()})
    elif points:
        console.table(["RUN", "BEGUN", "WHAT", "RTA", "RTO", ""], [*rows(points)])
    if out is not None:
        write_page(console, picture(points, title=f"Recovery times of {site}"), out)
    if not as_json_:
        number = f"{len(points)} runs brought {site} back, or tried to"
        console.line(f"{number}. Next: drcli drill --site {site}")
