"""A table of what was measured: a row printed as soon as it is known, all kept in docs/."""

from __future__ import annotations

import hashlib
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

PROJECT = Path(__file__).parents[2]
KEPT = PROJECT / "docs" / "reliability.md"
MEASURED = ("orchestrator", "playbooks", "inventories")  # what a result is a result of


def code(project: Path = PROJECT) -> str:
    """Twelve hexadecimal digits that stand for all the code that is measured, committed or not."""
    digest = hashlib.sha256()
    for name in _git(project, "ls-files", "-z", "--", *MEASURED).split("\0"):
        path = project / name
        if name and path.is_file():
            digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def measured(project: Path = PROJECT) -> str:
    """When, and on which commit; a line for the page."""
    changed = _git(project, "status", "--porcelain", "--", *MEASURED)
    commit = _git(project, "rev-parse", "--short=7", "HEAD").strip()
    more = ", with changes that are not committed" if changed else ""
    return f"Measured on {datetime.now(UTC):%Y-%m-%d} at commit {commit}{more}."


def _git(project: Path, *words: str) -> str:
    command = ["git", "-C", str(project), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Table:
    """Rows under `heads`; at its end they stand in docs/reliability.md, where its name is marked.

    Without a page they are printed only.

    A table that was broken off leaves the page as it was.
    """

    def __init__(self, name: str, heads: tuple[str, ...], page: Path | None = KEPT) -> None:
        self._name, self._page = name, page
        self._when = measured()
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
        content = "\n".join((begin, self._when, "", *self._lines, end))
        text = self._page.read_text(encoding="utf-8")
        pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
        new, count = pattern.subn(lambda _: content, text)
        if count != 1:
            raise ValueError(f"{self._page}: {begin} ... {end} must stand there once, not {count}")
        self._page.write_text(new, encoding="utf-8")


def _line(cells: tuple[object, ...]) -> str:
    clean = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells)
    return f"| {' | '.join(clean)} |"
