"""The table that long proofs keep in docs/: rows are shown at once, and stand there at the end."""

from __future__ import annotations

import pytest
from reliability.table import Table

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
