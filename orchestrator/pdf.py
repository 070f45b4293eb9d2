"""A page as PDF, by WeasyPrint (the extra `pdf`); like the page it asks nobody for anything."""

from __future__ import annotations

import re
from typing import NoReturn

from orchestrator.errors import MachineError

_LIBRARIES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"


def pdf_of(page: str) -> bytes:
    """An HTML page as PDF.

    Raises:
        MachineError: WeasyPrint or a library that it draws with is not installed.
    """
    try:
        from weasyprint import HTML  # noqa: PLC0415 -- of those who want a PDF alone
    except ImportError as error:
        raise MachineError(
            "a PDF needs WeasyPrint, which is not installed", hint="pip install 'drcli[pdf]'"
        ) from error
    except OSError as error:
        raise MachineError(
            f"a PDF needs libraries that are not installed: {error}",
            hint=f"As root: apt-get install --no-install-recommends {_LIBRARIES}",
        ) from error
    drawn: bytes = HTML(string=_coloured(page), url_fetcher=_refused).write_pdf()
    return drawn


def _coloured(page: str) -> str:
    """The page with a style inside of each picture: WeasyPrint gives pictures none of the page's.

    Colours are those that the page has on paper, which its style names last.
    """
    colours = dict(re.findall(r"(--[a-z]+):(#[0-9a-f]+)", page))
    rules = re.findall(r"[^{}]+\{(?:fill|stroke)[^}]*\}", page)
    style = re.sub(r"var\((--[a-z]+)\)", lambda m: colours.get(m[1], "#000"), "".join(rules))
    style = style.replace("svg ", "")
    return re.sub(r"(<svg\b[^>]*>)", rf"\1<style>{style}</style>", page)


def _refused(url: str, *_: object, **__: object) -> NoReturn:
    raise ValueError(f"a report asks nobody for anything: {url}")
