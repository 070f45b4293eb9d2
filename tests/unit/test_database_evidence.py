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
