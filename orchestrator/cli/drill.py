"""`drcli drill`: a run made on purpose, to learn whether the plan works and how long it takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import click

from orchestrator.cli.drilling import Command, Drilling, GaveWayError, end, interruptible
from orchestrator.cli.report import report_of, write_page
from orchestrator.cli.scored import keep_score, show_scores
from orchestrator.cli.shared_options import json_option, state_dir_option
from orchestrator.cli.tabletop import plan_of, walk_through
from orchestrator.console import Console
from orchestrator.drills import Drill, DrillKind
from orchestrator.errors import InputError, RecoveryError
from orchestrator.journal import open_journal, read_journal
from orchestrator.junit import drill_xml
from orchestrator.lab import podman
from orchestrator.lab.definition import Lab, load_lab
from orchestrator.lab.scenario import (
    load_scenario,
    scenario_file,
    scenario_names,
)
from orchestrator.lab.scoring import CONDITIONS, DEFAULT, Given, score
from orchestrator.project import find_project
from orchestrator.proof import Scored
from orchestrator.site import Site, load_site
from orchestrator.site_lock import lock_holder
from orchestrator.sources import file_hashes
from orchestrator.state import RunState
from orchestrator.state_directory import make_private, state_directory
from orchestrator.timers import OVERLAP

EVERYTHING = "everything-lost"


@click.command()
@click.option("--site", required=True, help="The site, a folder of inventories/.")
@click.option("--scenario", metavar="NAME|FILE", help=f"What happens. [default: {EVERYTHING}]")
@click.option("--all", "every", is_flag=True, help="Every scenario of the site, one by one.")
@click.option("--list", "as_list", is_flag=True, help="Say which scenarios there are.")
@click.option(
    "--on",
    type=click.Choice(["lab", "site"]),
    default="lab",
    show_default=True,
    help="On `site` nothing is changed: its gates, and playbooks in check mode.",
)
@click.option("--tabletop", is_flag=True, help="Walk through the plan on paper; run nothing.")
@click.option("--live", is_flag=True, help="With --on site: really recover it, asked first.")
@click.option("--expert-absent", is_flag=True, help="Judge what the console alone has told.")
@click.option("--keep", is_flag=True, help="Leave the lab as it is in the end.")
@click.option(
    "--fail-if",
    multiple=True,
    type=click.Choice(tuple(CONDITIONS)),
    help=f"What makes the drill fail, repeatable. [default: {', '.join(DEFAULT)}]",
)
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write JUnit XML.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write each run's report there: RUN.html.",
)
@click.option("--scheduled", is_flag=True, hidden=True)
@state_dir_option
@json_option
def drill(  # noqa: PLR0913 -- one for each option
    *,
    site: str,
    scenario: str | None,
    every: bool,
    as_list: bool,
    on: str,
    tabletop: bool,
    live: bool,
    expert_absent: bool,
    keep: bool,
    fail_if: tuple[str, ...],
    junit: Path | None,
    report: Path | None,
    scheduled: bool,
    state_dir: Path | None,
    as_json_: bool,
) -> int:
    """Break the site's lab on purpose, recover it, and score what came of it.

    Exit code 0: the drill came out as its scenario demands; 1: it did not, the score says why. A
    real recovery that begins meanwhile ends the drill at once. What a green drill proves, and until
    when, is told by `drcli proof`.

    Example: drcli drill --site hosting-a --scenario feed-b-lost
    """
    project, folder = find_project(None), state_directory(state_dir)
    console = Console(as_json=as_json_)
    loaded = load_site(project, site)
    if as_list:
        _list(console, project, loaded, as_json=as_json_)
        return 0
    _require_sense(on=on, scenario=scenario, every=every, tabletop=tabletop, live=live)
    if busy := _busy(site, folder):
        if scheduled:
            console.note(f"{busy.message}; this drill is left out")
            return OVERLAP
        raise busy
    drills = _Drills(
        console=console, project=project, site=loaded, folder=folder, fail_if=fail_if or DEFAULT
    )
    if tabletop:
        scored = [walk_through(console, project, loaded, scenario, folder)]
    elif on == "site":
        if live:
            _agree(loaded, scheduled=scheduled)
        scored = [drills.on_site(DrillKind.LIVE if live else DrillKind.CHECK)]
    else:
        names = scenario_names(project, site) if every else (scenario or EVERYTHING,)
        scored = drills.on_lab(names, keep=keep, expert_absent=expert_absent)
    _write(console, site, folder, scored, report=report, junit=junit)
    show_scores(console, loaded, scored, as_json=as_json_)
    for name, why in drills.not_scored.items():
        console.line(f"{name}: NOT SCORED: {why}", style="bold red")
    return int(any(each.score.broke for each in scored) or bool(drills.not_scored))


def _write(  # noqa: PLR0913 -- each by name
    console: Console,
    site: str,
    folder: Path,
    scored: list[Scored],
    *,
    report: Path | None,
    junit: Path | None,
) -> None:
    """The reports of the drills' runs, and JUnit, where they are wanted."""
    if report:
        make_private(report)
        for each in scored:
            write_page(console, report_of(folder, each.run)[1], report / f"{each.run}.html")
    if junit:
        write_page(console, drill_xml(site, [each.score for each in scored], CONDITIONS), junit)


