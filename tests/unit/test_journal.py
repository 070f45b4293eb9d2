"""The journal keeps every record, refuses what is not its own, and serves views in a crisis."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from datetime import UTC, datetime

import pytest

from orchestrator.errors import JournalError, MachineError
from orchestrator.events import (
    PlannedComponent,
    Record,
    RunFinished,
    RunOutcome,
    RunStarted,
    TaskStarted,
    UnknownEvent,
)
from orchestrator.journal import open_journal, read_journal
from orchestrator.state import fold
from orchestrator.state_directory import JOURNAL

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
DNS = PlannedComponent(name="dns", layer="network", hosts=("ns1", "ns2"))
STARTED = RunStarted(site="lab-a", plan_hash="0" * 64, components=(DNS,))
FINISHED = RunFinished(outcome=RunOutcome.RECOVERED, seconds=2.5)
TASK = TaskStarted(component="dns", play="p", task="Start it")


def record(seq, event, run="r1"):
    return Record(run=run, seq=seq, at=NOON, elapsed=float(seq), event=event)


def read(folder, run="r1"):
    with read_journal(folder) as journal:
        return journal.records(run)


def execute(folder, statement):
    raw = sqlite3.connect(folder / JOURNAL)
    with raw:
        raw.execute(statement)
    raw.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def written(folder):
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        journal.append(record(2, FINISHED))
    return folder


def test_records_come_back_as_they_were_appended(written):
    assert read(written) == (record(1, STARTED), record(2, FINISHED))
    with read_journal(written) as journal:
        assert journal.state("r1") == fold(read(written))
        assert journal.records("r2") == ()


def test_a_record_is_readable_by_another_before_append_returns(folder):
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        assert read(folder) == (record(1, STARTED),)


def test_a_record_is_there_when_the_writer_is_killed_right_after_append(folder):
    child = os.fork()
    if not child:
        open_journal(folder).append(record(1, STARTED))
        os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert read(folder) == (record(1, STARTED),)


def test_every_commit_is_synchronous_and_in_write_ahead_mode(folder):
    with open_journal(folder) as journal, journal._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"


def test_folder_and_files_are_for_their_owner_alone(written):
    with open_journal(written) as journal:
        journal.append(record(3, FINISHED))
        modes = {path.stat().st_mode & 0o777 for path in written.iterdir()}
    assert (written.stat().st_mode & 0o777, modes) == (0o700, {0o600})


@pytest.mark.parametrize("seq", [1, 2, 4], ids=["again", "duplicate", "gap"])
def test_a_gap_or_a_duplicate_is_refused_and_nothing_is_written(written, seq):
    with open_journal(written) as journal:
        with pytest.raises(JournalError, match="is not its next one"):
            journal.append(record(seq, FINISHED))
        assert len(journal.records("r1")) == 2


def test_two_writers_of_one_run_are_told_apart_and_nothing_is_written_twice(folder):
    with open_journal(folder) as one, open_journal(folder) as other:
        one.append(record(1, STARTED))
        other.append(record(2, TASK))
        with pytest.raises(JournalError, match="is not its next one"):
            one.append(record(2, FINISHED))
        assert [r.event.kind for r in one.records("r1")] == ["run_started", "task_started"]


def test_runs_are_listed_in_order_of_arrival_whatever_the_clock_says(folder):
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED, run="first"))
        past = NOON.replace(year=1970)
        other = STARTED.model_copy(update={"site": "lab-b"})
        journal.append(Record(run="second", seq=1, at=past, elapsed=0, event=other))
        assert [(line.run, line.site) for line in journal.runs()] == [
            ("first", "lab-a"),
            ("second", "lab-b"),
        ]
        assert [line.run for line in journal.runs("lab-b")] == ["second"]
        assert journal.runs("lab-b")[0].started_at == past


def test_an_event_of_a_newer_drcli_is_kept_not_refused(written):
    execute(
        written,
        "insert into records(run, seq, at, elapsed, kind, site, event) values "
        f"('r1', 3, '{NOON.isoformat()}', 3.0, 'moon_landed', '', "
        """'{"kind": "moon_landed", "on": 1}')""",
    )
    last = read(written)[-1].event
    assert isinstance(last, UnknownEvent)
    assert last.model_dump() == {"kind": "moon_landed", "on": 1}


@pytest.mark.parametrize("content", ['{"kind": "run_finished"}', "no JSON", "[1]", "", "[" * 9999])
def test_an_event_that_is_not_what_it_should_be_is_kept_as_unknown(written, content):
    execute(written, f"update records set event = '{content}', at = 'soon' where seq = 2")
    last = read(written)[-1]
    assert isinstance(last.event, UnknownEvent)
    assert last.at.year == 1970


def test_an_event_with_any_character_comes_back(folder):
    odd = record(2, TASK.model_copy(update={"task": "a\x00b\u2028\U0001f9ef'\\\x1b[31m"}))
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        journal.append(odd)
    assert read(folder)[-1] == odd


def test_where_there_is_no_journal_a_view_makes_none(folder):
    assert read_journal(folder) is None
    assert not folder.exists()


@pytest.mark.parametrize("opened", [open_journal, read_journal])
def test_a_journal_of_a_newer_drcli_is_refused_untouched(written, opened):
    execute(written, "PRAGMA user_version=99")
    before = (written / JOURNAL).read_bytes()
    with pytest.raises(JournalError, match="written by a newer drcli") as caught:
        opened(written)
    assert "newer drcli" in caught.value.hint
    assert (written / JOURNAL).read_bytes() == before


DAMAGE = {
    "empty": b"",
    "zeros": bytes(20_000),
    "another file": b"not a database at all" * 300,
    "cut off": b"SQLite format 3\x00",
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("opened", [open_journal, read_journal])
def test_a_damaged_file_is_named_with_the_way_out_and_never_begun_anew(written, opened, content):
    path = written / JOURNAL
    path.write_bytes(content)
    with pytest.raises(JournalError, match="damaged") as caught:
        opened(written)
    assert f"mv {path} {path}.damaged" in caught.value.hint
    assert path.read_bytes() == content


@pytest.mark.parametrize("opened", [open_journal, read_journal])
def test_a_database_without_a_journal_and_a_log_without_its_file_are_damage(folder, opened):
    folder.mkdir(mode=0o700)
    log = folder / f"{JOURNAL}-wal"
    log.write_bytes(b"x" * 100)
    with pytest.raises(JournalError, match="the journal beside it is gone"):
        opened(folder)
    log.unlink()
    execute(folder, "create table other(one)")
    with pytest.raises(JournalError, match="holds no journal"):
        opened(folder)


def test_a_zeroed_page_is_found_before_a_run_begins(folder):
    with open_journal(folder) as journal:
        for seq in range(1, 100):
            journal.append(record(seq, TASK.model_copy(update={"task": f"task {seq}" * 20})))
    path = folder / JOURNAL
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


def test_a_process_that_does_not_give_way_is_an_error(folder, monkeypatch):
    monkeypatch.setattr("orchestrator.journal.BUSY_SECONDS", 0.1)
    with open_journal(folder) as journal:
        other = sqlite3.connect(folder / JOURNAL, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="held by another process"):
            journal.append(record(1, STARTED))
        other.execute("ROLLBACK")
        other.close()
        journal.append(record(1, STARTED))


def test_many_processes_make_the_journal_at_once_and_all_write_to_it(folder):
    def write(number):
        code = 1
        try:
            with open_journal(folder) as journal:
                for seq in range(1, 6):
                    journal.append(record(seq, TASK if seq > 1 else STARTED, run=f"run-{number}"))
            code = 0
        finally:
            os._exit(code)

    children = [os.fork() or write(number) for number in range(6)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 6
    with read_journal(folder) as journal:
        assert len(journal.runs()) == 6
        assert {len(journal.records(line.run)) for line in journal.runs()} == {5}
    assert not list(folder.glob(".journal-*"))


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB that can be filled, and turned read-only."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mount = tmp_path / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount], check=True)
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


def test_a_full_disk_is_an_error_and_what_was_written_stays(small_disk):
    folder = small_disk / "state"
    with open_journal(folder) as journal:
        journal.append(record(1, STARTED))
        (small_disk / "filler").write_bytes(bytes(3_500_000))
        task = TASK.model_copy(update={"task": "t" * 3000})
        with pytest.raises(JournalError, match="full") as caught:
            list(map(journal.append, (record(seq, task) for seq in range(2, 2000))))
        assert "Free space" in caught.value.hint
        known = len(journal.records("r1"))
    assert len(read(folder)) == known >= 2


@pytest.mark.parametrize("died", [False, True], ids=["ended", "killed"])
def test_on_a_read_only_file_system_views_go_on_and_a_run_is_refused(small_disk, died):
    folder = small_disk / "state"
    child = os.fork()
    if not child:
        with open_journal(folder) as journal:
            journal.append(record(1, STARTED))
            if died:
                os.kill(os.getpid(), 9)
        os._exit(0)
    os.waitpid(child, 0)
    for index in folder.glob("*-shm"):
        index.unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    assert read(folder) == (record(1, STARTED),)
    with pytest.raises(JournalError, match="cannot be used: it may only be read") as caught:
        open_journal(folder)
    assert "--state-dir" in caught.value.hint
