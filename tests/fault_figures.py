"""The table of `make faults`: loaded with `-p fault_figures`, it counts, prints, writes the page.

A test that tries a fault says so by `record_property("fault", KIND)`, once for each time, and by
`record_property("events_lost", N)` how many events had been shown and were not in the journal.
`record_property("figure", "WHAT: HOW MUCH")` is a line below the table. What stands on the page of
kinds that were not tried this time stays.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs/reliability.md"
HEAD = "<!-- figures: written by `make faults` -->"
END = "<!-- end of figures -->"
ALL = "**all**"
_BETWEEN = re.compile(f"{re.escape(HEAD)}(.*){re.escape(END)}", re.DOTALL)
_ROW = re.compile(r"^\| (.+?) \| (\d+) \| (\d+) \| (\d+) \|$", re.MULTILINE)
_LINE = re.compile(r"^- (.+)$", re.MULTILINE)


@dataclass
class Row:
    """What came of one kind of fault."""

    tried: int = 0
    survived: int = 0
    lost: int = 0


rows: dict[str, Row] = {}
lines: dict[str, str] = {}


def pytest_runtest_logreport(report) -> None:
    """Count what one test says it has tried."""
    if report.when != "call" or report.skipped:
        return
    lost = sum(value for name, value in report.user_properties if name == "events_lost")
    for kind in (value for name, value in report.user_properties if name == "fault"):
        row = rows.setdefault(kind, Row())
        row.tried += 1
        row.survived += report.passed
        row.lost, lost = row.lost + lost, 0
    for value in (value for name, value in report.user_properties if name == "figure"):
        lines[value.partition(":")[0]] = value


def pytest_terminal_summary(terminalreporter) -> None:
    """Show the table, and put it on the page."""
    if rows or lines:
        text = PAGE.read_text(encoding="utf-8")
        figures = table(text)
        terminalreporter.write_line(f"\n{figures}")
        PAGE.write_text(
            _BETWEEN.sub(lambda _: f"{HEAD}\n\n{figures}\n\n{END}", text), encoding="utf-8"
        )


def table(page: str) -> str:
    """The figures as Markdown: those of this session over those that the page had."""
    [before] = _BETWEEN.findall(page)
    known = {kind: Row(*map(int, counts)) for kind, *counts in _ROW.findall(before)}
    known |= rows
    known.pop(ALL, None)
    told = {line.partition(":")[0]: line for line in _LINE.findall(before)} | lines
    total = Row(
        tried=sum(row.tried for row in known.values()),
        survived=sum(row.survived for row in known.values()),
        lost=sum(row.lost for row in known.values()),
    )
    body = [
        f"| {kind} | {row.tried} | {row.survived} | {row.lost} |"
        for kind, row in [*sorted(known.items()), (ALL, total)]
    ]
    head = ["| fault | tried | survived | events lost |", "|---|---:|---:|---:|"]
    return "\n".join([*head, *body, "", *(f"- {line}" for line in sorted(told.values()))]).strip()
