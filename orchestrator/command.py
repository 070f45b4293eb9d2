"""A command of drcli for a person to type: the one place that puts its words together. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

_OF_THE_JOURNAL = {"recover", "status", "runs", "show"}  # these have --state-dir


@dataclass(frozen=True, kw_only=True)
class Place:
    """Which project and which state directory a person named by options; empty: none."""

    project: str = ""
    state_dir: str = ""


def command(*words: str, place: Place | None = None) -> str:
    """`drcli WORDS`, quoted for a shell; it finds the project and the journal of `place`."""
    place = place or Place()
    project = ["--project", place.project] if place.project else []
    journal = place.state_dir and words[0] in _OF_THE_JOURNAL
    state_dir = ["--state-dir", place.state_dir] if journal else []
    return shlex.join(["drcli", *project, *words, *state_dir])


def narrowed(  # noqa: PLR0913 -- one for each option, by name
    site: str,
    *,
    layers: Iterable[str] = (),
    components: Iterable[str] = (),
    limit: str = "",
    start: str = "",
    lab: str = "",
) -> list[str]:
    """The options that mean this site, no more of it than this part, and these hosts."""
    words = ["--site", site]
    words += [word for name in layers for word in ("--layer", name)]
    words += [word for name in components for word in ("--component", name)]
    for option, value in (("--limit", limit), ("--from", start), ("--lab", lab)):
        words += [option, value] if value else []
    return words