def _busy(site: str, folder: Path) -> RecoveryError | None:
    """Why there is no drill now; None when nothing is under way."""
    holder = lock_holder(folder, site)
    if holder is None:
        return None
    return RecoveryError(
        f"no drill while {site} is being recovered: {holder}",
        hint=f"Follow it: drcli watch --site {site}",
    )


@dataclass(frozen=True, kw_only=True)
class _Drills:
    """What all drills of one command have in common.

    `not_scored` says of a scenario that ended early why it did.
    """

    console: Console
    project: Path
    site: Site
    folder: Path
    fail_if: tuple[str, ...]
    not_scored: dict[str, str] = field(default_factory=dict)

    def on_lab(self, names: Iterable[str], *, keep: bool, expert_absent: bool) -> list[Scored]:
        """Every scenario in turn, on one lab; one that was up before stays, its faults undone."""
        name = self.site.site
        lab = load_lab(self.project, name)
        scenarios = [self._drilling(lab, each, expert_absent=expert_absent) for each in names]
        was_there = bool(podman.containers(name))
        scored: list[Scored] = []
        under_way = None
        with interruptible():
            try:
                for each in scenarios:
                    under_way = each
                    self.console.note(f"drill {each.drill.scenario}: {each.scenario.title}")
                    try:
                        each.prepare()
                        scored.append(self._scored(each))
                    except GaveWayError:
                        keep = True
                        raise
                    except RecoveryError as error:
                        self.console.note(f"error: {error.message}")
                        self.not_scored[each.drill.scenario] = error.message.splitlines()[0]
                    if not keep:
                        each.undo()
                    under_way = None
            finally:
                if keep:
                    self.console.note(f"the lab stays as it is: drcli lab down --site {name}")
                elif not was_there:
                    self._type("lab", "down", "--site", name)
                elif under_way:
                    under_way.undo()
        return scored

    def on_site(self, kind: DrillKind) -> Scored:
        """Its gates, and its playbooks in check mode; or, live, a recovery as it would be."""
        name, begun = self.site.site, time.monotonic()
        files = file_hashes(self.project, name)
        dry = ("--check", "--diff") if kind is DrillKind.CHECK else ()
        as_drill = ("--as-drill", f"{kind.value}:")
        pid = self._type("recover", "--site", name, "--new", "--no-wait", *as_drill, *dry)
        with read_journal(self.folder) as journal:
            run = journal.last_run(name) if journal else None
            state = journal.state(run) if journal and run else RunState()
        if state.started is None or state.started.pid != pid:
            raise RecoveryError("the drill's run never began", hint="Why stands above.")
        given = Given(drill=Drill(kind=kind), files=files, seconds=time.monotonic() - begun)
        return self._kept(state, given)

    def _drilling(self, lab: Lab, name: str, *, expert_absent: bool) -> Drilling:
        path = scenario_file(self.project, self.site.site, name)
        scenario = load_scenario(path, lab, self.site)
        if expert_absent:
            scenario = scenario.model_copy(update={"expert": "absent"})
        return Drilling(
            lab=lab,
            scenario=scenario,
            drill=Drill(kind=DrillKind.LAB, scenario=path.stem),
            state_dir=self.folder,
            echo=self.console.note,
        )

    def _scored(self, drilling: Drilling) -> Scored:
        lab, scenario = drilling.lab, drilling.scenario
        plan = plan_of(self.project, self.site, self.folder)
        files = file_hashes(self.project, lab.site)
        state = drilling.do()
        given = Given(
            drill=drilling.drill,
            held=scenario.held,
            stands_on={component.name: component.stands_on for component in plan.components},
            faults=drilling.faults,
            proofs=drilling.proofs(),
            before=drilling.before,
            cuts=scenario.cuts,
            deaths=drilling.deaths,
            red_now=drilling.red_now(),
            verdict=drilling.verdict(),
            has_ledger=lab.file.reader is not None,
            console="\n".join(drilling.console) if scenario.expert == "absent" else None,
            files=files,
            seconds=time.monotonic() - drilling.began,
        )
        return self._kept(state, given)

    def _kept(self, state: RunState, given: Given) -> Scored:
        """Score a run, and put the score into the journal, after the run's end."""
        with open_journal(self.folder) as journal:
            records = journal.records(state.run)
            scored = score(given, records, state, self.site, fail_if=self.fail_if)
            return keep_score(journal, state.run, state.elapsed, scored)

    def _type(self, *words: str) -> int:
        """Type a command, wait for its end, whatever it is; its process."""
        with interruptible():
            child = Command(words, state_dir=self.folder, show=self.console.note)
            try:
                child.wait()
            finally:
                end(child)
        return child.pid


