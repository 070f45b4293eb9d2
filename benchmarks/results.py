"""The table: a row for each question, kept in results.json and drawn from there alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from benchmarks.measure import Sample, Spread, seconds

FILE = Path(__file__).with_name("results.json")
PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
_BEGIN, _END = "<!-- results: written by `make bench` -->\n", "<!-- end of results -->\n"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Question(_Frozen):
    """What one row asks: `what` against `against`, and what is to be reached in `unit`.

    `unit` is `×` for how many times faster, empty for a plain ratio, else a unit of measure.
    """

    name: str
    what: str
    against: str = ""
    unit: Literal["×", "", "s", "ms", "MiB"]
    target: float
    better: Literal["more", "less"]


class Timing(_Frozen):
    """What one side took: seconds and processor seconds, the largest process in MiB."""

    side: str
    median: float
    low: float
    high: float
    runs: int
    cpu: float
    peak_mib: float


class Row(_Frozen):
    """A question and its answer, or why there is none."""

    question: Question
    value: float | None = None
    low: float = 0.0
    high: float = 0.0
    runs: int = 0
    sides: tuple[Timing, ...] = ()
    note: str = ""
    not_run: str = ""
    measured: str = ""
    commit: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the target is; None without an answer."""
        if self.value is None:
            return None
        if self.question.better == "more":
            return self.value >= self.question.target
        return self.value <= self.question.target


class Results(_Frozen):
    """Every row that was measured on one machine."""

    machine: Mapping[str, str]
    rows: tuple[Row, ...] = ()


def answer(
    question: Question,
    found: Spread,
    *,
    samples: Mapping[str, Sequence[Sample]] | None = None,
    note: str = "",
) -> Row:
    """A row, with what each of these sides took."""
    return Row(
        question=question,
        value=found.value,
        low=found.low,
        high=found.high,
        runs=found.runs,
        sides=tuple(_timing(name, several) for name, several in (samples or {}).items()),
        note=note,
    )


def _timing(name: str, several: Sequence[Sample]) -> Timing:
    took = seconds(several)
    return Timing(
        side=name,
        median=took.value,
        low=took.low,
        high=took.high,
        runs=took.runs,
        cpu=sorted(one.cpu for one in several)[len(several) // 2],
        peak_mib=max(one.peak_mib for one in several),
    )


def read(path: Path = FILE) -> Results | None:
    """What was measured before; None when nothing was, or when it cannot be read."""
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def merged(before: Results | None, now: Results, *, order: Sequence[str]) -> Results:
    """The rows of now, and those of before on this same machine that were not answered again."""
    rows = {row.question.name: row for row in now.rows}
    if before and before.machine == now.machine:
        kept = {row.question.name: row for row in before.rows}
        rows = kept | {n: row for n, row in rows.items() if row.value is not None or n not in kept}
    known = [rows[name] for name in order if name in rows]
    return Results(machine=now.machine, rows=tuple(known))


def write(results: Results, path: Path = FILE, page: Path = PAGE) -> None:
    """Keep them, and draw them anew where docs/performance.md shows them."""
    path.write_text(results.model_dump_json(indent=1) + "\n", encoding="utf-8")
    if page.exists():
        page.write_text(drawn_into(page.read_text(encoding="utf-8"), results), encoding="utf-8")


def drawn_into(text: str, results: Results) -> str:
    """A page with its part between the marks drawn from these results.

    Raises:
        ValueError: the page has no such part.
    """
    head, begin, rest = text.partition(_BEGIN)
    _, end, tail = rest.partition(_END)
    if not begin or not end:
        raise ValueError("the page has no place for the results")
    return "".join([head, begin, "\n", markdown(results), "\n", end, tail])


def markdown(results: Results) -> str:
    """The machine, the table, and what every side took."""
    lines = [f"- {what}: {value}" for what, value in results.machine.items()]
    lines += ["", *_table(_HEAD, [_cells(row) for row in results.rows])]
    lines += ["", "What each side took:", ""]
    lines += _table(_SIDES, [cells for row in results.rows for cells in _side_cells(row)])
    return "\n".join(lines) + "\n"


_HEAD = ("row", "what", "against", "measured (lowest to highest)", "to reach", "reached", "when")
_SIDES = ("row", "side", "median", "lowest to highest", "runs", "processor", "largest process")


def plain(results: Results) -> str:
    """The table for a terminal."""
    cells = [_HEAD[1:-1], *(_cells(row)[1:-1] for row in results.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows),
    ]


def _cells(row: Row) -> tuple[str, ...]:
    question = row.question
    sign = "≥" if question.better == "more" else "≤"
    target = f"{sign} {question.target:g} {question.unit}".strip()
    if row.value is None:
        found = row.not_run
    else:
        found = f"{_number(row.value)} {question.unit}".strip()
        if row.runs > 1:
            found += f" ({_number(row.low)} to {_number(row.high)})"
    word = {True: "yes", False: "no", None: ""}[row.reached]
    note = f" {row.note}" if row.note else ""
    when = f"{row.measured} {row.commit}".strip()
    return (question.name, question.what, question.against, found + note, target, word, when)


def _side_cells(row: Row) -> Iterable[tuple[str, ...]]:
    for side in row.sides:
        yield (
            row.question.name,
            side.side,
            f"{_number(side.median)} s",
            f"{_number(side.low)} to {_number(side.high)} s",
            str(side.runs),
            f"{_number(side.cpu)} s",
            f"{side.peak_mib:.0f} MiB",
        )


def _number(value: float) -> str:
    """Three digits that count."""
    if value and abs(value) < 1:
        return f"{value:.3g}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"  # noqa: PLR2004 -- where a digit ends
