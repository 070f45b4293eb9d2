"""`drcli journal`: what was recorded can be checked, also away from its journal."""

from __future__ import annotations

import json
import sqlite3

import pytest
from engine import FakeGates, FakePlaybooks, plan_of, run_to_end

from orchestrator.journal import open_journal

GRAPH = {"routing": (), "dns": ("routing",)}


@pytest.fixture
def journal(tmp_path):
    """A journal with one run, r1."""
    playbooks = FakePlaybooks()
    gates = FakeGates(repaired_by=playbooks)
    with open_journal(tmp_path / "state") as one:
        for record in run_to_end(plan_of(GRAPH), playbooks, gates):
            one.append(record)
    return tmp_path / "state" / "journal.db"


def edit(path, statement):
    raw = sqlite3.connect(path)
    with raw:
        raw.execute(statement)
    raw.close()


def head_of(said):
    return said.partition("head ")[2].split()[0]


def test_a_journal_that_nobody_touched_is_verified_and_what_cannot_be_found_is_said(
    drcli, journal, tmp_path
):
    done = drcli("journal", "verify", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "r1  " in done.stdout
    assert "1 runs verified" in done.stdout
    assert "an end that was cut off" in done.stdout
    shown = drcli("show", cwd=tmp_path)
    assert head_of(shown.stdout) == head_of(done.stdout)
    assert json.loads(drcli("show", "--json", cwd=tmp_path).stdout)["head"] == head_of(done.stdout)


def test_an_edit_is_named_with_exit_code_1(drcli, journal, tmp_path):
    edit(journal, "update records set elapsed = elapsed + 1 where seq = 6")
    done = drcli("journal", "verify", "r1", cwd=tmp_path)
    assert done.returncode == 1
    assert "BROKEN: record 6" in done.stdout
    assert "not what drcli has written: run r1: record 6" in done.stderr
    assert "hint: " in done.stderr


def test_a_cut_off_end_is_found_with_the_head_that_was_kept(drcli, journal, tmp_path):
    head = head_of(drcli("show", cwd=tmp_path).stdout)
    assert drcli("journal", "verify", "r1", "--head", head, cwd=tmp_path).returncode == 0
    edit(journal, "delete from records where seq > 6")
    assert drcli("journal", "verify", "r1", cwd=tmp_path).returncode == 0
    done = drcli("journal", "verify", "r1", "--head", head, cwd=tmp_path)
    assert done.returncode == 1
    assert "its end was cut off" in done.stderr


def test_a_run_that_lost_its_first_record_is_not_passed_over(drcli, journal, tmp_path):
    edit(journal, "delete from records where seq = 1")
    done = drcli("journal", "verify", cwd=tmp_path)
    assert (done.returncode, "record 1 is missing" in done.stderr) == (1, True)


def test_an_exported_run_is_checked_by_itself(drcli, journal, tmp_path):
    out = tmp_path / "run.jsonl"
    done = drcli("journal", "export", "r1", "--out", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert out.stat().st_mode & 0o777 == 0o600
    assert drcli("journal", "export", "r1", cwd=tmp_path).stdout == out.read_text()
    journal.unlink()
    done = drcli("journal", "verify", "--file", out, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = out.read_text().splitlines(keepends=True)
    for name, wrong in {
        "a field that was put in": [
            *lines[:5],
            lines[5].replace('"seq": 5', '"seq": 5, "x": 0'),
            *lines[6:],
        ],
        "a changed kind": [*lines[:5], lines[5].replace('"kind": "', '"kind": "un'), *lines[6:]],
        "a removal": lines[:5] + lines[6:],
        "a swap": [*lines[:5], lines[6], lines[5], *lines[7:]],
        "a cut": lines[:-1],
    }.items():
        out.write_text("".join(wrong))
        done = drcli("journal", "verify", "--file", out, cwd=tmp_path)
        assert done.returncode == (2 if name.startswith("a field") else 1), (name, done)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff", b"{}", b"[" * 100_000, b"null\nnull", b'{"format": 1}\n{"seq": {}}'],
)
def test_a_file_that_is_no_export_is_an_error_with_exit_code_2(drcli, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    done = drcli("journal", "verify", "--file", "file", cwd=tmp_path)
    assert done.returncode == 2, done
    assert "hint: Export a run again" in done.stderr


def test_wrong_usage_is_said(drcli, journal, tmp_path):
    for words, said in (
        (("verify", "--head", "f"), "--head is of one run"),
        (("verify", "nosuch"), "no run 'nosuch'"),
        (("verify", "r1", "--file", journal), "either RUN or --file"),
        (("export", "nosuch"), "no run 'nosuch'"),
        (("merge",), "no shared journal"),
    ):
        done = drcli("journal", *words, cwd=tmp_path)
        assert (done.returncode, said in done.stderr) == (2, True), done
