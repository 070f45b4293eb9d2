"""Packs what an auditor asks for into one archive, each file with its hash."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.chain import exported
from orchestrator.cli.plan import expected_durations, outlook_of, paper_of
from orchestrator.cli.proof import proofs_json, proofs_of
from orchestrator.cli.report import report_of, write_file
from orchestrator.errors import InputError
from orchestrator.inventory import load_inventory
from orchestrator.journal import Journal, read_journal
from orchestrator.plan import Plan, make_plan
from orchestrator.project import site_folder
from orchestrator.site import load_site
from orchestrator.trend import picture, point

MOST = 200  # runs; an archive of more is asked for by nobody
_ABOUT = """\
Evidence of the recovery of {site}, packed {at}

What stands here, and what of Commission Implementing Regulation (EU) 2024/2690, annex
(4.1 business continuity, 4.3 crisis management), it is evidence of:

plan.html            order of recovery, dependencies, objectives, what to do by hand          4.1.2
site.yml             objectives (RTO) and order as they are now                                4.1.2
proofs.json          when each component was last proven by a drill, and what changed since    4.1.4
drills.json          every drill of the journal: what was tried, how it came out, the score    4.1.4
trend.svg            recovery times over time against the objective                            4.1.4
reports/RUN.html     each recovery and drill: time line, decisions, failures, data loss  4.1.4, 4.3
journal/RUN.jsonl    its records; `drcli journal verify --file` finds any change in them
SHA256SUMS           the hash of each file: `sha256sum --check SHA256SUMS`

Lessons learned are people's to write: nothing here was.
"""


def pack(project: Path, site: str, folder: Path, out: Path) -> int:
    """Pack the evidence of a site into a .tar.gz that is its owner's alone; how many runs it has.

    Raises:
        InputError: there is no run of the site yet, or its files are wrong.
        MachineError: the archive cannot be written.
    """
    loaded = load_site(project, site)
    inventory = load_inventory(site_folder(project, site) / "hosts.yml")
    expected = expected_durations(folder, site)
    plan = make_plan(project, loaded, inventory, expected=expected)
    paper = paper_of(plan, project, inventory, expected, outlook_of(plan))
    with read_journal(folder, chained=True) as journal:
        runs = [line.run for line in journal.runs(site=site)][-MOST:] if journal else []
        if journal is None or not runs:
            raise InputError(f"no run of {site} yet", hint=f"drcli drill --site {site}")
        files = {name: text.encode() for name, text in _files(plan, project, journal, runs)}
    files["plan.html"] = paper.encode()
    for run in runs:
        files[f"reports/{run}.html"] = report_of(folder, run)[1].encode()
    files["README.txt"] = _ABOUT.format(
        site=site, at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    ).encode()
    sums = (
        f"{hashlib.sha256(content).hexdigest()}  {name}\n"
        for name, content in sorted(files.items())
    )
    files["SHA256SUMS"] = "".join(sums).encode()
    write_file(out, _archive(f"evidence-{site}", files))
    return len(runs)


def _files(
    plan: Plan, project: Path, journal: Journal, runs: list[str]
) -> Iterator[tuple[str, str]]:
    site = plan.site.site
    yield "site.yml", (site_folder(project, site) / "site.yml").read_text(encoding="utf-8")
    found = proofs_of(plan, project, journal)
    yield "proofs.json", json.dumps(proofs_json(site, found), indent=1) + "\n"
    drills = [
        {"run": each.run, "at": each.at.isoformat(), **each.score.model_dump(mode="json")}
        for each in journal.drills(site)
    ]
    yield "drills.json", json.dumps(drills, indent=1) + "\n"
    objective = plan.site.rto.total_seconds() if plan.site.rto else None
    points = [point(journal.state(run), objective=objective) for run in runs]
    yield "trend.svg", picture(filter(None, points), title=f"Recovery times of {site}")
    for run in runs:
        lines = exported(journal.check(run), journal.rows(run))
        yield f"journal/{run}.jsonl", "".join(f"{line}\n" for line in lines)


def _archive(folder: str, files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(content), 0o600
            entry.mtime = int(datetime.now(UTC).timestamp())
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
