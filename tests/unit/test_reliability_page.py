"""docs/reliability.md names every fault of the catalogue, and only tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import fault_figures
import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs/reliability.md").read_text(encoding="utf-8")
FAULTS = 40
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
ROWS = re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE)


def test_every_fault_has_its_row_in_order():
    assert [int(number) for number, _ in ROWS] == list(range(1, FAULTS + 1))


@pytest.mark.parametrize(("number", "row"), ROWS)
def test_each_row_has_a_test_or_a_reason(number, row):
    fault, _, tests = row.split(" | ")[0], row.split(" | ")[1], row.split(" | ")[-1]
    assert fault
    assert re.search(r"::\w+`|\bnone\b", tests)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_that_is_named_exists(file, name):
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_the_page_takes_the_figures_of_a_session_and_keeps_the_others(monkeypatch):
    had = "| kill | 3 | 3 | 0 |\n| **all** | 3 | 3 | 0 |\n\n- soak: flat\n"
    page = f"before {fault_figures.HEAD}{had}{fault_figures.END} after"
    monkeypatch.setattr(fault_figures, "rows", {"stop": fault_figures.Row(2, 1, 4)})
    monkeypatch.setattr(fault_figures, "lines", {})
    assert fault_figures.table(page).splitlines()[2:] == [
        "| kill | 3 | 3 | 0 |",
        "| stop | 2 | 1 | 4 |",
        "| **all** | 5 | 4 | 4 |",
        "",
        "- soak: flat",
    ]
    assert len(re.findall(f"{fault_figures.HEAD}.*{fault_figures.END}", PAGE, re.DOTALL)) == 1
