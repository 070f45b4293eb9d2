"""The gates of a run as JUnit XML, for CI: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from xml.etree import ElementTree as ET

from orchestrator.drills import DrillScored
from orchestrator.events import CheckFinished, CheckOutcome
from orchestrator.report import clean, clean_lines
from orchestrator.state import UP, ComponentProgress, RunState


def junit_xml(state: RunState, checks: Iterable[CheckFinished]) -> str:
    """The gates as JUnit XML: a suite a component, a case for each check on each host.

    `checks` are those of the gates that `state` tells of, which itself keeps only the bad ones.

    A red gate without a failing check (nothing collected, a host missing) has a case of its own.
    """
    suites = ET.Element("testsuites", name=state.site)
    totals = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    of: dict[str, list[CheckFinished]] = {}
    for check in checks:
        of.setdefault(check.component, []).append(check)
    for component in state.components.values():
        suite = ET.SubElement(suites, "testsuite", name=f"{component.layer}.{component.name}")
        counts = dict.fromkeys(totals, 0)
        for check in of.get(component.name, ()):
            _add_case(suite, component, check, counts)
        if component.state not in UP and not component.failing:
            case = ET.SubElement(suite, "testcase", classname=component.name, name="gate", time="0")
            text = _xml_text(component.reason or "the gate did not run")
            ET.SubElement(case, "error", message=text)
            counts["tests"] += 1
            counts["errors"] += 1
        suite.attrib.update({key: str(value) for key, value in counts.items()})
        suite.set("time", f"{component.gate_seconds:.3f}")
        for key, value in counts.items():
            totals[key] += value
    suites.attrib.update({key: str(value) for key, value in totals.items()})
    suites.set("time", f"{state.elapsed:.3f}")
    return _written(suites)


def drill_xml(site: str, scored: Iterable[DrillScored], conditions: Mapping[str, str]) -> str:
    """Drills as JUnit XML: a suite each, a case for each of the `conditions` and for each fault.

    What was not among the conditions that make the drill fail is no failure here either.
    """
    suites = ET.Element("testsuites", name=site)
    for each in scored:
        name = each.drill.scenario or each.drill.kind.value
        suite = ET.SubElement(suites, "testsuite", name=f"drill.{name}", time=f"{each.seconds:.3f}")
        for condition, words in conditions.items():
            case = ET.SubElement(suite, "testcase", classname=name, name=condition, time="0")
            if condition in each.broke:
                ET.SubElement(case, "failure", message=_xml_text(words))
        for fault in each.faults:
            case = ET.SubElement(suite, "testcase", classname=name, name=fault.name, time="0")
            said = [] if fault.noticed else ["no gate of its component was red"]
            said += [] if fault.met else [fault.note]
            if said and {"unnoticed", "unmet"} & set(each.broke):
                ET.SubElement(case, "failure", message=_xml_text("; ".join(said)))
        cases = suite.findall("testcase")
        bad = sum(case.find("failure") is not None for case in cases)
        suite.attrib.update(tests=str(len(cases)), failures=str(bad), errors="0", skipped="0")
    return _written(suites)


def _written(suites: ET.Element) -> str:
    ET.indent(suites)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"
    )


def _add_case(
    suite: ET.Element, component: ComponentProgress, check: CheckFinished, counts: dict[str, int]
) -> None:
    name = _xml_text(f"{check.check}[{check.host}]" if check.host else check.check)
    attributes = {"classname": component.name, "name": name, "time": f"{check.seconds:.3f}"}
    case = ET.SubElement(suite, "testcase", attributes)
    counts["tests"] += 1
    if check.outcome is CheckOutcome.PASSED:
        return
    # A skipped check is no pass here, and a reader of JUnit may take `skipped` for one.
    tag = "failure" if check.outcome is CheckOutcome.FAILED else "error"
    counts["failures" if tag == "failure" else "errors"] += 1
    lines = [_xml_text(line) for line in clean_lines(check.message)]
    detail = ET.SubElement(case, tag, message=lines[-1] if lines else check.outcome.value)
    detail.text = "\n".join(lines)


def _xml_text(text: str) -> str:
    return clean(text).replace("\ufffe", "").replace("\uffff", "")
