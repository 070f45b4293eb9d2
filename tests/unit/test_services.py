"""A service is back, degraded or down by what serves it, and says what stands in its way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from orchestrator.events import (
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentVerified,
    GateStarted,
    PlannedComponent,
    PlannedService,
    Record,
    RunStarted,
)
from orchestrator.published import ForecastPublished, Span
from orchestrator.services import ServiceState, by_hospital, services_of
from orchestrator.state import fold

BEGUN = datetime(2026, 1, 2, 12, tzinfo=UTC)
PLANNED = (
    PlannedComponent(name="database", layer="storage", hosts=("db1",)),
    PlannedComponent(name="imaging", layer="applications", hosts=("img1", "img2")),
    PlannedComponent(name="frontend", layer="applications", hosts=("web1",)),
    PlannedComponent(name="lab-results", layer="applications", hosts=("lab1",)),
)
SERVICES = (
    PlannedService(name="laboratory", components=("lab-results",), hospitals=("south",)),
    PlannedService(
        name="radiology", components=("imaging", "frontend"), hospitals=("north", "south"),
        criticality="vital", title={"en": "Medical imaging", "fr": "Imagerie médicale"},
    ),
    PlannedService(name="telepathy", components=(), hospitals=("north",)),
)  # fmt: skip


def services(*events):
    started = RunStarted(site="hosting-a", plan_hash="h", components=PLANNED, services=SERVICES)
    records = [
        Record(run="r", seq=n + 1, at=BEGUN + timedelta(seconds=n), elapsed=float(n), event=event)
        for n, event in enumerate((started, *events))
    ]
    return {service.name: service for service in services_of(fold(records))}


def up(*names):
    return tuple(ComponentHealthy(component=name) for name in names)


def test_a_service_is_back_when_all_that_serves_it_is_up():
    found = services(*up("database", "imaging", "frontend"))
    assert found["radiology"].state is ServiceState.BACK
    assert found["radiology"].blocks == ()
    assert found["laboratory"].state is ServiceState.DOWN


def test_what_nothing_serves_is_no_service_of_this_run():
    assert "telepathy" not in services()


def test_one_of_two_servers_is_a_state_of_its_own():
    found = services(
        *up("database", "frontend"), ComponentVerified(component="imaging", degraded=("img2",))
    )
    assert found["radiology"].state is ServiceState.DEGRADED
    assert found["radiology"].lacks == ("imaging on img2",)


def test_a_service_that_is_down_names_what_failed_below_it():
    found = services(
        ComponentFailed(component="database", reason="two primaries"),
        *(ComponentBlocked(component=c, by=("database",)) for c in ("imaging", "frontend")),
    )
    assert found["radiology"].state is ServiceState.DOWN
    assert found["radiology"].blocks == ("database",)
    assert found["radiology"].expected is None


def test_while_nothing_failed_it_waits_for_what_is_under_way_and_says_when():
    told = ForecastPublished(site=None, services={"radiology": Span(p50=60.0, p90=90.0)})
    begun = GateStarted(component="database", purpose="observe", attempt=1)
    found = services(begun, told)
    assert found["radiology"].blocks == ("database",)
    assert found["radiology"].expected == Span(p50=60.0, p90=90.0)
    assert found["laboratory"].expected is None


def test_the_most_critical_come_first_for_each_hospital():
    found = by_hospital(services().values())
    assert [*found] == ["north", "south"]
    assert [service.name for service in found["south"]] == ["radiology", "laboratory"]


def test_it_is_called_by_its_name_in_a_language_else_in_english_else_by_its_own():
    found = services()
    assert found["radiology"].called("fr") == "Imagerie médicale"
    assert found["radiology"].called("de") == "Medical imaging"
    assert found["laboratory"].called("fr") == "laboratory"
