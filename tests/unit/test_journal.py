"""The journal keeps every record, refuses what is not its own, and serves views in a crisis."""

from __future__ import annotations

import os
import sqlite3
import subprocess

import pytest
from journal_behaviours import *  # noqa: F403 -- what a journal does wherever it is kept
from journal_behaviours import (
    DETAIL,
    FINISHED,
    NOON,
    STARTED,
    check,
    in_a_child,
    mixed_run,
    read,
    record,
    seen,
)
from sqlalchemy import event

from orchestrator import journal_file
from orchestrator.errors import JournalError, MachineError
from orchestrator.events import TaskStarted
from orchestrator.journal import open_journal, read_journal
from orchestrator.journal_file import FILE_NAME, RESERVE_NAME
from orchestrator.state import fold


class Database:
    """What journal_behaviours.py needs to know of the journal's file."""

    words = {"serial": "INTEGER", "float": "FLOAT", "false": "0"}  # noqa: RUF012
    false = "0"

    def __init__(self, path):
        self.path = path

    def make(self, *statements):
        self.path.parent.mkdir(mode=0o700)
        raw = sqlite3.connect(self.path)
        raw.execute("PRAGMA journal_mode=WAL")
        raw.close()
        self.execute(*statements)

    def execute(self, *statements):
        raw = sqlite3.connect(self.path)
        with raw:
            for statement in statements:
                raw.execute(statement)
        raw.close()

    def content(self):
        return self.path.read_bytes()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def database(folder):
    return Database(folder / FILE_NAME)


def test_folder_and_files_are_for_their_owner_alone(written):
    assert written.stat().st_mode & 0o777 == 0o700
    with open_journal(written) as journal:
        journal.append(record(3, FINISHED))
        modes = {p.name: p.stat().st_mode & 0o777 for p in written.iterdir()}
    assert modes
    assert set(modes.values()) == {0o600}


def test_every_commit_is_synchronous_and_in_write_ahead_mode(folder):
    with open_journal(folder) as journal, journal._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_a_file_that_is_no_database_is_named_with_the_way_out(folder):
    folder.mkdir()
    (folder / FILE_NAME).write_bytes(b"not a database at all" * 300)
    with pytest.raises(JournalError, match="damaged") as caught:
        open_journal(folder)
    assert f"mv {folder / FILE_NAME}" in caught.value.hint
    assert (folder / FILE_NAME).read_bytes().startswith(b"not a database")


def test_a_zeroed_page_is_found_before_a_run_begins(folder):
    with open_journal(folder) as journal:
        for seq in range(1, 200):
            journal.append(
                record(seq, TaskStarted(component="dns", play="p", task=f"task {seq}" * 9))
            )
    path = folder / FILE_NAME
    content = bytearray(path.read_bytes())
    content[4096 * 4 : 4096 * 5] = bytes(4096)
    path.write_bytes(content)
    with pytest.raises(JournalError, match="damaged"):
        open_journal(folder)


def test_a_state_directory_that_is_a_file_is_an_error_with_a_hint(tmp_path):
    (tmp_path / "state").write_text("")
    with pytest.raises(MachineError, match="cannot use the state directory") as caught:
        open_journal(tmp_path / "state")
    assert "--state-dir" in caught.value.hint


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB that can be filled, and turned read-only."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mount = tmp_path / "disk"
    mount.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr!r}")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


