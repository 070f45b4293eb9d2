"""`drcli plan`: what a recovery would do, through the real command."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from datetime import UTC, datetime
from pathlib import Path

import pytest

from orchestrator.events import (
    ComponentVerified,
    GateFinished,
    PlannedComponent,
    PlaybookFinished,
    Record,
    RunStarted,
)
from orchestrator.journal import open_journal

DRCLI = Path(sys.executable).with_name("drcli")

LAYERS = {
    "network": [
        {"name": "routing", "hosts": "routers"},
        {"name": "time", "hosts": "routers", "needs": ["routing"]},
        {"name": "dns", "hosts": "r1", "needs": ["routing"]},
    ],
    "storage": [
        {"name": "database", "hosts": "databases", "approval": "Primary chosen?"},
    ],
}


def test_the_plan_says_what_is_done_where_in_which_order(make_project, drcli):
    project = make_project(LAYERS, extra={"rto": "4h", "max_parallel": 3})
    done = drcli("plan", "--site", "room-a", cwd=project)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0] == "room-a: layer by layer, at most 3 at once, within 4 h 00 min"
    assert lines[1:9] == [
        "network",
        "  1  routing   r1,r2",
        "     playbooks/network/routing.yml, test_routing.py: 1+ checks a host",
        "  2  time      r1,r2  needs routing",
        "     playbooks/network/time.yml, test_time.py: 1+ checks a host",
        "  2  dns       r1  needs routing",
        "     playbooks/network/dns.yml, test_dns.py: 1+ checks a host",
        "storage",
    ]
    assert lines[9] == "  3  database  db1,db2  asks first: Primary chosen?"
    assert lines[11].endswith(": 1 routing; 2 time, dns; 3 database")
    assert lines[12].endswith(": routing -> time -> database")
    assert lines[-1] == "Ready: 4 components on 4 hosts. Next: drcli recover --site room-a"
    assert done.stderr == "warning: host img1 belongs to no component: nothing recovers it\n"


def test_the_next_command_keeps_the_selection(make_project, drcli):
    options = ["--layer=network", "--component=dns", "--from=routing", "--limit=r*"]
    done = drcli("plan", "--site", "room-a", *options, cwd=make_project(LAYERS))
    assert done.stdout.splitlines()[-1] == (
        "Ready: 1 components on 1 hosts. Next: drcli recover --site room-a "
        "--layer=network --component=dns --from=routing '--limit=r*'"
    )


def test_json_is_the_plan_and_nothing_else(make_project, drcli):
    done = drcli("plan", "--site", "room-a", "--json", cwd=make_project(LAYERS))
    plan = json.loads(done.stdout)
    assert (plan["site"], plan["order"]) == ("room-a", "layers")
    assert plan["steps"] == [["routing"], ["time", "dns"], ["database"]]
    assert plan["critical_path"] == ["routing", "time", "database"]
    assert len(plan["hash"]) == 64
    assert plan["components"][3] == {
        "name": "database",
        "layer": "storage",
        "hosts": ["db1", "db2"],
        "playbook": "playbooks/storage/database.yml",
        "gate": "playbooks/storage/test_database.py",
        "minimum_checks": 1,
        "needs": [],
        "stands_on": ["routing", "time", "dns"],
        "settle": 60.0,
        "timeout": 1800.0,
        "approval": "Primary chosen?",
        "expected": None,
    }
    assert (plan["critical_path_by"], plan["expected_seconds"]) == ("number of components", None)
    assert plan["warnings"] == ["host img1 belongs to no component: nothing recovers it"]


SECONDS = {"routing": 10.0, "time": 20.0, "dns": 5.0, "database": 65.0}


@pytest.fixture
def journal(tmp_path):
    """A state directory whose journal knows one recovery of every component."""
    with open_journal(tmp_path / "state") as journal:
        planned = tuple(PlannedComponent(name=n, layer="x", hosts=("h",)) for n in SECONDS)
        events = [(0.0, RunStarted(site="room-a", plan_hash="0" * 64, components=planned))]
        now = 0.0
        for name, seconds in SECONDS.items():
            observed = {"passed": 0, "total": 1, "green": False, "seconds": 1.0}
            look = {"component": name, "purpose": "observe", "attempt": 1}
            now += seconds
            events += [
                (now, GateFinished(**look, **observed)),
                (
                    now,
                    PlaybookFinished(
                        component=name, attempt=1, outcome="succeeded", seconds=seconds - 2
                    ),
                ),
                (now + 1, ComponentVerified(component=name)),
            ]
        for seq, (elapsed, event) in enumerate(events, 1):
            at = datetime(2026, 1, 2, tzinfo=UTC)
            journal.append(Record(run="r1", seq=seq, at=at, elapsed=elapsed, event=event))
    return tmp_path / "state"


def test_it_says_how_long_each_takes_and_what_would_shorten_it(make_project, drcli, journal):
    project = make_project(LAYERS, extra={"max_parallel": 1})
    out = drcli("plan", "--site", "room-a", "--state-dir", journal, cwd=project).stdout
    assert "     expected 1 min 05 s: look 1.0 s, playbook 1 min 03 s, gate 1.0 s (one run)" in out
    path = "routing 10 s -> time 20 s -> database 1 min 05 s"
    assert f"Critical path, 1 min 35 s by the journal: {path}\n" in out
    assert "Expected time, all being down: 1 min 40 s, at most 1 at once.\n" in out
    assert "Of the critical path database is 68%, its playbook alone 1 min 03 s.\n" in out
    assert "`order: dependencies with max_parallel: 2` would save 35 s, if `needs` name" in out
    assert "`max_parallel: 2` would save 5.0 s.\n" in out


def test_without_any_recovery_in_the_journal_it_says_that_there_is_no_basis(make_project, drcli):
    out = drcli("plan", "--site", "room-a", cwd=make_project(LAYERS)).stdout
    assert "Critical path, by number of components: routing -> time -> database\n" in out
    assert "Expected time: no basis, none of these was recovered in a run of the journal.\n" in out
    assert "would save" not in out


def test_a_part_that_was_never_recovered_is_named(make_project, drcli, journal):
    layers = {**LAYERS, "applications": [{"name": "imaging", "hosts": "r1"}]}
    project = make_project(layers)
    out = drcli("plan", "--site", "room-a", "--state-dir", journal, cwd=project).stdout
    assert "No basis, weighed like the others: imaging\n" in out


def test_a_journal_that_cannot_be_read_does_not_stand_in_the_way(make_project, drcli, journal):
    (journal / "journal.db").write_bytes(b"\x00" * 20_000)
    done = drcli("plan", "--site", "room-a", "--state-dir", journal, cwd=make_project(LAYERS))
    assert done.returncode == 0
    assert "no basis" in done.stdout


def test_the_plan_is_the_same_each_time(make_project, drcli):
    project = make_project(LAYERS)
    first, second = (drcli("plan", "--site", "room-a", "--json", cwd=project) for _ in range(2))
    assert first.stdout == second.stdout


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (["--site", "rooma"], "no site 'rooma'"),
        (["--site", "room-a", "--component", "databse"], "did you mean 'database'?"),
        (["--site", "room-a", "--layer", "storge"], "did you mean 'storage'?"),
        (["--site", "room-a", "--from", "tmie"], "did you mean 'time'?"),
        (["--site", "room-a", "--limit", "rooters"], "did you mean 'routers'?"),
        (["--site", "room-a", "--limit", ""], "'' is not a pattern"),
        (["--site", "room-a", "--limit", "{{ lookup('pipe', 'id') }}"], "no group or host"),
        ([], "Missing option '--site'"),
    ],
)
def test_what_is_not_there_is_exit_code_2_with_the_near_name(make_project, drcli, args, told):
    done = drcli("plan", *args, cwd=make_project(LAYERS))
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.splitlines()[-1].startswith("hint: ")
    assert done.stdout == ""


def test_a_cycle_is_named_with_its_place(make_project, drcli):
    layers = {
        "network": [
            {"name": "a", "hosts": "r1", "needs": ["b"]},
            {"name": "b", "hosts": "r1", "needs": ["a"]},
        ]
    }
    done = drcli("plan", "--site", "room-a", cwd=make_project(layers))
    assert done.returncode == 2
    assert "layers[0].components[0].needs: a cycle: a -> b -> a, each needs the next" in done.stderr
    assert "room-a/site.yml:" in done.stderr


def on_a_terminal(project, columns, **env):
    """Run `drcli plan` on a terminal of that width; return what it shows."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS"}}
    process = subprocess.Popen(
        [DRCLI, "plan", "--site", "room-a"],
        cwd=project,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**environment, "TERM": "xterm", **env},
    )
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 65_536):
            shown += chunk
    except OSError:  # the terminal closes with the last process on it
        pass
    os.close(master)
    assert process.wait(30) == 0
    return shown.decode()


def test_it_fits_a_terminal_of_80_columns(make_project):
    shown = on_a_terminal(make_project(), 80, NO_COLOR="1")
    components = re.sub(r"\x1b\[[0-9;]*m", "", shown).partition("Steps")[0]
    assert max(map(len, components.splitlines())) <= 80


def test_no_color_is_respected(make_project):
    assert "\x1b[38" not in on_a_terminal(make_project(), 80, NO_COLOR="1")


def test_output_that_is_no_terminal_has_no_escapes(make_project, drcli):
    assert "\x1b" not in drcli("plan", "--site", "room-a", cwd=make_project()).stdout
