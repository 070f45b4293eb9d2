"""Gates as JUnit XML that a CI server reads the way it is meant."""

from __future__ import annotations

from contextlib import closing
from xml.etree import ElementTree as ET

from engine import FakeGates, options, plan_of

from orchestrator.events import CheckFinished, CheckOutcome
from orchestrator.junit import junit_xml
from orchestrator.recovery import verify
from orchestrator.work import GateResult

GRAPH = {"dns": (), "portal": ()}


def parsed(gates):
    with closing(verify(plan_of(GRAPH), gates, options=options())) as records:
        return ET.fromstring(junit_xml(records))


def gates_saying(outcome, message):
    def gate(request, tell, stop):
        check = CheckFinished(
            component=request.component,
            check="test_answers",
            host="ns1",
            outcome=outcome,
            seconds=0.25,
            message=message,
        )
        return GateResult(green=outcome is CheckOutcome.PASSED, checks=(check,))

    return gate


def test_a_suite_is_a_component_and_a_case_a_check_on_a_host():
    root = parsed(FakeGates(green={"dns"}))
    dns = root.find("testsuite[@name='network.dns']")
    assert dns.attrib["tests"] == "1"
    assert [case.attrib["name"] for case in dns] == ["test_it_works[dns-1]"]
    assert (root.attrib["tests"], root.attrib["failures"]) == ("2", "1")


def test_a_skipped_check_is_an_error_no_pass():
    root = parsed(gates_saying(CheckOutcome.SKIPPED, "no such thing"))
    assert root.attrib["errors"] == "2"
    assert root.find(".//error").attrib["message"] == "no such thing"


def test_a_gate_that_ran_no_check_is_an_error():
    root = parsed(lambda *_: GateResult(green=False, reasons=("nothing was collected",)))
    assert "nothing was collected" in root.find(".//error").attrib["message"]


def test_what_a_host_says_cannot_break_the_document():
    root = parsed(gates_saying(CheckOutcome.FAILED, "<&\"\x00\x1b[31m]]>\ufffe'"))
    assert root.find(".//failure").attrib["message"] == "<&\"]]>'"
