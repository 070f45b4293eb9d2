"""The gates of `drcli verify` as JUnit XML, for CI: pure."""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree as ET

from orchestrator.events import CheckFinished, CheckOutcome, Record
from orchestrator.report import clean, clean_lines
from orchestrator.state import UP, ComponentProgress, fold


def junit_xml(records: Iterable[Record]) -> str:
    """A run of the gates as JUnit XML: a suite a component, a case for each check on each host.

    A red gate without a failing check (nothing collected, a host missing) has a case of its own.
    """
    records = tuple(records)
    state = fold(records)
    suites = ET.Element("testsuites", name=state.site)
    for component in state.components.values():
        name = f"{component.layer}.{component.name}"
        suite = ET.SubElement(suites, "testsuite", name=name)
        for record in records:
            if isinstance(record.event, CheckFinished) and record.event.component == component.name:
                _add_case(suite, component, record.event)
        if component.state not in UP and not component.failing:
            case = ET.SubElement(suite, "testcase", classname=component.name, name="gate", time="0")
            reason = component.reason or "the gate did not run"
            ET.SubElement(case, "error", message=_xml_text(reason))
        _count(suite, component.gate_seconds)
    _count(suites, state.elapsed)
    ET.indent(suites)
    text = ET.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _count(element: ET.Element, seconds: float) -> None:
    """Say how many cases stand below an element, and how they ended."""
    for attribute, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
        element.set(attribute, str(sum(1 for _ in element.iter(tag))))
    element.set("skipped", "0")
    element.set("time", f"{seconds:.3f}")


def _add_case(suite: ET.Element, component: ComponentProgress, check: CheckFinished) -> None:
    name = _xml_text(f"{check.check}[{check.host}]" if check.host else check.check)
    attributes = {"classname": component.name, "name": name, "time": f"{check.seconds:.3f}"}
    case = ET.SubElement(suite, "testcase", attributes)
    if check.outcome is CheckOutcome.PASSED:
        return
    # A skipped check is no pass here, and a reader of JUnit may take `skipped` for one.
    tag = "failure" if check.outcome is CheckOutcome.FAILED else "error"
    lines = [_xml_text(line) for line in clean_lines(check.message)]
    detail = ET.SubElement(case, tag, message=lines[-1] if lines else check.outcome.value)
    detail.text = "\n".join(lines)


def _xml_text(text: str) -> str:
    return clean(text).replace("\ufffe", "").replace("\uffff", "")
