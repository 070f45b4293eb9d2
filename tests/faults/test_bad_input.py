"""What nobody should type, write or leave on a disk: refused in a moment, never a bug."""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import subprocess
import sys
from contextlib import closing, redirect_stderr, redirect_stdout, suppress
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestrator.cli.ansible_options import parse_extra_vars
from orchestrator.cli.front import COMMANDS
from orchestrator.cli.main import main
from orchestrator.errors import InputError
from orchestrator.events import PlannedComponent, Record, RunStarted
from orchestrator.journal import open_journal
from orchestrator.journal_file import FILE_NAME

pytestmark = pytest.mark.once

DRCLI = Path(sys.executable).with_name("drcli")
MEMORY = 1 << 30  # bytes of address space for a command that is given something too large
SECONDS = 60  # of processor time; each takes one or two on an idle machine
QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
QUICK = settings(max_examples=60, suppress_health_check=QUIET)
LONG = settings(max_examples=2_000, suppress_health_check=QUIET)
FINE = {0, 1, 2}


def ends_well(*words):
    """Run a command in this process: its exit code is no bug's, and nothing shows a traceback."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as ended:
        main.main(args=list(words))
    said = out.getvalue() + err.getvalue()
    assert ended.value.code in FINE, said
    assert "Traceback" not in said
    return ended.value.code, said


# Command lines

LETTERS = st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from("\udcff\x1b-=@{")
TEXT = st.text(LETTERS, max_size=12)
OPTIONS = ["--site", "--limit", "--layer", "--component", "--json", "--state-dir", "--from", "-e",
           "--max-parallel", "--forks", "--vault-id", "--vault-password-file", "--approve", "--new",
           "--check", "--diff", "--private-key", "--become-password-file", "--junit", "--replan",
           "--help", "--version", "--project", "-h", "--"]  # fmt: skip
HARMLESS = [name for name in COMMANDS if name not in {"lab", "worker", "scheduler", "collections"}]
WORDS = st.lists(st.sampled_from(OPTIONS) | TEXT, max_size=5)


@pytest.fixture
def room(make_project, tmp_path, monkeypatch):
    """A project to stand in, whose one site cannot be recovered by a lucky line."""
    project = make_project()
    monkeypatch.chdir(project)
    monkeypatch.setenv("DRCLI_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DRCLI_PROJECT", str(project))
    return project


@QUICK
@given(command=st.sampled_from(HARMLESS), words=WORDS)
@example(command="status", words=["--site", "\udcff"])
@example(command="validate", words=["--site", "../../etc"])
@example(command="show", words=["\x1b[2J"])
def test_any_command_line_is_answered(room, command, words):
    ends_well(command, *words)


@pytest.mark.long
@LONG
@given(command=st.sampled_from(HARMLESS) | TEXT, words=WORDS)
def test_very_many_command_lines_are_answered(room, command, words):
    if command not in COMMANDS or command in HARMLESS:
        ends_well(command, *words)


@pytest.mark.parametrize(
    "words",
    [
        [b"status", b"--site", b"\xff\xfe"],
        [b"show", b"\xc3\x28"],
        [b"\x1b]0;x\x07"],
        [b""],
        [b"--"],
    ],
)
@pytest.mark.parametrize("locale", ["C", "POSIX", "tr_TR.ISO-8859-9", "xx"])
def test_bytes_that_are_no_text_are_answered_in_any_locale(room, words, locale):
    done = subprocess.run(
        [os.fsencode(DRCLI), *words],
        env={**os.environ, "LC_ALL": locale, "LANG": locale, "PYTHONUTF8": "0"},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode in FINE, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"\x1b]" not in done.stdout + done.stderr


# Extra variables


@QUICK
@given(st.text(LETTERS) | st.recursive(st.text(LETTERS), st.lists).map(json.dumps))
@example("[" * 100_000)
@example('{"a":' * 100_000)
@example('{"a":' * 900 + "1" + "}" * 900)
@example('{"a": ' + "9" * 5_000 + "}")
@example('{"a": NaN}')
@example('{"a": 1, "a": 2}')
@example("a='")
@example("@")
def test_any_extra_variables_are_data_or_refused(text):
    with suppress(InputError):
        assert "{{" not in json.dumps(parse_extra_vars([text]))


def limited():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def refused(project, *words):
    """The real command within bounds of memory and time: exit code 2 and no traceback."""
    done = subprocess.run(
        [DRCLI, *words],
        cwd=project,
        env={**os.environ, "DRCLI_STATE_DIR": str(project.parent / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=10 * SECONDS,
        check=False,
        preexec_fn=limited,
    )
    assert done.returncode == 2, done.stderr[-2_000:]
    assert b"Traceback" not in done.stderr
    assert len(done.stderr) < 20_000
    return done.stderr.decode()


@pytest.mark.parametrize("option", ["--extra-vars=@{}", "--become-password-file={}"])
@pytest.mark.parametrize("endless", ["/dev/zero", "huge"])
def test_an_endless_file_is_not_read_to_its_end(make_project, option, endless):
    project = make_project()
    if endless == "huge":
        with (project / "huge").open("wb") as huge:
            huge.truncate(1 << 36)
        endless = project / "huge"
    assert "larger than" in refused(project, "recover", "--site", "room-a", option.format(endless))


# Files

BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(12)
)
BAD = {
    "empty": b"",
    "NUL": b"all:\0\n",
    "not UTF-8": b"all: \xff\xfe\n",
    "UTF-16": "all: {hosts: {h1: }}".encode("utf-16"),
    "deep": b"[" * 20_000,
    "deep mapping": b"{a: " * 20_000,
    "deep by indent": b"".join(b" " * n + b"a:\n" for n in range(2_000)),
    "alias bomb": BOMB,
    "python object": b"all: !!python/object/apply:os.system ['touch /tmp/never']\n",
    "tabs": b"all:\n\thosts:\n",
    "a number": b"22:22",
    "no end": b"all: {hosts: {",
    "long line": b"all: " + b"x" * 5_000_000,
    "100 MB": b"#" * 100_000_000,
}
FILES = {
    "site.yml": "inventories/room-a/site.yml",
    "hosts.yml": "inventories/room-a/hosts.yml",
    "variables": "inventories/room-a/group_vars/all.yml",
    "playbook": "playbooks/network/routing.yml",
    "gate": "playbooks/network/test_routing.py",
    "ansible.cfg": "ansible.cfg",
}
NOT_READ_BY_VALIDATE = {"variables", "ansible.cfg"}  # Ansible's own: answered, whatever it says


def spoil(project, file, content):
    path = project / FILES[file]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(BAD[content])


@pytest.mark.parametrize(
    ("file", "content"),
    [("hosts.yml", "alias bomb"), ("hosts.yml", "deep"), ("gate", "deep"), ("site.yml", "NUL")],
)
def test_a_bad_file_of_a_project_is_refused_within_bounds(make_project, file, content):
    project = make_project()
    spoil(project, file, content)
    refused(project, "validate")


@pytest.mark.long
@pytest.mark.parametrize("content", BAD)
@pytest.mark.parametrize("file", FILES)
def test_each_bad_file_of_a_project_is_refused_within_bounds(
    make_project, file, content, record_property
):
    record_property("fault", "bad content of a project's file")
    project = make_project()
    spoil(project, file, content)
    if file in NOT_READ_BY_VALIDATE:
        done = subprocess.run(
            [DRCLI, "validate"], cwd=project, preexec_fn=limited, capture_output=True, check=False
        )
        assert done.returncode in FINE
        assert b"Traceback" not in done.stderr
    else:
        refused(project, "validate")


# The journal

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
STARTED = RunStarted(
    site="room-a",
    plan_hash="0" * 64,
    components=(PlannedComponent(name="dns", layer="network", hosts=("ns1",)),),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
KINDS = st.sampled_from(
    ["run_started", "run_resumed", "gate_started", "check_finished", "gate_finished",
     "playbook_finished", "task_failed", "component_verified", "run_finished", "never_heard_of"]
)  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from(
        ["kind", "component", "components", "site", "outcome", "seconds", "at", "stats", "reasons",
         "message", "host", "green", "attempt", "purpose", "plan_hash", "away"]
    ),
    st.sampled_from(["dns", "observe", "passed", "verified", 1, 1e308, True, ["x"]]) | JSON,
)  # fmt: skip
CELLS = (
    st.none()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8)
)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": KINDS | st.text(max_size=5),
            "event": FIELDS.map(json.dumps) | st.text(max_size=9),
        },
        optional={"at": CELLS, "elapsed": CELLS, "subject": CELLS, "detail": CELLS, "seq": CELLS},
    ),
    max_size=4,
)


def write_rows(folder, rows):
    """A journal of one good record and these; what SQLite itself refuses is not in it."""
    (folder / FILE_NAME).unlink(missing_ok=True)
    for left in folder.glob(f"{FILE_NAME}-*"):
        left.unlink()
    with open_journal(folder) as journal:
        journal.append(Record(run="r1", seq=1, at=NOON, elapsed=0.0, event=STARTED))
    with closing(sqlite3.connect(folder / FILE_NAME)) as database, database:
        for number, row in enumerate(rows, 2):
            cells = {"run": "r1", "seq": number, "at": NOON.isoformat(), "elapsed": 1.0,
                     "subject": "dns", "detail": 0, **row}  # fmt: skip
            names = ", ".join(cells)
            marks = ", ".join("?" for _ in cells)
            try:
                database.execute(
                    f"INSERT INTO records ({names}) VALUES ({marks})", list(cells.values())
                )
            except (sqlite3.IntegrityError, OverflowError, UnicodeEncodeError):
                continue


VIEWS = [
    ["status"],
    ["runs"],
    ["show"],
    ["status", "--json"],
    ["runs", "--json"],
    ["show", "--json"],
]


def is_viewed(folder, rows):
    folder.mkdir(exist_ok=True)
    write_rows(folder, rows)
    for view in VIEWS:
        ends_well(*view, "--state-dir", str(folder))


@settings(QUICK, max_examples=25)
@given(rows=ROWS)
@example(rows=[{"kind": "check_finished", "event": "{}", "at": "yesterday"}])
@example(rows=[{"kind": "check_finished", "event": "{}", "at": NOON.isoformat(), "elapsed": "x"}])
@example(rows=[{"kind": "run_started", "event": "[" * 50_000}])
@example(rows=[{"kind": "run_finished", "event": b"\xff\xfe"}])
@example(
    rows=[
        {
            "kind": "run_started",
            "event": STARTED.model_dump_json(),
            "at": "never",
            "seq": 1,
            "run": "r2",
        }
    ]
)
def test_whatever_stands_in_the_journal_can_be_viewed(room, tmp_path, rows):
    is_viewed(tmp_path / "state", rows)


@pytest.mark.long
@settings(LONG, max_examples=800)
@given(rows=ROWS)
def test_very_much_may_stand_in_the_journal(room, tmp_path, rows):
    is_viewed(tmp_path / "state", rows)
