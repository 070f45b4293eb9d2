"""What only a journal on a server needs: its disk, its indexes, a cut connection, a merge."""

from __future__ import annotations

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import psycopg
import pytest
from engine import FakeGates, FakePlaybooks, options, plan_of, run_to_end
from journal_behaviours import DETAIL, FINISHED, STARTED, check, mixed_run, record
from lease_behaviours import me
from sqlalchemy import event
from sqlalchemy.exc import DatabaseError, OperationalError

from orchestrator import journal_writer
from orchestrator.errors import JournalError
from orchestrator.events import RunOutcome
from orchestrator.journal import open_journal, read_journal
from orchestrator.recovery import recover
from orchestrator.state import RunState, fold

pytestmark = pytest.mark.once

GRAPH = {"routing": (), "dns": ("routing",), "portal": ("dns",)}
CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'drcli'"


def test_the_server_s_disk_is_waited_for_with_each_record_but_a_detail(folder, monkeypatch):
    """Although this server's own default is to wait for none."""
    with open_journal(folder) as journal:
        seen, writing = [], journal._store.writing

        @contextmanager
        def watched(*, now):
            with writing(now=now) as connection:
                yield connection
                seen.append(connection.exec_driver_sql("SHOW synchronous_commit").scalar())

        monkeypatch.setattr(journal._store, "writing", watched)
        for seq, one in enumerate([STARTED, DETAIL, check("failed"), check("passed"), FINISHED], 1):
            journal.append(record(seq, one))
        assert seen == ["on", "off", "on", "off", "on"]


def test_no_view_reads_the_whole_journal(folder, database):
    with open_journal(folder) as journal:
        for one in mixed_run():
            journal.append(one)
        asked = []
        event.listen(
            journal._engine,
            "before_cursor_execute",
            lambda _c, _cursor, statement, parameters, *_: asked.append((statement, parameters)),
        )
        journal.state("r1")
        list(journal.recoveries("lab-a"))
        journal.unfinished_runs("lab-a")
        journal.last_run("lab-a")
    queries = [(sql, values) for sql, values in asked if "records" in sql]
    assert len(queries) > 6
    with psycopg.connect(database.address.replace("+psycopg", "")) as connection:
        connection.execute("SET enable_seqscan = off")
        for sql, values in queries:
            plan = connection.execute(f"EXPLAIN {sql}", values).fetchall()
            assert not [row for row in plan if "Seq Scan on records" in row[0]], (sql, plan)


def recover_into(journal, playbooks, *, before_each=lambda _number: None):
    """Recover, or go on, as the command does."""
    state = journal.state("r1") if journal.records("r1") else RunState()
    gates = FakeGates(repaired_by=playbooks)
    with closing(recover(plan_of(GRAPH), state, playbooks, gates, options=options())) as records:
        for number, one in enumerate(records, 1):
            before_each(number)
            journal.append(one)


def assert_whole(journal, playbooks):
    records = journal.records("r1")
    assert [r.seq for r in records] == list(range(1, len(records) + 1))
    assert fold(records).outcome is RunOutcome.RECOVERED
    assert journal.check("r1").fault == ""
    assert playbooks.started == list(GRAPH)


def test_a_run_whose_connection_is_cut_at_each_record_goes_on_as_if_nothing_was(folder, database):
    playbooks = FakePlaybooks()
    with open_journal(folder) as journal:
        recover_into(journal, playbooks, before_each=lambda _: database.execute(CUT))
        assert_whole(journal, playbooks)


def test_a_record_whose_answer_was_lost_is_not_written_twice(folder, monkeypatch):
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        writing, cuts = journal._store.writing, [1, 1]

        @contextmanager
        def cut_after(*, now):
            with writing(now=now) as connection:
                yield connection
            if cuts:
                cuts.pop()
                raise OperationalError("COMMIT", None, psycopg.OperationalError("connection lost"))

        monkeypatch.setattr(journal._store, "writing", cut_after)
        journal.append(record(2, DETAIL))
        journal.append(record(3, FINISHED))
        assert [r.seq for r in journal.records("r1")] == [1, 2, 3]
        assert journal.check("r1").fault == ""


