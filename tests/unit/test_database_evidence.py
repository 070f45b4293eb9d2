"""What the database's own host command says of a lock that a power cut left, whatever is in it."""

from __future__ import annotations

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

COMMAND = Path(__file__).parents[2] / "playbooks/roles/database/files/database-evidence"
NOBODY = 4_000_000  # above any process number of the kernel's default
WHOLE = f"{NOBODY}\n/srv/data\n1764300000\n5432\n/run/postgresql\n\n 12345 0\nready\n"


@pytest.fixture(scope="module")
def evidence():
    loader = SourceFileLoader("database_evidence", str(COMMAND))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


def test_no_lock_is_no_lock(evidence, tmp_path):
    assert evidence.lock(tmp_path, []) is None


@pytest.mark.parametrize("length", range(0, len(WHOLE) + 1, 7))
def test_a_lock_torn_anywhere_is_stale_when_nobody_runs(evidence, tmp_path, length):
    (tmp_path / "postmaster.pid").write_text(WHOLE[:length])
    assert evidence.lock(tmp_path, [])["stale"] is True
    assert evidence.lock(tmp_path, [1])["stale"] is False


@pytest.mark.parametrize(
    "content", [b"\0" * 60, b"\xff\xfe\x00", b"12\n\n\n\n\n\n 77\n", b"\n" * 9]
)
def test_a_lock_of_garbage_is_stale_when_nobody_runs(evidence, tmp_path, content):
    (tmp_path / "postmaster.pid").write_bytes(content)
    assert evidence.lock(tmp_path, [])["stale"] is True


def test_a_data_directory_that_cannot_be_read_is_said_in_one_line(evidence, tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "postmaster.pid")

    monkeypatch.setattr(evidence, "evidence", refuse)
    monkeypatch.setattr(evidence.sys, "argv", ["database-evidence", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"Permission denied: 'postmaster.pid'"):
        evidence.main()


RECORD = "rmgr: Heap  len (rec/tot): 59/59, tx: 7, lsn: {}, prev 0/00000000, desc: INSERT off 1\n"
ENDS = {
    "half a record": "error in WAL record at 0/30000D8: invalid record length at 0/3000110",
    "no next segment after a switch": 'could not find file "000000010000000000000004"',
    "an empty segment": "error in WAL record at 0/30000D8: invalid magic number 0000",
}


@pytest.fixture
def waldump(evidence, tmp_path, monkeypatch):
    """Put a stand-in for pg_waldump in place that prints these records, and how the log ends."""

    def make(*records, says):
        printed = "".join(RECORD.format(at) for at in records)
        (tmp_path / "records").write_text(printed)
        (tmp_path / "says").write_text(f"pg_waldump: error: {says}\n")
        script = f"#!/bin/sh\ncat {tmp_path}/records\ncat {tmp_path}/says >&2\nexit 1\n"
        (tmp_path / "pg_waldump").write_text(script)
        (tmp_path / "pg_waldump").chmod(0o755)
        monkeypatch.setattr(evidence, "BIN", tmp_path)

    return make


@pytest.mark.parametrize("says", ENDS.values(), ids=ENDS)
def test_the_log_ends_at_its_last_record_however_it_ends(evidence, tmp_path, waldump, says):
    waldump("0/03000028", "0/030000D8", says=says)
    assert evidence.last_record(tmp_path, 1, 0x3000028) == 0x30000D8


def test_a_log_without_a_record_ends_where_it_was_read_from(evidence, tmp_path, waldump):
    waldump(says="could not find a valid record after 0/3000028")
    assert evidence.last_record(tmp_path, 2, 0x3000028) == 0x3000028


def test_a_host_without_data_says_as_much_of_itself_as_one_with_data(
    evidence, tmp_path, monkeypatch
):
    (tmp_path / "pg_wal").mkdir()
    (tmp_path / "PG_VERSION").write_text("15\n")
    says = {
        "Latest checkpoint's TimeLineID": "1",
        "Latest checkpoint's REDO location": "0/3000028",
        "Database system identifier": "7",
        "Database cluster state": "shut down",
    }
    monkeypatch.setattr(evidence, "control", lambda _: says)
    monkeypatch.setattr(evidence, "last_record", lambda *_: 0)
    present = evidence.evidence(tmp_path)
    (tmp_path / "empty").mkdir()
    absent = evidence.evidence(tmp_path / "empty")
    assert absent.keys() == present.keys()
    assert not absent["present"]
