"""A drill is scored by its run's records alone; what nobody noticed is said."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree as ET

import pytest

from orchestrator.decisions import RetryAsked
from orchestrator.drills import Drill, DrillKind
from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentVerified,
    GateFinished,
    GatePurpose,
    PlannedComponent,
    PlaybookFinished,
    PlaybookOutcome,
    Record,
    RunFinished,
    RunOutcome,
    RunStarted,
)
from orchestrator.junit import drill_xml
from orchestrator.lab.faults import LabFault
from orchestrator.lab.ledger import Verdict
from orchestrator.lab.scoring import CONDITIONS, DEFAULT, Given, reasons, score
from orchestrator.site import Component, Layer, Site
from orchestrator.state import fold

BEGUN = datetime(2026, 1, 2, 12, tzinfo=UTC)
PLANNED = (
    PlannedComponent(name="routing", layer="network", hosts=("r1",)),
    PlannedComponent(name="database", layer="storage", hosts=("db1", "db2")),
    PlannedComponent(name="imaging", layer="applications", hosts=("img1",)),
)
STANDS_ON = {"routing": (), "database": ("routing",), "imaging": ("routing", "database")}
SITE = Site(
    site="hosting-a",
    rto="2m",
    layers=tuple(
        Layer(name=p.layer, rto="1m40s", components=(Component(name=p.name, hosts="all"),))
        for p in PLANNED
    ),
)
LOST_CONFIG = LabFault(
    name="router-config-lost", explains="The configuration of a router is lost.",
    component="routing", expect="recovered", hosts=("r1",), script="true", proof="true",
)  # fmt: skip
TWO_PRIMARIES = LabFault(
    name="wrong-primary", explains="The standby was promoted by hand, twice.",
    component="database", expect="held", reason="Not exactly one primary", hosts=("db2",),
    script="true", undo="true",
)  # fmt: skip
ALL_THERE = Verdict(acknowledged={"row": 3}, lost=())


def gate(name, *, green, purpose=GatePurpose.VERIFY):
    return GateFinished(
        component=name, purpose=purpose, attempt=1, green=green, passed=1, total=1, seconds=0.1
    )


def down_then_up(name):
    return (gate(name, green=False, purpose=GatePurpose.OBSERVE), gate(name, green=True),
            ComponentVerified(component=name))  # fmt: skip


def run(*events, outcome=RunOutcome.RECOVERED):
    """Each event ten seconds after the one before it."""
    started = RunStarted(site="hosting-a", plan_hash="h", components=PLANNED)
    everything = (started, *events, RunFinished(outcome=outcome, seconds=1.0))
    return tuple(
        Record(run="r", seq=n + 1, at=BEGUN + timedelta(seconds=10 * n), elapsed=10.0 * n, event=e)
        for n, e in enumerate(everything)
    )


def scored(records, *, fail_if=DEFAULT, **given):
    beside = {"drill": Drill(kind=DrillKind.LAB, scenario="s"), "stands_on": STANDS_ON,
              "verdict": ALL_THERE, "has_ledger": True,
              "files": {}, "seconds": 1.0, **given}  # fmt: skip
    return score(Given(**beside), records, fold(records), SITE, fail_if=fail_if)


ALL_UP = (*down_then_up("routing"), *down_then_up("database"), *down_then_up("imaging"))
HELD = (
    *down_then_up("routing"),
    gate("database", green=False),
    PlaybookFinished(component="database", attempt=1, outcome=PlaybookOutcome.FAILED,
                     reasons=("db1: Not exactly one primary: db1, db2",), seconds=1.0),
    ComponentFailed(component="database", reason="its playbook failed"),
    ComponentBlocked(component="imaging", by=("database",)),
)  # fmt: skip


def test_a_recovery_in_time_with_nothing_lost_breaks_nothing():
    made = scored(run(*ALL_UP), before=5.0)
    assert made.broke == ()
    assert made.as_expected
    assert made.site.actual == 95.0
    assert made.layers["network"].actual == 35.0
    assert made.proves == ("routing", "database", "imaging")


def test_what_was_healthy_already_proves_nothing():
    made = scored(run(ComponentHealthy(component="routing"), *ALL_UP[3:]))
    assert made.proves == ("database", "imaging")


def test_an_objective_that_was_missed_breaks_the_drill():
    made = scored(run(*ALL_UP), before=40.0)
    assert made.broke == ("rto",)
    assert [*reasons(made)] == ["rto: a recovery time objective was missed: applications, the site"]


def test_lost_records_break_it_and_so_does_a_ledger_that_nobody_could_read():
    lost = Verdict(acknowledged={"row": 3}, lost=("row 2",))
    assert scored(run(*ALL_UP), verdict=lost).broke == ("lost",)
    assert scored(run(*ALL_UP), verdict=None).broke == ("lost",)
    assert scored(run(*ALL_UP), verdict=None, has_ledger=False).broke == ()


def test_where_a_component_is_to_be_held_nobody_need_be_able_to_look():
    held = {"held": ("database",), "faults": (TWO_PRIMARIES,)}
    ended = run(*HELD, outcome=RunOutcome.NOT_RECOVERED)
    assert scored(ended, verdict=None, **held).broke == ()
    lost = Verdict(acknowledged={"row": 3}, lost=("row 2",))
    assert scored(ended, verdict=lost, **held).broke == ("lost",)


def test_what_was_said_to_be_up_and_is_red_right_after_it_is_untrue():
    made = scored(run(*ALL_UP), red_now=("routing",))
    assert made.broke == ("untrue",)
    assert next(reasons(made)).endswith(": routing")
    ended = run(*HELD, outcome=RunOutcome.NOT_RECOVERED)
    assert scored(ended, red_now=("database", "imaging"), held=("database",)).broke == ()


def test_what_should_be_held_and_is_with_its_reason_is_as_expected():
    made = scored(
        run(*HELD, outcome=RunOutcome.NOT_RECOVERED), held=("database",), faults=(TWO_PRIMARIES,)
    )
    assert made.broke == ()
    assert made.site.actual is None
    assert made.faults[0].met


def test_what_should_be_held_and_came_up_is_not_as_expected():
    made = scored(run(*ALL_UP), held=("database",), faults=(TWO_PRIMARIES,))
    assert {"unexpected", "unmet"} <= {*made.broke}
    assert "database counts as up" in "\n".join(reasons(made))


def test_a_reason_that_was_not_said_is_not_met():
    other = TWO_PRIMARIES.model_copy(update={"reason": "no blank device"})
    made = scored(run(*HELD, outcome=RunOutcome.NOT_RECOVERED), held=("database",), faults=(other,))
    assert made.broke == ("unmet",)


def test_a_component_that_failed_where_all_should_be_recovered_is_not_as_expected():
    made = scored(run(*HELD, outcome=RunOutcome.NOT_RECOVERED))
    assert {"unexpected", "rto"} == {*made.broke}
    assert made.proves == ()


def test_a_run_without_an_end_is_not_as_expected():
    assert "unexpected" in scored(run(*ALL_UP)[:-1]).broke


def test_a_fault_that_no_gate_of_its_component_noticed_is_said():
    never_red = (gate("routing", green=True), ComponentHealthy(component="routing"), *ALL_UP[3:])
    made = scored(run(*never_red), faults=(LOST_CONFIG,), proofs={"router-config-lost": ""})
    assert made.broke == ("unnoticed",)
    assert "router-config-lost" in next(reasons(made))


@pytest.mark.parametrize(
    ("proofs", "note"),
    [
        ({"router-config-lost": "its proof fails on r1"}, "its proof fails on r1"),
        ({}, "nobody asked for its proof"),
    ],
)
def test_a_fault_whose_repair_is_not_proven_is_not_met(proofs, note):
    made = scored(run(*ALL_UP), faults=(LOST_CONFIG,), proofs=proofs)
    assert made.broke == ("unmet",)
    assert made.faults[0].note == note


def test_what_people_did_is_counted_and_breaks_it_only_where_that_is_asked():
    retried = RetryAsked(component="database", by="alex", reason="disk is back", request=1)
    made = scored(run(retried, *ALL_UP))
    assert made.interventions == ("database tried again, as alex asks: disk is back",)
    assert made.broke == ()
    assert scored(run(retried, *ALL_UP), fail_if=("intervention",)).broke == ("intervention",)


TOLD = """\
database on db1, db2: failed: Not exactly one primary
hosting-a: NOT recovered. Next: drcli show r
"""


@pytest.mark.parametrize(
    ("console", "untold"),
    [
        (TOLD, ()),
        (TOLD.replace("db2", ""), ("on which host database is not up: db2",)),
        (TOLD.replace("Not exactly one primary", "failed"), ("why database is not up",)),
        (TOLD.replace("Next: drcli show r", ""), ("what to type next",)),
        ("Next: drcli show r, db2: Not exactly one primary", ("that database is not up",)),
    ],
)
def test_without_an_expert_the_console_alone_must_tell(console, untold):
    made = scored(
        run(*HELD, outcome=RunOutcome.NOT_RECOVERED),
        held=("database",), faults=(TWO_PRIMARIES,), console=console,
    )  # fmt: skip
    assert made.untold == untold
    assert made.broke == (("untold",) if untold else ())
    assert made.expert_absent


def test_checks_are_counted():
    check = CheckFinished(component="routing", check="c", host="r1", outcome=CheckOutcome.PASSED,
                          seconds=0.1)  # fmt: skip
    assert scored(run(check, check, *ALL_UP)).checks == 2


def test_junit_has_a_case_for_each_condition_and_each_fault():
    good = scored(run(*ALL_UP), faults=(LOST_CONFIG,), proofs={"router-config-lost": ""})
    bad = scored(run(*ALL_UP), faults=(LOST_CONFIG,))
    suites = ET.fromstring(drill_xml("hosting-a", [good, bad], CONDITIONS))
    first, second = suites.findall("testsuite")
    assert int(first.get("tests")) == len(CONDITIONS) + 1
    assert first.get("failures") == "0"
    failed = [case.get("name") for case in second if case.find("failure") is not None]
    assert failed == ["unmet", "router-config-lost"]
    assert second.get("failures") == "2"
