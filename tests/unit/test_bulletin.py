"""A bulletin tells what the journal has, in French and English, and nothing else."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Formatter
from zoneinfo import ZoneInfo

import pytest
from babel.messages.pofile import read_po

from orchestrator.bulletin import CATALOGS, LANGUAGES, bulletin, issued, words_of
from orchestrator.decisions import RunHeld
from orchestrator.drills import Drill, DrillKind
from orchestrator.events import (
    ComponentFailed,
    ComponentHealthy,
    ComponentVerified,
    GateStarted,
    PlannedComponent,
    PlannedService,
    Record,
    RunFinished,
    RunStarted,
)
from orchestrator.handover import handover
from orchestrator.published import ForecastPublished, Span
from orchestrator.state import fold

SOURCE = Path(__file__).parents[2] / "orchestrator" / "bulletin.py"
PARIS = ZoneInfo("Europe/Paris")
BEGUN = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)  # the clocks go forward half an hour later
PLANNED = tuple(
    PlannedComponent(name=name, layer="applications", hosts=(f"{name}1",))
    for name in ("imaging", "laboratory", "mail")
)
SERVICES = (
    PlannedService(name="radiology", components=("imaging",), hospitals=("north", "south"),
                   criticality="vital", title={"en": "Medical imaging", "fr": "Imagerie médicale"}),
    PlannedService(name="tests", components=("laboratory",), hospitals=("north",),
                   title={"en": "Laboratory", "fr": "Laboratoire"}),
    PlannedService(name="mail", components=("mail",), title={"en": "Mail", "fr": "Messagerie"}),
)  # fmt: skip
HOSPITALS = {"north": {"en": "North hospital", "fr": "Hôpital nord"}, "south": {}}


def state(*events, drill=None):
    started = RunStarted(site="hosting-a", plan_hash="h", components=PLANNED, services=SERVICES,
                         hospitals=HOSPITALS, drill=drill)  # fmt: skip
    return fold(records(started, *events))


def records(*events):
    return [
        Record(run="r", seq=n + 1, at=BEGUN + timedelta(seconds=n), elapsed=float(n), event=event)
        for n, event in enumerate(events)
    ]


def forecast(p50, p90, name="radiology"):
    return ForecastPublished(site=None, services={name: Span(p50=p50, p90=p90)})


def told(run, *, last=None, language="en", audience="public", minutes=20):
    at = BEGUN + timedelta(minutes=minutes)
    now = issued(run, number=1 if last is None else last.number + 1, at=at)
    text = bulletin(run, now, last, words=words_of(language, PARIS), audience=audience, alive=True)
    return now, text


UNDER_WAY = (ComponentHealthy(component="mail"), ComponentVerified(component="laboratory"),
             GateStarted(component="imaging", purpose="observe", attempt=1))  # fmt: skip


def test_in_english():
    _, text = told(state(*UNDER_WAY, forecast(3600.0, 5400.0)))
    assert (
        text
        == """\
hosting-a: bulletin 1, Sunday, March 29, 2026, 01:50
The recovery began on Sunday, March 29, 2026 at 01:30.

Not available:
- Medical imaging (North hospital and south): expected back between 03:30 and 04:00
Available again:
- Laboratory (North hospital)

Not affected:
- Mail

This is the first bulletin.
"""
    )


def test_in_french_with_its_dates_and_plurals():
    first, _ = told(state(*UNDER_WAY, forecast(3600.0, 5400.0)))
    _, text = told(state(*UNDER_WAY, forecast(3600.0, 7200.0)), last=first, language="fr")
    assert (
        text
        == """\
hosting-a : bulletin n° 2, dimanche 29 mars 2026, 01:50
Le rétablissement a commencé le dimanche 29 mars 2026 à 01:30.

Indisponibles :
- Imagerie médicale (Hôpital nord et south): retour prévu entre 03:30 et 04:30 {moved}
De nouveau disponibles :
- Laboratoire (Hôpital nord)

Non touchés :
- Messagerie

