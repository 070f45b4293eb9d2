"""What a person is to type: the one place that puts a command of drcli together. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.events import RunOutcome
from orchestrator.state import UP, ComponentProgress, ComponentState, RunState

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


def next_command(
    state: RunState, *, alive: bool = False, shown: bool = False, place: Place | None = None
) -> str:
    """What to type next. `shown`: the person is looking at this run's details already.

    It means no more than what the run was narrowed to, and after a dry run that did not end well
    a dry run. What a person approved stays so until it is up, but not from a dry run to a real one.
    """
    return command(*_next_words(state, alive=alive, shown=shown), place=place)


def _next_words(  # noqa: PLR0911 -- one return for each kind
    state: RunState, *, alive: bool, shown: bool
) -> list[str]:
    held = state.among(frozenset({ComponentState.HELD}))
    failed = state.among(frozenset({ComponentState.FAILED}))
    match state.outcome:
        case None if alive:
            return ["status", "--site", state.site]
        case RunOutcome.VERIFIED:
            return ["status", "--site", state.site]
        case RunOutcome.INTERRUPTED if state.started and state.started.gates_only:
            return ["verify", *_part(state)]
        case RunOutcome.RECOVERED:
            return ["verify", *_part(state)]
        case RunOutcome.NOT_RECOVERED | RunOutcome.DRY_RUN_FAILED if failed and not shown:
            return ["show", state.run]
        case RunOutcome.NOT_RECOVERED if held:
            return ["recover", *_part(state, start=True), *_approvals(state, held)]
        case RunOutcome.DRY_RUN_ENDED_WELL:
            return ["recover", *_part(state, start=True)]
        case _:
            dry = ["--check"] if state.dry_run else []
            return ["recover", *_part(state, start=True), *_approvals(state), *dry]


def _approvals(state: RunState, held: Iterable[ComponentProgress] = ()) -> list[str]:
    """The options that approve what was approved already and is not up yet, and what is held."""
    names = {*(state.started.approved if state.started else ()), *(c.name for c in held)}
    wanted = (c for c in state.components.values() if c.name in names and c.state not in UP)
    return [word for c in wanted for word in ("--approve", c.name)]


def _part(state: RunState, *, start: bool = False) -> list[str]:
    """The options of the run's own part of its site; `start`: with --from, which verify has not."""
    started = state.started
    if started is None:
        return narrowed(state.site)
    return narrowed(
        started.site,
        layers=started.layers,
        components=started.selected,
        limit=started.limit,
        start=started.start if start else "",
        lab=started.lab,
    )
