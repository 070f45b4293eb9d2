"""A run says when it will be over, and says it anew when that moves: in the journal, with why."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Event

import pytest
from engine import FakeGates, FakePlaybooks, options, plan_of, run_to_end

from orchestrator.events import PlannedComponent, PlaybookOutcome, RunStarted
from orchestrator.forecast_words import (
    forecast_against,
    forecast_json,
    forecast_line,
    forecast_log,
    forecast_words,
)
from orchestrator.foretell import Forecaster
from orchestrator.past import Basis
from orchestrator.published import ForecastPublished, Span
from orchestrator.run import Clock
from orchestrator.state import ComponentProgress, ComponentState, RunState, fold

GRAPH = {"routing": (), "dns": ("routing",), "portal": ("dns",)}
SEEN = Basis(seconds=(95.0, 100.0, 105.0, 110.0, 90.0))


@pytest.fixture(autouse=True)
def at_every_step(monkeypatch):
    """However long a forecast takes here, the next one may follow at once."""
    monkeypatch.setattr("orchestrator.foretell.RARELY", 0.0)


def forecaster(graph=GRAPH, basis=None, told=None):
    basis = dict.fromkeys(graph, SEEN) if basis is None else basis
    tell = (told if told is not None else []).append
    return Forecaster(plan_of(graph), basis, max_parallel=4, runs=5, tell=tell)


def state(elapsed=0.0, *, forecasts=(), finished=None, **components):
    started = RunStarted(
        site="lab-a",
        plan_hash="",
        components=tuple(PlannedComponent(name=n, layer="network", hosts=()) for n in GRAPH),
    )
    known = {
        name: components.get(name) or ComponentProgress(name=name, layer="network", hosts=("h",))
        for name in GRAPH
    }
    return RunState(
        started=started,
        elapsed=elapsed,
        components=known,
        forecasts=forecasts,
        finished=finished,
        last_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def being(name, what, since=0.0, **more):
    return ComponentProgress(
        name=name, layer="network", hosts=("h",), state=ComponentState(what), since=since, **more
    )


def published(records):
    return [r.event for r in records if isinstance(r.event, ForecastPublished)]


def test_a_run_publishes_before_anything_starts_to_wait_and_when_parts_end_early():
    playbooks = FakePlaybooks()
    chosen = options(foretell=forecaster())
    records = run_to_end(
        plan_of(GRAPH), playbooks, FakeGates(repaired_by=playbooks), options=chosen
    )
    first, *rest = published(records)
    assert first.site.p50 == pytest.approx(300, rel=0.1)
    assert first.reason == "the first"
    assert any("routing was up" in each.reason for each in rest)
    assert fold(records).forecasts[-1][1] == (rest or [first])[-1]


def test_the_same_forecast_is_not_said_twice():
    say = forecaster()
    assert say(state()) is not None
    assert say(state(1.0)) is None


def test_longer_than_ever_seen_is_said_with_by_how_much():
    say = forecaster()
    say(state(routing=being("routing", "recovering")))
    late = say(state(950.0, routing=being("routing", "recovering")))
    assert late.overdue == ("routing",)
    assert late.reason == "routing has run 14 min 00 s longer than ever seen"
    over = say(state(960.0, routing=being("routing", "verified", since=960.0)))
    assert over.reason == "routing took 14 min 10 s longer than ever seen"
    assert over.overdue == ()


def test_a_failure_ends_the_site_s_forecast_and_a_retry_begins_it_anew():
    say = forecaster()
    say(state())
    failed = say(state(50.0, dns=being("dns", "failed")))
    assert failed.site is None
    assert set(failed.components) == {"routing"}
    assert (failed.waits, failed.reason) == ("dns failed: waits for a person", "dns is failed")
    again = say(state(60.0))
    assert again.site is not None
    assert again.reason == "dns is tried again"


def test_a_question_is_no_part_of_the_time_and_is_named():
    asks = forecaster()(state(dns=being("dns", "held", asks=True)))
    assert asks.site.p50 == pytest.approx(300, rel=0.1)
    assert "waits for approval of dns" in asks.waits


def test_what_is_up_already_takes_no_time():
    say = forecaster()
    say(state())
    told = say(state(5.0, routing=being("routing", "healthy")))
    assert told.site.p50 == pytest.approx(205, rel=0.1)
    assert told.reason == "routing was up already"


def test_without_basis_nothing_is_published():
    chosen = options(foretell=forecaster(basis={}))
    records = run_to_end(plan_of(GRAPH), FakePlaybooks(), FakeGates(), options=chosen)
    assert published(records) == []
    assert forecast_words(fold(records[:1]), 0.0) == "no forecast: no basis in the journal"


def test_a_bug_of_the_forecast_ends_forecasting_and_not_the_run(monkeypatch):
    told = []
    say = forecaster(told=told)
    monkeypatch.setattr("orchestrator.foretell.forecast", lambda *_: 1 / 0)
    playbooks = FakePlaybooks()
    gates = FakeGates(repaired_by=playbooks)
    records = run_to_end(plan_of(GRAPH), playbooks, gates, options=options(foretell=say))
    assert fold(records).outcome == "recovered"
    assert len(told) == 1
    assert "ZeroDivisionError" in told[0]


def test_a_failed_run_was_never_said_to_be_over(monkeypatch):
    playbooks = FakePlaybooks(outcomes={"dns": PlaybookOutcome.FAILED})
    gates = FakeGates(repaired_by=playbooks)
    records = run_to_end(plan_of(GRAPH), playbooks, gates, options=options(foretell=forecaster()))
    assert published(records)[-1].site is None
    assert forecast_against(fold(records)) == ""


def test_the_words_count_down_and_own_up():
    told = ForecastPublished(site=Span(p50=600.0, p90=900.0), reason="the first")
    seen = state(forecasts=((0.0, told),))
    assert forecast_words(seen, 60.0) == "up in 9 min 00 s to 14 min 00 s"
    assert forecast_words(seen, 700.0) == "up in at most 3 min 20 s"
    assert forecast_words(seen, 1000.0) == "overdue: 1 min 40 s later than forecast"
    assert forecast_line(told, 0.0) == "forecast: up in 10 min 00 s to 15 min 00 s (the first)"


def test_a_program_gets_what_is_left_and_all_that_was_said():
    told = ForecastPublished(
        site=Span(p50=600.0, p90=900.0), components={"dns": Span(p50=10.0, p90=None)}, reason="x"
    )
    seen = forecast_json(state(forecasts=((5.0, told),)), 100.0)
    assert seen["remaining"]["site"] == {"p50": 500.0, "p90": 800.0}
    assert seen["remaining"]["components"]["dns"] == {"p50": 0.0, "p90": None}
    assert [(each["elapsed"], each["reason"]) for each in seen["published"]] == [(5.0, "x")]


def test_at_the_end_the_first_forecast_stands_against_what_it_took():
    playbooks = FakePlaybooks()
    ticks = iter(range(10_000))
    records = run_to_end(
        plan_of(GRAPH),
        playbooks,
        FakeGates(repaired_by=playbooks),
        options=options(foretell=forecaster()),
        clock=Clock(monotonic=lambda: float(next(ticks))),
    )
    *_, last = forecast_log(fold(records))
    assert last.startswith("forecast at first: ")
    assert "; it took " in last


def test_a_long_silence_is_reason_enough_to_look_at_the_forecast_again(monkeypatch):
    monkeypatch.setattr("orchestrator.recovery.QUIET", 0.02)
    asked, silent = [], Event()

    def foretell(seen):
        asked.append(seen)
        if len([each for each in asked if each.components["routing"].state == "recovering"]) > 3:
            silent.set()

    heard = []
    playbooks = FakePlaybooks(during={"routing": lambda: heard.append(silent.wait(20))})
    gates = FakeGates(repaired_by=playbooks)
    run_to_end(plan_of(GRAPH), playbooks, gates, options=options(foretell=foretell))
    assert heard == [True]
    waited = [each.elapsed for each in asked if each.components["routing"].state == "recovering"]
    assert waited[3] >= waited[0] + 0.03  # it is later, though nothing was heard