def fill(disk):
    """Fill the disk to its last page."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            return


def test_on_a_full_disk_the_reserve_lets_the_run_write_down_how_it_stopped(small_disk):
    with open_journal(small_disk / "state") as journal:
        journal.append(record(1, STARTED))
        fill(small_disk)
        seq = 2
        while not journal.disk_full:
            journal.append(record(seq, TaskStarted(component="dns", play="p", task="t" * 3000)))
            seq += 1
        journal.append(record(seq, FINISHED))
        assert not (small_disk / "state" / RESERVE_NAME).exists()
    assert read(small_disk / "state")[-1] == record(seq, FINISHED)


def test_a_full_disk_without_reserve_is_an_error_and_what_was_written_stays(small_disk):
    folder = small_disk / "state"
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        (folder / RESERVE_NAME).unlink()
        fill(small_disk)
        task = TaskStarted(component="dns", play="p", task="t" * 3000)
        with pytest.raises(JournalError, match="full") as caught:
            list(map(journal.append, (record(seq, task) for seq in range(2, 2000))))
        assert "Free space" in caught.value.hint
        known = len(read(folder))
        assert known >= 1
    assert len(read(folder)) == known


def test_views_read_a_journal_on_a_read_only_file_system(small_disk):
    folder = small_disk / "state"
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert read(folder) == (record(1, STARTED),)
    with pytest.raises(JournalError, match="cannot be written"):
        open_journal(folder)


def test_views_read_a_journal_whose_writer_died_before_the_file_system_became_read_only(small_disk):
    folder = small_disk / "state"

    def write_and_die():
        open_journal(folder).append(record(1, STARTED))
        os.kill(os.getpid(), 9)

    assert in_a_child(write_and_die) == -9
    for index in folder.glob("*-shm"):
        index.unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert read(folder) == (record(1, STARTED),)


def test_no_view_reads_the_whole_journal(folder):
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
        queries = [(sql, values) for sql, values in asked if sql.startswith("SELECT")]
        assert len(queries) > 6
        with journal._engine.connect() as connection:
            for sql, values in queries:
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", values)
                assert not [row for row in plan if row[3].startswith("SCAN records")], sql


def test_the_disk_is_waited_for_with_each_record_but_a_detail(folder):
    with open_journal(folder) as journal:

        def synchronous_after(one):
            journal.append(one)
            with journal._engine.connect() as connection:
                return connection.exec_driver_sql("PRAGMA synchronous").scalar()

        assert synchronous_after(record(1, STARTED)) == 2
        assert synchronous_after(record(2, DETAIL)) == 1
        assert synchronous_after(record(3, check("failed"))) == 2
        assert synchronous_after(record(4, check("passed"))) == 1
        assert synchronous_after(record(5, FINISHED)) == 2


def test_a_view_reads_an_older_journal_and_leaves_it_as_it_is(folder, old):
    before = (folder / FILE_NAME).read_bytes()
    with read_journal(folder) as journal:
        assert seen(journal.state("r1")) == seen(fold(old))
        assert [line.run for line in journal.runs(site="lab-a")] == ["r1"]
    assert (folder / FILE_NAME).read_bytes() == before


def test_a_view_of_an_older_journal_s_chain_reads_a_copy_that_is_chained(folder, old):
    with read_journal(folder, chained=True) as journal:
        found = journal.check("r1")
    assert (found.fault, found.late) == ("", len(old))


def test_a_file_that_is_there_is_never_taken_for_a_new_journal(folder):
    """An empty one, one without tables, a log without its file: what they held is lost."""
    for name, content in ((FILE_NAME, b""), (f"{FILE_NAME}-wal", b"x" * 100)):
        folder.mkdir(mode=0o700, exist_ok=True)
        path = folder / name
        path.write_bytes(content)
        with pytest.raises(JournalError, match="damaged"):
            open_journal(folder)
        with pytest.raises(JournalError, match="damaged"), read_journal(folder):
            pass
        assert path.read_bytes() == content
        path.unlink()
    sqlite3.connect(folder / FILE_NAME).execute("PRAGMA journal_mode=WAL")
    with pytest.raises(JournalError, match="holds no journal"):
        open_journal(folder)


def test_many_processes_make_the_journal_at_once_and_all_write_to_it(folder):
    def write(number):
        with open_journal(folder) as journal:
            journal.append(record(1, STARTED, run=f"run-{number}"))
        os._exit(0)

    children = [os.fork() or write(number) for number in range(8)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    with read_journal(folder) as journal:
        assert len(journal.runs()) == 8
    assert {path.name for path in folder.iterdir()} <= {
        FILE_NAME,
        RESERVE_NAME,
        f"{FILE_NAME}-wal",
        f"{FILE_NAME}-shm",
    }


def test_the_check_of_a_long_journal_ends_in_time_and_the_run_begins(folder, monkeypatch):
    with open_journal(folder) as journal:
        for seq in range(1, 400):
            journal.append(record(seq, DETAIL))
    monkeypatch.setattr(journal_file, "CHECK_SECONDS", -1.0)
    with open_journal(folder) as journal:
        assert len(journal.records("r1")) == 399


def test_a_process_that_does_not_give_way_is_an_error_and_nothing_is_asked(folder, monkeypatch):
    monkeypatch.setattr("orchestrator.journal_file.BUSY_SECONDS", 0.1)
    with open_journal(folder) as journal:
        other = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="held by another process"):
            journal.ask("r1", "{}", by="ada", at=NOON)
        other.execute("ROLLBACK")
        other.close()
        assert journal.asked("r1", after=0) == ()
