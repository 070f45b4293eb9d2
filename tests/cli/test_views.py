"""`status`, `runs` and `show` through the real command, on journals of real runs of fakes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from engine import FakeGates, FakePlaybooks, options, plan_of, run_to_end

from orchestrator.cli import views
from orchestrator.cli.main import main
from orchestrator.events import PlaybookOutcome, PlaybookStarted
from orchestrator.journal import Journal, open_journal
from orchestrator.site_lock import site_lock

DRCLI = Path(sys.executable).with_name("drcli")
GRAPH = {"routing": (), "dns": ("routing",), "portal": ("dns",)}


def drcli(state, *words, code=0, cwd=None):
    done = subprocess.run(
        [DRCLI, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd,
        env={**os.environ, "DRCLI_STATE_DIR": str(state)},
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def write(state, records):
    with open_journal(state) as journal:
        for record in records:
            journal.append(record)


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def failed(state):
    """A run in which the playbook of dns failed."""
    playbooks = FakePlaybooks(outcomes={"dns": PlaybookOutcome.FAILED})
    write(state, run_to_end(plan_of(GRAPH), playbooks, FakeGates(repaired_by=playbooks)))
    return state


@pytest.fixture
def cut_off(state):
    """A run whose process died in the playbook of dns."""
    playbooks = FakePlaybooks()
    gates = FakeGates(green={"routing"}, repaired_by=playbooks)
    records = run_to_end(plan_of(GRAPH), playbooks, gates)
    last = next(
        number
        for number, record in enumerate(records, 1)
        if isinstance(record.event, PlaybookStarted)
    )
    write(state, records[:last])
    return state


def test_no_run_yet_says_what_to_type(state):
    assert drcli(state, "status").endswith("Next: drcli recover --site SITE\n")
    assert not state.exists()


def test_status_tells_each_component_what_blocks_it_and_the_next_command(failed):
    out = drcli(failed, "status", "--site", "lab-a")
    lines = {line.split()[1]: line for line in out.splitlines() if line.startswith("network")}
    assert "verified" in lines["routing"]
    assert "routing-1, routing-2" in lines["routing"]
    assert "failed" in lines["dns"]
    assert "waits for dns" in lines["portal"]
    assert out.splitlines()[-1].endswith("Next: drcli show r1")


def test_a_run_whose_process_is_gone_is_interrupted_not_running(cut_off):
    out = drcli(cut_off, "status", "--site", "lab-a")
    assert "interrupted" in out
    assert "its process is gone: dns recovering" in out
    assert "running" not in out
    assert out.endswith("Next: drcli recover --site lab-a\n")


def test_show_gives_the_evidence_the_time_line_and_the_next_command(failed):
    out = drcli(failed, "show")
    assert "run r1 of lab-a" in out
    assert "playbook failed; because the test says so" in out
    assert "check before the playbook test_it_works on dns-1: failed" in out
    assert re.search(r"observe \d\.\d s, playbook \d\.\d s, gate \d\.\d s", out)
    assert out.endswith("Next: drcli recover --site lab-a\n")


def test_runs_lists_the_latest_last(failed):
    again = options(run="r2")
    gates = FakeGates(green=set(GRAPH))
    write(failed, run_to_end(plan_of(GRAPH), FakePlaybooks(), gates, options=again))
    out = drcli(failed, "runs")
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["r1", "r2"]
    assert out.endswith("2 runs. Next: drcli show r2\n")


@pytest.mark.parametrize("view", ["status", "runs", "show"])
def test_each_view_speaks_json(failed, view):
    content = json.loads(drcli(failed, view, "--json"))
    assert content["state"] == "not_recovered"
    states = {c["name"]: c["state"] for c in content["components"]}
    assert states == {"routing": "verified", "dns": "failed", "portal": "blocked"}


def test_an_unknown_run_is_wrong_input(failed):
    assert "List them: drcli runs" in drcli(failed, "show", "moon", code=2)


def test_a_damaged_journal_is_named_with_the_way_out(failed):
    path = failed / "journal.db"
    path.write_bytes(b"\x00" * 20_000)
    err = drcli(failed, "status", code=1)
    assert "damaged" in err
    assert f"mv {path} {path}.damaged" in err


@pytest.mark.parametrize("view", ["status", "runs", "show"])
def test_a_site_that_neither_journal_nor_project_knows_is_misspelt(failed, view):
    said = drcli(failed, view, "--site", "lab-z", code=2)
    assert "no site 'lab-z'; did you mean 'lab-a'?" in said
    assert "hint: " in said


@pytest.mark.parametrize(
    "words", [["status"], ["runs"], ["show"], ["status", "--json"]], ids=" ".join
)
def test_the_next_command_finds_the_journal_that_was_named(failed, words):
    out = drcli(failed / "another", *words, "--state-dir", failed)
    told = json.loads(out)["next"] if "--json" in words else out.partition("Next: ")[2].strip()
    assert told.endswith(f" --state-dir {failed}")


def test_where_there_is_no_run_yet_the_first_is_for_the_journal_that_was_named(state):
    out = drcli(state / "another", "status", "--state-dir", state)
    assert out.endswith(f"Next: drcli recover --site SITE --state-dir {state}\n")


def test_a_site_of_the_project_that_has_no_run_yet_is_known(state):
    assert "No run of hosting-a yet" in drcli(state, "status", "--site", "hosting-a")


def test_a_project_that_has_no_sites_does_not_keep_anybody_from_looking(failed, tmp_path):
    outside = {"cwd": tmp_path}
    assert "lab-a" in drcli(failed, "status", "--site", "lab-a", **outside)
    assert "no site 'lab-z'" in drcli(failed, "status", "--site", "lab-z", code=2, **outside)


@pytest.mark.parametrize("where", ["XDG_STATE_HOME", "HOME"])
def test_the_journal_is_looked_for_in_the_users_own_state_directory(tmp_path, where):
    below = "drcli" if where == "XDG_STATE_HOME" else ".local/state/drcli"
    playbooks = FakePlaybooks()
    write(tmp_path / below, run_to_end(plan_of(GRAPH), playbooks, FakeGates(repaired_by=playbooks)))
    ours = ("DRCLI_STATE_DIR", "XDG_STATE_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in ours}
    done = subprocess.run(
        [DRCLI, "runs"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**environment, where: str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert "lab-a: recovered" in done.stdout


def test_of_a_run_under_way_the_time_goes_on_though_nothing_is_told(cut_off):
    began = datetime.now(UTC) - timedelta(minutes=10)
    with open_journal(cut_off) as journal:
        [first, *others] = journal.records("r1")
        for record in (first.model_copy(update={"at": began}), *others):
            journal.append(record.model_copy(update={"run": "r2"}))
    with site_lock(cut_off, "lab-a", run="r2", since=began, by="ada"):
        out = drcli(cut_off, "status", "--site", "lab-a")
    assert "lab-a: running for 10 min" in out
    assert out.endswith("Next: drcli status --site lab-a\n")


def test_a_run_that_ends_while_it_is_looked_at_is_not_told_as_killed(state, monkeypatch):
    *begun, end = run_to_end(plan_of(GRAPH), FakePlaybooks(), FakeGates(green=set(GRAPH)))
    lock = site_lock(state, "lab-a", run="r1", since=datetime.now(UTC), by="ada")
    lock.__enter__()
    write(state, begun)
    over = []

    def ends(look):
        """Let the run come to its good end right after the first look at journal or lock."""

        def looked(*words):
            found = look(*words)
            if not over:
                over.append(True)
                write(state, [end])
                lock.__exit__(None, None, None)
            return found

        return looked

    monkeypatch.setattr(Journal, "state", ends(Journal.state))
    monkeypatch.setattr(views, "lock_holder", ends(views.lock_holder))
    out = CliRunner().invoke(main, ["status", "--state-dir", str(state)]).output
    assert over
    assert "its process is gone" not in out
