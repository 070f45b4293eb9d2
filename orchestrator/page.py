"""Draws pages from values: HTML in one file that asks nobody for anything, and Markdown.

The only module that knows Jinja2. All that is put into HTML is escaped by the template engine; what
is put into Markdown is escaped by `marked`, which every value there goes through.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from orchestrator.gantt import bars, ticks
from orchestrator.report import duration

Format = Literal["html", "md"]

# What could be a mark in Markdown, or HTML that it lets through; then what is one only at the
# beginning of a line.
_MARKS = re.compile(r"([\\`*_\[\]<>#|&~$@])")
_FIRST = re.compile(r"^(\d*)([.)]|[-+=]+)(?=\s|$)")


class _Typed(str):
    """A command in Markdown, in a fence of backticks already."""

    __slots__ = ()


def draw(name: str, shape: Format, **values: object) -> str:
    """The page `name` (report, plan) with these values; any text in them may be hostile."""
    environment = _environment(shape)
    return environment.get_template(f"{name}.{shape}").render(**values)


def marked(value: object) -> str:
    """A value as plain text of Markdown: one line, in which nothing is a mark."""
    if isinstance(value, _Typed):
        return value
    text = " ".join(str(value).split())
    text = _MARKS.sub(r"\\\1", text).replace("://", r"\://")
    return _FIRST.sub(r"\1\\\2", text)


def typed(command: str) -> str:
    """A command in Markdown, to be typed as it stands: between more backticks than it has."""
    text = " ".join(command.split())
    longest = max((len(found) for found in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return _Typed(f"{fence} {text} {fence}" if longest else f"{fence}{text}{fence}")


def moment(at: datetime) -> str:
    """A time for a page that may be read anywhere: in UTC, and said so."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def _environment(shape: Format) -> Environment:
    environment = Environment(
        loader=PackageLoader("orchestrator", "pages"),
        autoescape=shape == "html",  # noqa: S701 -- Markdown's escaping is `marked`
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    if shape == "md":
        environment.finalize = marked
        environment.filters["typed"] = typed
    environment.filters |= {"duration": duration, "moment": moment}
    environment.globals |= {"bars": bars, "ticks": ticks}
    return environment