def test_a_run_holds_while_its_server_is_away_for_a_moment(folder, server):
    playbooks, gone = FakePlaybooks(), threading.Event()

    def away(number):
        if number == 9:
            server.stop()
            gone.set()

    with open_journal(folder) as journal, ThreadPoolExecutor(1) as pool:
        running = pool.submit(recover_into, journal, playbooks, before_each=away)
        assert gone.wait(60)
        time.sleep(1.5)
        server.start()  # by this thread: it ends with the thread that started it
        running.result(timeout=60)
        assert_whole(journal, playbooks)


def test_when_its_server_stays_away_the_run_stops_and_goes_on_later_from_what_is_there(
    folder, server, monkeypatch
):
    monkeypatch.setattr(journal_writer, "HOLD_SECONDS", 1.0)
    playbooks = FakePlaybooks()
    try:
        with open_journal(folder) as journal:
            with pytest.raises(JournalError) as caught:
                recover_into(
                    journal,
                    playbooks,
                    before_each=lambda number: server.stop() if number == 12 else None,
                )
            assert not playbooks.running
            assert "drcli resume" in caught.value.hint
            assert "canary" not in caught.value.message
            started = list(playbooks.started)
            with pytest.raises(JournalError):
                journal.asked("r1", after=0)
    finally:
        server.start()
    with open_journal(folder) as journal:
        assert len(journal.records("r1")) == 11
        recover_into(journal, playbooks)
        assert playbooks.started[: len(started)] == started
        assert fold(journal.records("r1")).outcome is RunOutcome.RECOVERED
        assert journal.check("r1").fault == ""


def test_two_controllers_make_the_tables_at_once(folder):
    errors = []

    def make():
        try:
            open_journal(folder).close()
        except JournalError as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert errors == []
    with read_journal(folder) as journal:
        assert journal.runs() == ()


def test_a_controller_paused_in_a_transaction_holds_up_the_others_for_some_seconds_only(folder):
    with open_journal(folder) as paused, open_journal(folder) as other:
        mine, _ = paused.take("lab-a", me("r1"))
        with contextlib.suppress(DatabaseError), paused._store.writing(now=True) as connection:
            connection.exec_driver_sql("SELECT * FROM leases FOR UPDATE")
            assert other.take("lab-a", me("r2")) == (mine, False)
        paused.append(record(1, STARTED))  # awake again, and still the holder: it goes on
        assert paused.renew()


def test_runs_of_an_own_journal_are_brought_over_with_their_chain(
    folder, database, drcli, tmp_path, monkeypatch
):
    monkeypatch.delenv("DRCLI_JOURNAL")
    playbooks = FakePlaybooks()
    records = run_to_end(plan_of(GRAPH), playbooks, FakeGates(repaired_by=playbooks))
    shared = {"DRCLI_JOURNAL": database.address}
    with open_journal(folder) as own:
        for one in records[:10]:
            own.append(one)
        done = drcli("journal", "merge", cwd=tmp_path, env=shared)
        assert done.returncode == 0, done.stderr
        assert "r1: 10 records brought over" in done.stdout
        for one in records[10:]:
            own.append(one)
        head = own.head("r1")
    for new in (len(records) - 10, 0):
        done = drcli("journal", "merge", cwd=tmp_path, env=shared)
        assert f"r1: {new} records brought over" in done.stdout, done.stderr
    monkeypatch.setenv("DRCLI_JOURNAL", database.address)
    with read_journal(folder) as journal:
        assert journal.records("r1") == tuple(records)
        assert journal.head("r1") == head
        assert journal.check("r1").fault == ""
    database.execute("UPDATE records SET hash = 'f' WHERE seq = (SELECT max(seq) FROM records)")
    done = drcli("journal", "merge", cwd=tmp_path, env=shared)
    assert (done.returncode, "is another one from record" in done.stderr) == (1, True)
