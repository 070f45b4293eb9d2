"""Recovery times over time: what counts as a point, and a picture that nothing breaks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

from orchestrator.drills import Drill, DrillKind
from orchestrator.events import (
    ComponentFailed,
    ComponentHealthy,
    ComponentVerified,
    PlannedComponent,
    PlaybookStarted,
    Record,
    RunFinished,
    RunStarted,
)
from orchestrator.state import fold
from orchestrator.trend import picture, point, rows

BEGUN = datetime(2026, 1, 2, 12, tzinfo=UTC)
PLANNED = (PlannedComponent(name="dns", layer="network", hosts=("ns1",)),)
PLAYED = PlaybookStarted(component="dns", playbook="dns.yml", hosts=("ns1",), attempt=1)


def run(*events, name="r", days=0, outcome="recovered", **more):
    started = RunStarted(site="a", plan_hash="h", components=PLANNED, **more)
    everything = (started, *events, RunFinished(outcome=outcome, seconds=1.0))
    at = BEGUN + timedelta(days=days)
    return fold(
        Record(run=name, seq=n + 1, at=at, elapsed=60.0 * n, event=event)
        for n, event in enumerate(everything)
    )


def recovered(**more):
    return run(PLAYED, ComponentVerified(component="dns"), **more)


def test_a_recovery_is_a_point_at_the_time_when_all_was_up():
    found = point(recovered(), objective=100.0)
    assert found.seconds == 120.0
    assert next(iter(rows([found])))[-3:] == ["2 min 00 s", "1 min 40 s", "MISSED"]
    assert next(iter(rows([point(recovered(), objective=None)])))[-2:] == ["none", ""]


def test_what_did_not_come_up_is_a_point_too():
    failed = run(PLAYED, ComponentFailed(component="dns", reason="x"), outcome="not_recovered")
    found = point(failed, objective=100.0)
    assert found.seconds is None
    assert next(iter(rows([found])))[3:] == ["not up", "1 min 40 s", "MISSED"]


def test_a_healthy_site_a_dry_run_and_a_run_without_an_end_say_nothing():
    assert point(run(ComponentHealthy(component="dns")), objective=None) is None
    assert point(recovered(dry_run=True), objective=None) is None
    begun = RunStarted(site="a", plan_hash="h", components=PLANNED)
    unfinished = fold([Record(run="r", seq=1, at=BEGUN, elapsed=0.0, event=begun)])
    assert point(unfinished, objective=None) is None


def test_the_picture_has_every_run_inside_of_it_and_the_objective():
    drill = Drill(kind=DrillKind.LAB, scenario="<b>&x")
    points = [
        point(recovered(name="one"), objective=300.0),
        point(recovered(name="two <i>", days=3, drill=drill), objective=300.0),
        point(run(PLAYED, ComponentFailed(component="dns", reason="x"), days=9,
                  outcome="not_recovered"), objective=300.0),
    ]  # fmt: skip
    root = ET.fromstring(picture(points, title="A & B"))
    space = "{http://www.w3.org/2000/svg}"
    width, height = map(float, root.get("viewBox").split()[2:])
    circles = root.findall(f"{space}circle")
    assert len(circles) == 3
    assert all(0 < float(c.get("cx")) < width and 0 < float(c.get("cy")) < height for c in circles)
    assert [c.get("fill") for c in circles] == ["#111", "#2563eb", "none"]
    assert "RTO 5 min 00 s" in "".join(root.itertext())


def test_a_picture_of_nothing_is_one_too():
    assert ET.fromstring(picture([], title="none")) is not None
