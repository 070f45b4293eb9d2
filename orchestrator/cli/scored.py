"""The scores of drills: into the journal, and as a table."""

from __future__ import annotations

from datetime import UTC, datetime

from orchestrator.console import Console
from orchestrator.drills import DrillKind, DrillScored
from orchestrator.events import Record
from orchestrator.journal import Journal
from orchestrator.lab.scoring import reasons
from orchestrator.proof import Scored
from orchestrator.report import duration
from orchestrator.site import Site

_DRY = {DrillKind.TABLETOP, DrillKind.CHECK}


def keep_score(
    journal: Journal, run: str, elapsed: float, scored: DrillScored, *first: object
) -> Scored:
    """Put the score, and what comes `first`, into the journal after what is there of a run."""
    at = datetime.now(UTC)
    for event in (*first, scored):
        last, _ = journal.head(run)
        record = {"run": run, "seq": last + 1, "at": at, "elapsed": elapsed, "event": event}
        journal.append(Record.model_validate(record))
    return Scored(run=run, at=at, score=scored)


def show_scores(console: Console, site: Site, drills: list[Scored], *, as_json: bool) -> None:
    """Show them as a table, and why any of them failed."""
    if as_json:
        for one in drills:
            console.json({"run": one.run, **one.score.model_dump(mode="json")})
        return
    scored = [one.score for one in drills]
    console.table(
        ["DRILL", "CAME TO", "RTA", "RTO", "LOST", "CHECKS", "FAULTS NOTICED", "MET", "BY HAND"],
        [_row(each) for each in scored],
    )
    for each in scored:
        for line in reasons(each):
            console.line(f"{_name(each)}: {line}", style="bold red")
    failed = [_name(each) for each in scored if each.broke]
    verdict = f"FAILED: {', '.join(failed)}" if failed else "as expected"
    console.line(
        f"{site.site}: {len(scored)} {'drill' if len(scored) == 1 else 'drills'}, {verdict}. "
        f"Next: drcli proof --site {site.site}"
    )


def _row(each: DrillScored) -> list[str]:
    came_to = (
        ("held, as expected" if each.held else "recovered")
        if each.as_expected
        else "NOT as expected"
    )
    if each.drill.kind in _DRY:
        came_to = "walked through" if each.drill.kind is DrillKind.TABLETOP else (
            "checked" if each.as_expected else "check mode failed"
        )  # fmt: skip
    lost = "not measured" if each.lost is None else f"{each.lost} of {each.acknowledged}"
    noticed = sum(fault.noticed for fault in each.faults)
    met = sum(fault.met for fault in each.faults)
    number = len(each.faults)
    return [
        _name(each),
        came_to,
        "" if each.drill.kind in _DRY else up_words(each.site.actual),
        time_words(each.site.objective),
        lost,
        str(each.checks),
        f"{noticed} of {number}" if number else "none given",
        f"{met} of {number}" if number else "",
        str(len(each.interventions)),
    ]


def _name(each: DrillScored) -> str:
    return each.drill.scenario or each.drill.kind.value


def up_words(seconds: float | None) -> str:
    """When all was up."""
    return "not up" if seconds is None else duration(seconds)


def time_words(seconds: float | None) -> str:
    """Seconds for a table."""
    return "none" if seconds is None else duration(seconds)
