"""A bulletin for the public or the crisis cell, in French or English, of recorded facts. Pure.

It states no cause, and no time that was not forecast or recorded: what nobody knows is said so.
Times are rounded outwards to five minutes: nobody can plan by seconds, and a range must not become
tighter on its way to the reader.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from functools import cache
from pathlib import Path
from typing import Literal

from babel import Locale
from babel.dates import format_date, format_time
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from pydantic import AwareDatetime, BaseModel, ConfigDict

from orchestrator.report import clean
from orchestrator.services import ServiceState, ServiceStatus, services_of
from orchestrator.state import UP, ComponentState, RunState

LANGUAGES = ("en", "fr")
CATALOGS = Path(__file__).parent / "locale"
STEP = timedelta(minutes=5)
Audience = Literal["public", "crisis"]


class Said(BaseModel):
    """What a bulletin said of a service: how it was, and when it was expected, at the latest."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: str
    earliest: AwareDatetime | None = None
    latest: AwareDatetime | None = None


class Issued(BaseModel):
    """A bulletin as it was given out, to be compared with by the next one."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    number: int
    at: AwareDatetime
    services: dict[str, Said] = {}


@dataclass(frozen=True, kw_only=True)
class Words:
    """A language: its phrases, its way of dates, and the zone that its times are of."""

    language: str
    zone: tzinfo
    phrases: gettext.NullTranslations = field(default_factory=gettext.NullTranslations)

    def say(self, text: str, **values: object) -> str:
        """A phrase with its values."""
        return self.phrases.gettext(text).format(**values)

    def count(self, one: str, many: str, number: int, **values: object) -> str:
        """A phrase about a number of things."""
        return self.phrases.ngettext(one, many, number).format(number=number, **values)

    def listed(self, names: Iterable[str]) -> str:
        """`a, b and c`."""
        return str(format_list([*names], locale=self.language))

    def time(self, at: datetime) -> str:
        """`14:05`."""
        local = at.astimezone(self.zone)
        return str(format_time(local, "HH:mm", locale=self.language))

    def day(self, at: datetime) -> str:
        """`Thursday, 26 November 2026`."""
        local = at.astimezone(self.zone)
        return str(format_date(local.date(), "full", locale=self.language))


def words_of(language: str, zone: tzinfo) -> Words:
    """A language of `LANGUAGES`; English is what the program's own text is."""
    return Words(language=language, zone=zone, phrases=_phrases(language))


@cache
def _phrases(language: str) -> gettext.NullTranslations:
    path = CATALOGS / f"{language}.po"
    if not path.exists():
        return gettext.NullTranslations()
    with path.open("rb") as file:
        catalog = read_po(file, locale=Locale.parse(language))
    compiled = io.BytesIO()
    write_mo(compiled, catalog)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)


def issued(state: RunState, *, number: int, at: datetime) -> Issued:
    """What a bulletin of this moment says, for the next one to compare with."""
    return Issued(
        run=state.run,
        number=number,
        at=at,
        services={service.name: _said(service, state) for service in services_of(state)},
    )


def bulletin(  # noqa: PLR0913 -- each by name
    state: RunState,
    now: Issued,
    last: Issued | None,
    *,
    words: Words,
    audience: Audience,
    alive: bool,
) -> str:
    """The text of a bulletin; `last` is the one before it, to say what has changed since."""
    blocks = [
        [*_opening(state, now, words, alive=alive)],
        [*_services(state, now, last, words)],
        [*_untouched(state, words)],
    ]
    if audience == "crisis":
        blocks += [[*_decisions(state, words)], [*_progress(state, words)]]
    blocks.append([*_closing(state, last, words)])
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _opening(state: RunState, now: Issued, words: Words, *, alive: bool) -> Iterator[str]:
    say = words.say
    yield say(
        "{site}: bulletin {number}, {day}, {time}",
        site=clean(state.site), number=now.number, day=words.day(now.at), time=words.time(now.at),
    )  # fmt: skip
    if state.started is not None and state.started.drill is not None:
        yield say("THIS IS A DRILL.")
    if state.started_at is not None:
        begun = {"day": words.day(state.started_at), "time": words.time(state.started_at)}
        yield say("The recovery began on {day} at {time}.", **begun)
    if state.finished is not None:
        over = state.last_at or now.at
        yield say("It ended at {time}.", time=words.time(over))
    elif not alive:
        yield say("It was interrupted, and is to go on.")