def _require_sense(
    *, on: str, scenario: str | None, every: bool, tabletop: bool, live: bool
) -> None:
    if every and (scenario or tabletop or on == "site"):
        raise click.UsageError("--all is of the lab, and stands alone.")
    if live and on != "site":
        raise click.UsageError("--live is of the site itself: --on site --live.")
    if scenario and on == "site":
        raise click.UsageError("A scenario breaks things, and so is of the lab alone.")


def _agree(site: Site, *, scheduled: bool) -> None:
    """A live drill changes a real site: a person types its name, or the site file allows it."""
    if scheduled and site.drills and site.drills.live_from_schedule:
        return
    name = site.site
    if scheduled or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InputError(
            f"a live drill changes {name}: nobody is here to agree",
            hint="Start it on a terminal. From a schedule: `drills: {live_from_schedule: true}` "
            "in site.yml.",
        )
    typed = click.prompt(f"This changes {name} itself. Type its name to go on", err=True)
    if typed.strip() != name:
        raise InputError(f"{typed.strip()!r} is not {name}: nothing was started")


def _list(console: Console, project: Path, site: Site, *, as_json: bool) -> None:
    lab = load_lab(project, site.site)
    rows = []
    for name in scenario_names(project, site.site):
        found = load_scenario(scenario_file(project, site.site, name), lab, site)
        if as_json:
            console.json({"scenario": name, **found.model_dump(mode="json", by_alias=True)})
            continue
        must = f"hold {', '.join(found.held)}" if found.held else "recover"
        rows.append([name, must, found.title])
    if not as_json:
        console.table(["SCENARIO", "DRCLI MUST", "WHAT HAPPENS"], rows)
        console.line(f"{len(rows)} scenarios. Next: drcli drill --site {site.site} --scenario NAME")