Le bulletin précédent datait de 01:50.
""".replace("{moved}", "(30 minutes plus tard qu'annoncé)")
    )


@pytest.mark.parametrize(
    ("p50", "p90", "words"),
    [
        (3601.0, 3659.0, "between 03:30 and 03:35"),  # outwards: never tighter than it was told
        (3600.0, None, "at about 03:30"),
    ],
)
def test_a_range_is_rounded_outwards(p50, p90, words):
    assert words in told(state(*UNDER_WAY, forecast(p50, p90)))[1]


def test_what_nobody_forecast_is_said_so_and_a_time_that_fell_is_taken_back():
    first, _ = told(state(*UNDER_WAY, forecast(3600.0, 5400.0)))
    failed = state(*UNDER_WAY, ComponentFailed(component="imaging", reason="two primaries"))
    _, text = told(failed, last=first)
    assert "when it will be back cannot be said yet (the time said before no longer holds)" in text
    assert "two primaries" not in text  # a cause is not for the public


@pytest.mark.parametrize(
    ("later", "words"),
    [(5400.0, "as said before"), (5700.0, "5 minutes later"), (4800.0, "10 minutes earlier")],
)
def test_what_changed_since_the_last_one(later, words):
    first, _ = told(state(*UNDER_WAY, forecast(3600.0, 5400.0)))
    assert words in told(state(*UNDER_WAY, forecast(3600.0, later)), last=first)[1]


def test_the_crisis_cell_is_told_what_waits_for_a_person():
    held = RunHeld(by="alex", reason="smoke in the room", request=1)
    run = state(*UNDER_WAY, ComponentFailed(component="imaging", reason="two primaries"), held)
    _, text = told(run, audience="crisis")
    assert "- the whole run is on hold, by alex: smoke in the room" in text
    assert "- imaging: two primaries" in text
    assert "- applications: 2 of 3 components" in text


def test_a_drill_says_that_it_is_one_and_an_end_that_it_is_the_end():
    run = state(*UNDER_WAY, ComponentVerified(component="imaging"),
                RunFinished(outcome="recovered", seconds=1.0),
                drill=Drill(kind=DrillKind.LAB))  # fmt: skip
    _, text = told(run)
    assert "THIS IS A DRILL." in text
    assert "There will be no other one of this recovery." in text
    assert "Not available" not in text


def test_what_a_site_file_or_a_host_says_is_cleaned():
    failed = ComponentFailed(component="imaging", reason="\x1b[31mred\x1b[0m\u202e")
    _, text = told(state(*UNDER_WAY, failed), audience="crisis")
    assert "\x1b" not in text
    assert "\u202e" not in text


def phrases():
    """Every phrase of the source: what `say` and `count` are given, and what is chosen for them."""
    found = set()
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        called = getattr(node, "func", None)
        if getattr(called, "id", getattr(called, "attr", "")) in {"say", "count"}:
            found |= {a.value for a in node.args[:2] if isinstance(a, ast.Constant)}
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and "said before" in node.value
        ):
            found.add(node.value)
    return {text for text in found if "\n" not in text}


@pytest.mark.parametrize("language", [each for each in LANGUAGES if each != "en"])
def test_every_phrase_is_translated_with_the_same_values(language):
    with (CATALOGS / f"{language}.po").open("rb") as file:
        catalog = read_po(file, locale=language)
    known = {}
    for message in catalog:
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        for text in ids:
            known[text] = strings
    wanted = {text for text in phrases() if not text.startswith("`:")}
    assert wanted - known.keys() == set()
    assert {text for text in known if text} - wanted == set()
    for text in wanted:
        fields = {field for _, field, _, _ in Formatter().parse(text) if field}
        for string in known[text]:
            assert {field for _, field, _, _ in Formatter().parse(string) if field} == fields
            assert not re.search(r"[a-z] :", string) or language == "fr"


def test_a_handover_says_what_waits_what_is_open_and_what_was_decided():
    held = RunHeld(by="alex", reason="smoke in the room", request=1)
    failed = ComponentFailed(component="imaging", reason="two primaries")
    started = RunStarted(site="hosting-a", plan_hash="h", components=PLANNED, services=SERVICES,
                         by="sam", controller="desk-1")  # fmt: skip
    everything = records(started, *UNDER_WAY, forecast(3600.0, 5400.0), failed, held)
    page = handover(fold(everything), everything, alive=True, now=600.0, at=BEGUN)
    assert "by sam on desk-1" in page
    assert "the whole run is on hold, by alex: smoke in the room. drcli release r" in page
    assert "imaging is failed: two primaries" in page
    assert "Medical imaging (vital) is down: imaging" in page
    assert "the run is held by alex: smoke in the room" in page
    assert page.rstrip().splitlines()[-1].startswith("Next: drcli ")