def _services(state: RunState, now: Issued, last: Issued | None, words: Words) -> Iterator[str]:
    say = words.say
    services = services_of(state)
    if not services:
        yield say("No service is named for this site.")
        return
    titles = {
        ServiceState.DOWN: say("Not available:"),
        ServiceState.DEGRADED: say("Available, with restrictions:"),
        ServiceState.BACK: say("Available again:"),
    }
    for how, title in titles.items():
        chosen = [s for s in services if s.state is how and not _never_down(s, state)]
        if chosen:
            yield title
        for service in chosen:
            said = now.services[service.name]
            before = last.services.get(service.name) if last else None
            when = _when(said, before, words) if how is ServiceState.DOWN else ""
            yield f"- {_called(service, state, words)}{when}"


def _when(said: Said, before: Said | None, words: Words) -> str:
    """`: expected back between 14:30 and 16:00 (before: ...)`."""
    say = words.say
    if said.earliest is None:
        text = say("when it will be back cannot be said yet")
    elif said.latest is None:
        text = say("expected back at about {time}", time=words.time(said.earliest))
    else:
        ends = {"first": words.time(said.earliest), "last": words.time(said.latest)}
        text = say("expected back between {first} and {last}", **ends)
    changed = ""
    if before is not None and before.latest is not None and said.latest is not None:
        moved = round((said.latest - before.latest) / timedelta(minutes=1))
        if moved:
            one, many = (
                (
                    "{number} minute later than said before",
                    "{number} minutes later than said before",
                )
                if moved > 0
                else (
                    "{number} minute earlier than said before",
                    "{number} minutes earlier than said before",
                )
            )
            changed = f" ({words.count(one, many, abs(moved))})"
        else:
            changed = f" ({say('as said before')})"
    elif before is not None and before.latest is not None and said.earliest is None:
        changed = f" ({say('the time said before no longer holds')})"
    return f": {text}{changed}"


def _untouched(state: RunState, words: Words) -> Iterator[str]:
    never = [service for service in services_of(state) if _never_down(service, state)]
    if never:
        yield words.say("Not affected:")
        for service in never:
            yield f"- {_called(service, state, words)}"


def _decisions(state: RunState, words: Words) -> Iterator[str]:
    """What waits for a person."""
    say = words.say
    waiting = state.among(frozenset({ComponentState.HELD, ComponentState.FAILED}))
    lines = [f"- {clean(c.name)}: {clean(c.reason.splitlines()[0] if c.reason else c.state)}"
             for c in waiting]  # fmt: skip
    if state.decided.hold is not None:
        by, why = clean(state.decided.hold.by), clean(state.decided.hold.reason)
        lines.insert(0, say("- the whole run is on hold, by {by}: {why}", by=by, why=why))
    if lines:
        yield say("To be decided or repaired by a person:")
        yield from lines


def _progress(state: RunState, words: Words) -> Iterator[str]:
    yield words.say("Progress:")
    for layer, components in state.layers.items():
        up = sum(c.state in UP for c in components)
        yield words.say(
            "- {layer}: {up} of {all} components", layer=clean(layer), up=up, all=len(components)
        )


def _closing(state: RunState, last: Issued | None, words: Words) -> Iterator[str]:
    if last is None:
        yield words.say("This is the first bulletin.")
    else:
        yield words.say("The last bulletin was of {time}.", time=words.time(last.at))
    if state.finished is not None:
        yield words.say("There will be no other one of this recovery.")


def _called(service: ServiceStatus, state: RunState, words: Words) -> str:
    """A service with the hospitals that have it."""
    known: Mapping[str, Mapping[str, str]] = state.started.hospitals if state.started else {}
    names = [
        clean(titles.get(words.language) or titles.get("en") or hospital)
        for hospital in service.hospitals
        for titles in [known.get(hospital, {})]
    ]
    called = clean(service.called(words.language))
    return f"{called} ({words.listed(names)})" if names else called


def _never_down(service: ServiceStatus, state: RunState) -> bool:
    """Nothing was done for it in this run, since all that serves it was up when looked at."""
    planned = state.started.services if state.started else ()
    serving = [name for p in planned if p.name == service.name for name in p.components]
    components = [state.components[name] for name in serving if name in state.components]
    return bool(components) and all(
        c.state is ComponentState.HEALTHY and not c.turned_red for c in components
    )


def _said(service: ServiceStatus, state: RunState) -> Said:
    if service.expected is None or state.started_at is None:
        return Said(state=service.state.value)
    p50, p90 = service.expected.p50, service.expected.p90
    return Said(
        state=service.state.value,
        earliest=_rounded(state.started_at + timedelta(seconds=p50), up=False),
        latest=None
        if p90 is None
        else _rounded(state.started_at + timedelta(seconds=p90), up=True),
    )


def _rounded(at: datetime, *, up: bool) -> datetime:
    over = timedelta(minutes=at.minute % 5, seconds=at.second, microseconds=at.microsecond)
    floor = at - over
    return floor + STEP if up and over else floor
