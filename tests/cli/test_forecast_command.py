"""`drcli forecast`, and what `status` and `show` say of it, through the real command."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from orchestrator.events import (
    ComponentVerified,
    PlannedComponent,
    PlaybookStarted,
    Record,
    RunFinished,
    RunOutcome,
    RunStarted,
)
from orchestrator.journal import open_journal
from orchestrator.published import ForecastPublished, Span

LAYERS = {
    "network": [{"name": "routing", "hosts": "routers"}],
    "storage": [{"name": "database", "hosts": "databases"}],
}
AT = datetime(2026, 1, 1, tzinfo=UTC)


def recovery(run, *, routing=10.0, database=100.0, told=()):
    """The records of a run that brought both back."""
    planned = (
        PlannedComponent(name="routing", layer="network", hosts=("r1", "r2")),
        PlannedComponent(name="database", layer="storage", hosts=("db1", "db2")),
    )
    said = [(0.0, RunStarted(site="room-a", plan_hash="0" * 64, components=planned))]
    said += [(0.0, each) for each in told]
    now = 0.0
    for name, seconds in (("routing", routing), ("database", database)):
        played = {"playbook": f"{name}.yml", "hosts": (), "attempt": 1}
        said.append((now, PlaybookStarted(component=name, **played)))
        now += seconds
        said.append((now, ComponentVerified(component=name)))
    said.append((now, RunFinished(outcome=RunOutcome.RECOVERED, seconds=now)))
    return [
        Record(run=run, seq=seq, at=AT, elapsed=elapsed, event=event)
        for seq, (elapsed, event) in enumerate(said, 1)
    ]


@pytest.fixture
def project(make_project):
    return make_project(LAYERS)


@pytest.fixture
def keep(tmp_path):
    def keep(*runs):
        with open_journal(tmp_path / "state") as journal:
            for record in (record for run in runs for record in run):
                journal.append(record)
        return str(tmp_path / "state")

    return keep


def test_without_any_run_there_is_no_figure(project, drcli, tmp_path):
    state = str(tmp_path / "state")
    done = drcli("forecast", "--site", "room-a", "--state-dir", state, cwd=project)
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == (
        "room-a: no basis, no run of the journal brought any of these back. "
        "Next: drcli recover --site room-a"
    )


def test_past_runs_make_a_range_and_say_how_good_it_is(project, drcli, keep):
    seconds = (95.0, 100.0, 105.0, 98.0, 102.0)
    state = keep(*(recovery(f"r{n}", database=took) for n, took in enumerate(seconds)))
    where = ("--site", "room-a", "--state-dir", state, "--json")
    told = json.loads(drcli("forecast", *where, cwd=project).stdout)
    assert 105 < told["whole"]["p50"] < told["whole"]["p90"] < 130
    assert (told["no_basis"], told["runs"]) == ([], 5)
    found = json.loads(drcli("forecast", "check", *where, cwd=project).stdout)
    assert found["whole"]["judged"] == found["components"]["database"]["judged"] == 5
    assert found["whole"]["under_p90"] >= 4


def test_show_lists_what_was_told_and_status_json_keeps_it(project, drcli, keep):
    first = ForecastPublished(site=Span(p50=100.0, p90=200.0), runs=3, reason="the first")
    state = keep(recovery("r1", told=[first]))
    shown = drcli("show", "--state-dir", state, cwd=project).stdout
    assert "forecast after 0.0 s: up in 1 min 40 s to 3 min 20 s (the first)" in shown
    assert "forecast at first: 1 min 40 s to 3 min 20 s, never moved; it took 1 min 50 s" in shown
    status = drcli("status", "--json", "--state-dir", state, cwd=project).stdout
    told = json.loads(status)["forecast"]
    assert told["remaining"] is None
    assert told["published"][0]["reason"] == "the first"


def test_a_site_has_to_be_named(project, drcli):
    done = drcli("forecast", cwd=project)
    assert done.returncode == 2
    assert "drcli forecast --site SITE" in done.stderr
