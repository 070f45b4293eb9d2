"""What a journal does wherever it is kept: the same tests for SQLite and for PostgreSQL.

Two fixtures say where: `folder`, a state directory, and `database`, with `execute(*statements)`,
`make(*statements)` where there is none yet, and `content()`, all that it holds as bytes.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import socket
import threading
from datetime import UTC, datetime

import pytest
from engine import FakeGates, FakePlaybooks, options, plan_of, run_to_end
from pydantic import BaseModel, ConfigDict

from orchestrator import journal_tables
from orchestrator.chain import GENESIS, digest
from orchestrator.errors import JournalError
from orchestrator.events import (
    CheckFinished,
    PlannedComponent,
    PlaybookOutcome,
    Record,
    RunFinished,
    RunOutcome,
    RunStarted,
    TaskStarted,
    UnknownEvent,
)
from orchestrator.journal import open_journal, read_journal
from orchestrator.report import as_json, state_line
from orchestrator.state import fold

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
STARTED = RunStarted(
    site="lab-a",
    plan_hash="0" * 64,
    components=(PlannedComponent(name="dns", layer="network", hosts=("ns1", "ns2")),),
)
FINISHED = RunFinished(outcome=RunOutcome.RECOVERED, seconds=2.5)
DETAIL = TaskStarted(component="dns", play="p", task="Start it")
MANY = 100


def record(seq, event, run="r1"):
    return Record(run=run, seq=seq, at=NOON, elapsed=float(seq), event=event)


def check(outcome):
    return CheckFinished(component="dns", check="test_it", host="ns1", outcome=outcome, seconds=0.1)


def read(folder, run="r1"):
    with read_journal(folder) as journal:
        return journal.records(run)


def mixed_run():
    """A run with a bit of everything: healthy, verified, failed in playbook and gate, blocked."""
    graph = {"a": (), "b": ("a",), "c": ("a",), "d": ("c",), "e": ("b",), "f": ("e",), "g": ("d",)}
    playbooks = FakePlaybooks(outcomes={"d": PlaybookOutcome.TIMED_OUT}, tasks=("one", "two"))
    gates = FakeGates(green={"a"}, repaired_by=playbooks, red_after_playbook={"b": 1, "e": 10**6})
    return run_to_end(plan_of(graph, settle=0.3), playbooks, gates)


def seen(state):
    return {"json": as_json(state, alive=True, at=NOON), "line": state_line(state, alive=True)}


def in_a_child(work):
    """Run it in a process of its own; its exit code."""
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join(timeout=60)
    return child.exitcode


@pytest.fixture
def written(folder):
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        journal.append(record(2, FINISHED))
    return folder


# What goes in comes out


def test_records_come_back_as_they_were_appended(written):
    assert read(written) == (record(1, STARTED), record(2, FINISHED))


def test_a_record_is_readable_by_another_process_before_append_returns(folder):
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        assert read(folder) == (record(1, STARTED),)


def test_a_record_is_there_when_the_writer_is_killed_right_after_append(folder):
    def write_and_die():
        open_journal(folder).append(record(1, STARTED))
        os.kill(os.getpid(), 9)

    assert in_a_child(write_and_die) == -9
    assert read(folder) == (record(1, STARTED),)


def test_a_detail_survives_the_death_of_its_writer_too(folder):
    def write_and_die():
        journal = open_journal(folder)
        journal.append(record(1, STARTED))
        journal.append(record(2, DETAIL))
        os.kill(os.getpid(), 9)

    assert in_a_child(write_and_die) == -9
    assert read(folder) == (record(1, STARTED), record(2, DETAIL))


@pytest.mark.parametrize("seq", [1, 2, 4], ids=["again", "duplicate", "gap"])
def test_a_gap_or_a_duplicate_is_refused_and_nothing_is_written(written, seq):
    with open_journal(written) as journal:
        with pytest.raises(JournalError, match="does not follow 2"):
            journal.append(record(seq, FINISHED))
        assert len(journal.records("r1")) == 2


def test_two_writers_of_one_run_are_told_apart_and_nothing_is_written_twice(folder):
    with open_journal(folder) as one, open_journal(folder) as other:
        one.append(record(1, STARTED))
        one.append(record(2, DETAIL))
        other.append(record(3, FINISHED))
        with pytest.raises(JournalError, match="does not follow 3"):
            one.append(record(3, FINISHED))
        one.append(record(4, FINISHED))
        assert [r.seq for r in one.records("r1")] == [1, 2, 3, 4]
        assert one.check("r1").fault == ""


def test_an_event_of_a_newer_drcli_is_kept_not_refused(written, database):
    database.execute(
        "insert into records(run, seq, at, elapsed, kind, event) values "
        f"('r1', 3, '{NOON.isoformat()}', 3.0, 'moon_landed', "
        """'{"kind": "moon_landed", "on": 1}')"""
    )
    last = read(written)[-1].event
    assert isinstance(last, UnknownEvent)
    assert last.model_dump() == {"kind": "moon_landed", "on": 1}


def test_a_known_event_without_fields_it_should_have_is_kept_as_unknown(written, database):
    database.execute("""update records set event = '{"kind": "run_finished"}' where seq = 2""")
    assert read(written)[-1].event == UnknownEvent(kind="run_finished")


def test_an_event_with_any_character_comes_back(folder):
    odd = record(2, DETAIL.model_copy(update={"task": "a\x00b\u2028\U0001f9ef'\\\x1b[31m"}))
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        journal.append(odd)
    assert read(folder)[-1] == odd


# Views


def test_runs_are_listed_in_order_of_arrival_whatever_the_clock_says(folder):
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED, run="first"))
        past = NOON.replace(year=1970)
        journal.append(Record(run="second", seq=1, at=past, elapsed=0, event=STARTED))
        assert [line.run for line in journal.runs()] == ["first", "second"]
        assert journal.last_run("lab-a") == "second"
        assert journal.last_run("lab-b") is None


def test_at_every_record_a_view_sees_what_all_records_come_to(folder):
    records = mixed_run()
    assert {"failed", "verified", "healthy", "blocked"} <= {
        c.state.value for c in fold(records).components.values()
    }
    with open_journal(folder) as journal:
        for number, one in enumerate(records, 1):
            journal.append(one)
            assert seen(journal.state("r1")) == seen(fold(records[:number])), one
        assert journal.unfinished_runs("lab-a") == ()


def test_recoveries_are_each_component_s_latest_whatever_the_runs_between(folder):
    with open_journal(folder) as journal:
        for number in range(4):
            playbooks = FakePlaybooks()
            green = {"dns", "time"} if number == 3 else {"time"} if number else set()
            gates = FakeGates(green=green, repaired_by=playbooks)
            graph = {"dns": (), "time": ()}
            for one in run_to_end(
                plan_of(graph), playbooks, gates, options=options(run=f"run-{number}")
            ):
                journal.append(one)
        found = [took.component for took in journal.recoveries("lab-a")]
        assert sorted(found) == ["dns", "dns", "dns", "time"]
        assert found[0] == "dns"
        assert list(journal.recoveries("elsewhere")) == []


def test_no_journal_yet_is_no_error_for_a_view(folder):
    with read_journal(folder) as journal:
        assert journal is None
    assert not folder.exists()


# Requests from other terminals


class Approve(BaseModel):
    model_config = ConfigDict(frozen=True)

    kind: str = "approve"
    component: str


def test_what_was_asked_comes_back_in_order_with_who_asked_when_and_where(folder):
    with open_journal(folder) as journal:
        first = journal.ask("r1", Approve(component="database"), by="ada", at=NOON)
        second = journal.ask("r1", '{"kind": "hold"}', by="bob", at=NOON)
    with read_journal(folder) as journal:
        one, two = journal.asked("r1", after=0)
    assert (one.id, two.id) == (first, second)
    assert Approve.model_validate_json(one.request) == Approve(component="database")
    assert (one.run, one.at, one.by, one.host) == ("r1", NOON, "ada", socket.gethostname())
    assert (two.by, two.request) == ("bob", '{"kind": "hold"}')


def test_only_what_was_asked_of_this_run_since_then_is_given(folder):
    with open_journal(folder) as journal:
        first = journal.ask("r1", "{}", by="ada", at=NOON)
        journal.ask("r2", "{}", by="ada", at=NOON)
        third = journal.ask("r1", "{}", by="ada", at=NOON)
        assert [asked.id for asked in journal.asked("r1", after=first)] == [third]
        assert journal.asked("r1", after=third) == ()


def ask_often(folder, by):
    with open_journal(folder) as journal:
        for _ in range(MANY):
            journal.ask("r1", "{}", by=by, at=NOON)


def test_several_processes_ask_while_the_run_appends_and_nothing_is_lost(folder):
    """The run also looks for requests from another thread than the one that writes."""
    fork = multiprocessing.get_context("fork")
    others = [fork.Process(target=ask_often, args=(folder, by)) for by in ("ada", "bob")]
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
    for other in others:
        other.start()
    found, over = [], threading.Event()

    def look():
        while not over.wait(0.005):
            found.extend(journal.asked("r1", after=found[-1].id if found else 0))

    with open_journal(folder) as journal:
        looking = threading.Thread(target=look)
        looking.start()
        for seq in range(2, MANY + 1):
            journal.append(record(seq, DETAIL))
        for other in others:
            other.join(timeout=60)
        over.set()
        looking.join(timeout=60)
        found.extend(journal.asked("r1", after=found[-1].id if found else 0))
        assert [other.exitcode for other in others] == [0, 0]
        assert len(journal.records("r1")) == MANY
    assert sorted(asked.by for asked in found) == ["ada"] * MANY + ["bob"] * MANY
    assert [asked.id for asked in found] == sorted({asked.id for asked in found})


# The chain


@pytest.fixture
def long(folder):
    """A run of some length, whose chain holds."""
    with open_journal(folder) as journal:
        for one in mixed_run():
            journal.append(one)
        found = journal.check("r1")
        assert found.fault == ""
        assert found.records == len(journal.records("r1"))
        assert journal.head("r1") == (found.records, found.head)
    return folder


def checked(folder):
    with read_journal(folder) as journal:
        return journal.check("r1")


@pytest.mark.parametrize(
    "edit",
    [
        (
            "update records set event = replace(event, 'timed_out', 'succeeded') "
            "where kind = 'playbook_finished'"
        ),
        "update records set elapsed = elapsed + 0.001 where seq = 7",
        "update records set at = '2026-01-02T12:00:01+00:00' where seq = 7",
        "update records set subject = 'z' where seq = 7",
        "update records set kind = 'gate_begun' where seq = 7",
        "update records set detail = not detail where seq = 7",
        "update records set fence = 9 where seq = 7",
        "update records set schema = 2 where seq = 7",
        "update records set hash = 'f' where seq = 7",
        "delete from records where seq = 7",
        "delete from records where seq between 3 and 9",
        "delete from records where seq = 1",
    ],
)
def test_every_edit_and_every_removal_is_found(long, database, edit):
    database.execute(edit)
    assert checked(long).fault != ""


def test_records_that_changed_places_are_found(long, database):
    database.execute(
        "update records set seq = -1 where seq = 7",
        "update records set seq = 7 where seq = 8",
        "update records set seq = 8 where seq = -1",
    )
    found = checked(long)
    assert (found.records, "record 7" in found.fault) == (6, True)


def test_a_removal_behind_which_all_numbers_were_moved_up_is_found(long, database):
    database.execute(
        "delete from records where seq = 7",
        "update records set seq = -seq where seq > 7",
        "update records set seq = -seq - 1 where seq < 0",
    )
    assert "record 7" in checked(long).fault


def test_a_tail_that_was_cut_off_is_found_only_with_a_head_that_was_kept(long, database):
    kept = checked(long).head
    database.execute("delete from records where seq > 20")
    found = checked(long)
    assert (found.fault, found.records) == ("", 20)
    assert kept not in found.hashes


def test_the_first_record_follows_nothing_and_each_other_the_one_before(folder):
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        journal.append(record(2, FINISHED))
        one, two = journal.rows("r1")
    assert one["hash"] == digest(GENESIS, one)
    assert two["hash"] == digest(one["hash"], two)


# Older and newer journals


OLD = {
    1: (
        "CREATE TABLE journal_schema (version INTEGER NOT NULL)",
        "INSERT INTO journal_schema VALUES (1)",
        (
            "CREATE TABLE records (id {serial} NOT NULL, run VARCHAR NOT NULL,"
            " seq INTEGER NOT NULL, at VARCHAR NOT NULL, elapsed {float} NOT NULL,"
            " kind VARCHAR NOT NULL,"
            " event TEXT NOT NULL, PRIMARY KEY (id), UNIQUE (run, seq))"
        ),
    ),
    2: (
        "CREATE TABLE journal_schema (version INTEGER NOT NULL)",
        "INSERT INTO journal_schema VALUES (2)",
        (
            "CREATE TABLE records (id {serial} NOT NULL, run VARCHAR NOT NULL,"
            " seq INTEGER NOT NULL, at VARCHAR NOT NULL, elapsed {float} NOT NULL,"
            " kind VARCHAR NOT NULL,"
            " event TEXT NOT NULL, subject VARCHAR DEFAULT '' NOT NULL,"
            " detail BOOLEAN DEFAULT {false} NOT NULL, PRIMARY KEY (id), UNIQUE (run, seq))"
        ),
        "CREATE INDEX records_outline ON records (run, detail, seq)",
        "CREATE INDEX records_subject ON records (run, kind, subject, seq)",
        "CREATE INDEX records_start ON records (subject) WHERE seq = 1",
    ),
}


def _quoted(value):
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


@pytest.fixture(params=[1, 2], ids=["schema-1", "schema-2"])
def old(request, folder, database):
    """A journal as an older drcli wrote it, with a line that is no JSON; its records."""
    written = mixed_run()
    rows = [
        [r.run, r.seq, r.at.isoformat(), r.elapsed, r.event.kind, r.event.model_dump_json()]
        for r in written
    ]
    rows.append(["r0", 1, NOON.isoformat(), 0.0, "run_started", "not JSON"])
    columns = "run, seq, at, elapsed, kind, event"
    if request.param == 2:
        columns += ", subject, detail"
        for row in rows:
            content = json.loads(row[5]) if row[0] == "r1" else {}
            row.append(content.get("component") or content.get("site") or "")
            passed = row[4] == "check_finished" and content["outcome"] == "passed"
            row.append(database.false if not (passed or row[4] == "task_started") else "true")
    database.make(
        *(statement.format_map(database.words) for statement in OLD[request.param]),
        *(
            f"INSERT INTO records({columns}) VALUES ({', '.join(map(_quoted, row[:7]))}"
            + (f", {row[7]})" if len(row) > 7 else ")")
            for row in rows
        ),
    )
    return written


def test_a_run_brings_an_older_journal_up_and_loses_nothing(folder, old):
    with open_journal(folder) as journal:
        assert list(journal.records("r1")) == old
        assert seen(journal.state("r1")) == seen(fold(old))
        journal.append(record(len(old) + 1, DETAIL))
    with read_journal(folder) as journal:
        assert len(journal.records("r1")) == len(old) + 1
        assert [line.run for line in journal.runs()] == ["r1", "r0"]


def test_records_of_an_older_journal_are_chained_when_it_is_brought_up_and_said_to_be(folder, old):
    with open_journal(folder) as journal:
        journal.append(record(len(old) + 1, DETAIL))
        found = journal.check("r1")
        assert (found.fault, found.records, found.late) == ("", len(old) + 1, len(old))
        assert journal.check("r0").fault == ""


def test_an_older_journal_is_brought_up_whole_or_not_at_all(folder, old, database, monkeypatch):
    before = database.content()
    statements = (*journal_tables._TO_SCHEMA_3, "SELECT nonsense")
    monkeypatch.setattr(journal_tables, "_TO_SCHEMA_3", statements)
    with pytest.raises(JournalError, match="nonsense"):
        open_journal(folder)
    monkeypatch.undo()
    assert database.content() == before


def test_a_newer_schema_is_refused_clearly_and_left_untouched(written, database):
    database.execute("update journal_schema set version = 99")
    before = database.content()
    with pytest.raises(JournalError, match="schema 99") as caught:
        open_journal(written)
    assert "newer drcli" in caught.value.hint
    with pytest.raises(JournalError, match="schema 99"), read_journal(written):
        pass
    assert database.content() == before
