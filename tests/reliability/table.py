"""A table of what was measured: a row printed as soon as it is known, all kept in docs/."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

KEPT = Path(__file__).parents[2] / "docs" / "reliability.md"


class Table:
    """Rows under `heads`; at its end they stand in docs/reliability.md, where its name is marked.

    Without a page they are printed only.

    A table that was broken off leaves the page as it was.
    """

    def __init__(self, name: str, heads: tuple[str, ...], page: Path | None = KEPT) -> None:
        self._name, self._page = name, page
        self._lines = [_line(heads), _line(tuple("---" for _ in heads))]

    def __enter__(self) -> Self:
        print(self._lines[0], flush=True)
        return self

    def row(self, *cells: object) -> None:
        """One more, printed at once."""
        self._lines.append(_line(cells))
        print(self._lines[-1], flush=True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None or self._page is None:
            return
        begin, end = f"<!-- {self._name} -->", f"<!-- end of {self._name} -->"
        when = f"Measured on {datetime.now(UTC):%Y-%m-%d}."
        content = "\n".join((begin, when, "", *self._lines, end))
        text = self._page.read_text(encoding="utf-8")
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        new, count = pattern.subn(lambda _: content, text)
        if count != 1:
            raise ValueError(f"{self._page}: {begin} ... {end} must stand there once, not {count}")
        self._page.write_text(new, encoding="utf-8")


def _line(cells: tuple[object, ...]) -> str:
    clean = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(clean)} |"
