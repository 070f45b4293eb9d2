"""What gates take for acknowledged: a lab's ledger that is gone must not read as nothing lost."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[2] / "playbooks" / "conftest.py"


@pytest.fixture(scope="module")
def read_ledger():
    spec = importlib.util.spec_from_file_location("what_gates_share", CONFTEST)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read_ledger


def test_a_site_that_is_no_lab_has_no_ledger_to_answer_for(read_ledger, tmp_path):
    assert read_ledger(tmp_path / "room-a", "row") == []


def test_a_lab_whose_ledger_is_gone_is_red(read_ledger, tmp_path):
    with pytest.raises(AssertionError, match="is gone: nobody knows"):
        read_ledger(tmp_path, "row")


def test_a_lab_that_acknowledged_nothing_of_the_kind_is_red(read_ledger, tmp_path):
    (tmp_path / "ledger.jsonl").write_text('{"kind": "study", "uid": "1.2"}\n')
    with pytest.raises(AssertionError, match="no acknowledged row"):
        read_ledger(tmp_path, "row")


def test_whole_lines_of_the_kind_are_read(read_ledger, tmp_path):
    lines = '{"kind": "row", "id": 1}\n{"kind": "study", "uid": "1.2"}\n{"kind": "row", "id": 2'
    (tmp_path / "ledger.jsonl").write_text(lines)
    assert read_ledger(tmp_path, "row") == [{"kind": "row", "id": 1}]
