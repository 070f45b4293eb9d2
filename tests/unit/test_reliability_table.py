"""The table that long proofs keep in docs/: rows are shown at once, and stand there at the end."""

from __future__ import annotations

import re
import subprocess

import pytest
from reliability.table import Table, code, measured

PAGE = "# Page\n\n<!-- cuts -->\nold\n<!-- end of cuts -->\nafter\n"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.md"
    path.write_text(PAGE)
    return path


def test_its_rows_stand_where_its_name_is_marked(page, capsys):
    with Table("cuts", ("cut", "lost"), page) as table:
        table.row(1, "0 | none")
        assert capsys.readouterr().out == "| cut | lost |\n| 1 | 0 \\| none |\n"
    kept = page.read_text()
    assert re.search(r"^Measured on \d{4}-\d\d-\d\d at commit [0-9a-f]{7,}", kept, re.MULTILINE)
    assert "| cut | lost |\n| --- | --- |\n| 1 | 0 \\| none |\n<!-- end of cuts -->\nafter" in kept
    assert "old" not in kept


def test_a_table_that_was_broken_off_leaves_the_page_as_it_was(page):
    def broken_off():
        with Table("cuts", ("cut",), page) as table:
            table.row(1)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken_off()
    assert page.read_text() == PAGE


def test_a_page_without_its_place_is_an_error(page):
    with pytest.raises(ValueError, match="must stand there once, not 0"), Table("x", ("a",), page):
        pass
    assert page.read_text() == PAGE


def git(folder, *words):
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    return subprocess.run(
        ["git", "-C", str(folder), *who, *words], check=True, capture_output=True, text=True
    ).stdout


def test_a_result_is_one_of_the_code_as_it_is(tmp_path):
    git(tmp_path, "init", "-q")
    for name in ("playbooks/dns.yml", "docs/page.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("one\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    before = code(tmp_path)
    commit = git(tmp_path, "rev-parse", "--short=7", "HEAD").strip()
    (tmp_path / "docs/page.md").write_text("a result\n")
    assert code(tmp_path) == before
    assert measured(tmp_path).endswith(f" at commit {commit}.")
    (tmp_path / "playbooks/dns.yml").write_text("two\n")
    assert code(tmp_path) != before
    assert measured(tmp_path).endswith(f" at commit {commit}, with changes that are not committed.")
