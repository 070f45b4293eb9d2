"""The report of a run: its values, its time line, and pages that no host's output can break."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest

from orchestrator.chain import Checked
from orchestrator.comparison import compare, comparison_json
from orchestrator.decisions import ApprovalGiven, RunHeld, RunReleased
from orchestrator.events import (
    CheckFinished,
    ComponentBlocked,
    ComponentFailed,
    ComponentHealthy,
    ComponentHeld,
    ComponentVerified,
    GateFinished,
    GateStarted,
    PlannedComponent,
    PlaybookFinished,
    PlaybookStarted,
    Record,
    RunFinished,
    RunResumed,
    RunStarted,
    TaskFailed,
    UnknownEvent,
)
from orchestrator.gantt import bars, ticks
from orchestrator.junit import junit_xml
from orchestrator.page import draw, marked, typed
from orchestrator.pdf import _coloured
from orchestrator.run_report import MOST_ROWS, last_checks, report_json, run_report
from orchestrator.state import fold
from orchestrator.timeline import RUN, timeline_of

BEGUN = datetime(2026, 1, 2, 12, tzinfo=UTC)
PLANNED = (
    PlannedComponent(name="routing", layer="network", hosts=("r1", "r2")),
    PlannedComponent(name="dns", layer="network", hosts=("ns1",), needs=("routing",)),
    PlannedComponent(name="database", layer="storage", hosts=("db1",)),
)
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><svg onload=alert(1)>",
    "</pre></title></textarea><iframe src=//evil.example>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)//' onclick='x",
    "]]><!-- <a href='http://evil.example'>",
]


def records(*events, run="r1"):
    return tuple(
        Record(run=run, seq=n, at=BEGUN + timedelta(seconds=at), elapsed=at, event=event)
        for n, (at, event) in enumerate(events, 1)
    )


def started(**given):
    return RunStarted(
        site="room-a", plan_hash="0" * 64, components=PLANNED, by="ann", controller="c1", **given
    )


def gate(name, begun, until, *, purpose="verify", green=True, check=None, message=""):
    check = check or "test_it"
    outcome = "passed" if green else "failed"
    host = next(c.hosts[0] for c in PLANNED if c.name == name)
    return [
        (begun, GateStarted(component=name, purpose=purpose, attempt=1)),
        (
            until,
            CheckFinished(
                component=name, check=check, host=host, outcome=outcome, seconds=1, message=message
            ),
        ),
        (
            until,
            GateFinished(
                component=name,
                purpose=purpose,
                attempt=1,
                green=green,
                passed=int(green),
                total=1,
                seconds=until - begun,
            ),
        ),
    ]


def played(name, begun, until, outcome="succeeded"):
    start = PlaybookStarted(component=name, playbook=f"{name}.yml", hosts=("h",), attempt=1)
    end = PlaybookFinished(
        component=name,
        attempt=1,
        outcome=outcome,
        seconds=until - begun,
        artifact=f"artifacts/{name}-1.jsonl.gz",
    )
    return [(begun, start), (until, end)]


def recovery():
    """Routing is recovered, dns is up, database asks, is approved, and fails."""
    return records(
        (0, started()),
        *gate("routing", 0, 1, purpose="observe", green=False, message="no route"),
        *played("routing", 1, 11),
        *gate("routing", 11, 12),
        (12, ComponentVerified(component="routing")),
        *gate("dns", 12, 13, purpose="observe"),
        (13, ComponentHealthy(component="dns")),
        *gate("database", 13, 14, purpose="observe", green=False),
        (14, ComponentHeld(component="database", reason="Primary chosen?", asks=True)),
        (20, RunHeld(by="bob", reason="fire brigade")),
        (25, RunReleased(by="bob")),
        (30, ApprovalGiven(component="database", by="eve", reason="db1")),
        *played("database", 30, 50),
        *gate("database", 50, 55, green=False, message="no primary"),
        (55, ComponentFailed(component="database", reason="its gate is red")),
        (56, RunFinished(outcome="not_recovered", seconds=56)),
    )


def made(kept, **given):
    given = {"chain": Checked(run="r1", records=len(kept), head="ab" * 32)} | given
    return run_report(kept, fold(kept), alive=False, environment={"drcli": "1"}, at=BEGUN, **given)


def test_the_time_line_has_what_was_done_and_how_it_ended():
    spans = timeline_of(recovery()).spans
    found = [(s.component, s.kind, s.begun, s.until, s.ended) for s in spans]
    assert ("routing", "look", 0, 1, "red") in found
    assert ("routing", "playbook", 1, 11, "succeeded") in found
    assert ("database", "hold", 14, 30, "over") in found
    assert (RUN, "hold", 20, 25, "over") in found
    assert ("database", "gate", 50, 55, "red") in found


def test_the_critical_path_goes_back_from_the_last_end():
    assert timeline_of(recovery()).critical_path == ("routing", "dns", "database")


def test_what_a_killed_run_had_under_way_is_cut_short_at_its_last_word_and_then_nobody_worked():
    kept = records(
        (0, started()),
        *played("routing", 1, 11)[:1],
        (9, GateStarted(component="dns", purpose="observe", attempt=0)),
        (100, RunResumed(plan_hash="0" * 64, components=PLANNED, away=91)),
    )
    spans = timeline_of(kept).spans
    assert [(s.kind, s.begun, s.until, s.ended) for s in spans] == [
        ("playbook", 1, 9, "cut short"),
        ("look", 9, 9, "cut short"),
        ("away", 9, 100, "over"),
    ]


def test_bars_stay_within_the_width_and_are_never_invisible():
    spans = timeline_of(recovery()).spans
    for bar in bars(spans, 56.0):
        assert 0 <= bar.left <= 100
        assert bar.width > 0
        assert bar.left + bar.width <= 100.001
    assert bars(spans, 0.0)
    assert [tick.label for tick in ticks(56.0)] == ["0", "15 s", "30 s", "45 s"]
    assert [tick.label for tick in ticks(0.0)] == ["0"]


def test_the_report_says_what_failed_with_its_evidence_what_is_open_and_who_decided():
    report = made(recovery())
    assert (report.verdict, report.outcome) == ("bad", "not_recovered")
    first, *others = report.checks
    assert (first.component, first.open, first.message) == ("database", True, ("no primary",))
    assert (first.times, first.artifact) == (2, "artifacts/database-1.jsonl.gz")
    assert [(c.component, c.open) for c in others] == [("routing", False)]
    said = [(s.component, s.words) for s in report.people]
    assert ("database", "approved by eve: db1") in said
    assert ("database", "held: Primary chosen?") in said
    assert ("", "the run is held by bob: fire brigade: nothing new starts") in said
    assert report.open_work == ("database is failed: its gate is red",)
    assert report.data_loss.startswith("not measured")


def test_a_report_of_a_broken_chain_says_so():
    broken = made(recovery(), chain=Checked(run="r1", records=3, head="ab", fault="record 4 gone"))
    assert "NOT what drcli has written: record 4 gone" in draw("report", "html", report=broken)
    assert "the chain of their hashes holds" not in draw("report", "html", report=broken)


def test_a_list_without_end_is_cut_and_says_how_much_is_left_out():
    many = [
        (1, TaskFailed(component="routing", host=f"h{n}", task="t", message="m"))
        for n in range(MOST_ROWS + 7)
    ]
    report = made(records((0, started()), *many))
    assert (len(report.tasks), report.left_out) == (MOST_ROWS, 7)
    assert "7 more are left out" in draw("report", "html", report=report)


def test_a_run_whose_first_record_cannot_be_read_still_has_a_report():
    report = made(records((0, UnknownEvent(kind="run_begun_otherwise"))))
    assert (report.verdict, report.components) == ("doubtful", ())
    for shape in ("html", "md"):
        assert "a site that is not known" in draw("report", shape, report=report)


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.attributes, self.text = set(), set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data):
        self.text.append(data)


def hostile_records(text):
    return records(
        (0, started(given=(text,))),
        *gate(
            "routing", 0, 1, purpose="observe", green=False, check=text, message=f"{text}\n{text}"
        ),
        (2, TaskFailed(component="routing", host=text, task=text, message=text)),
        (2, RunHeld(by=text, reason=text)),
        (3, ComponentFailed(component="routing", reason=text, hint=text)),
        (3, ComponentBlocked(component="dns", by=("routing",))),
        (4, RunFinished(outcome="not_recovered", seconds=4, reason=text)),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_of_a_host_becomes_a_part_of_the_html(text):
    plain, page = _Page(), _Page()
    plain.feed(draw("report", "html", report=made(hostile_records("harmless"))))
    page.feed(draw("report", "html", report=made(hostile_records(text))))
    assert page.tags == plain.tags
    assert page.attributes == plain.attributes
    assert not page.tags & {"script", "img", "iframe", "a", "link", "object"}
    assert not {name for name in page.attributes if name.startswith("on")}
    assert not page.attributes & {"src", "href", "action"}
    assert text in "".join(page.text)


def test_no_control_or_bidirectional_character_reaches_any_format():
    text = "a\x1b[31mred\x1b]0;title\x07 \u202eevil\u2066 \x00\x9bx\u200b end"
    kept = hostile_records(text)
    report = made(kept)
    drawn = [
        draw("report", "html", report=report),
        draw("report", "md", report=report),
        json.dumps(report_json(report), ensure_ascii=False),
        junit_xml(fold(kept), last_checks(kept)),
    ]
    for page in drawn:
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]", page)
        assert "red" in page


@pytest.mark.parametrize("text", [*HOSTILE, "| a | b", "# head", "1. one", "[x](http://e.example)"])
def test_nothing_of_a_host_is_a_mark_in_markdown(text):
    line = marked(f"{text}\n# second")
    assert "\n" not in line
    assert not re.search(r"(?<!\\)[<>`|\[\]#*_]", line)
    assert "http://" not in line
    page = draw("report", "md", report=made(hostile_records(text)))
    assert not re.search(r"(?<!\\)<", page)


def test_a_command_in_markdown_is_typed_as_it_stands():
    assert typed("ssh -l root db_1") == "`ssh -l root db_1`"
    assert typed("echo `id` <b>") == "`` echo `id` <b> ``"


def test_the_page_asks_nobody_for_anything():
    page = draw("report", "html", report=made(recovery()))
    assert "default-src 'none'" in page
    assert not re.search(r"https?:|url\(|@import|<script|<link", page)
    assert "prefers-color-scheme:dark" in page
    assert "size:A4" in page


def test_json_has_the_same_values_and_junit_the_last_gates():
    kept = recovery()
    content = json.loads(json.dumps(report_json(made(kept))))
    assert content["critical_path"] == ["routing", "dns", "database"]
    assert content["checks"][0]["message"] == ["no primary"]
    suites = ET.fromstring(junit_xml(fold(kept), last_checks(kept)))
    counts = {s.get("name"): (s.get("tests"), s.get("failures")) for s in suites}
    assert counts["network.routing"] == ("1", "0")
    assert counts["storage.database"] == ("1", "1")


def test_a_comparison_names_the_largest_change_first():
    slower = records(
        (0, started()),
        *gate("routing", 0, 1, purpose="observe", green=False),
        *played("routing", 1, 101),
        *gate("routing", 101, 102),
        (102, ComponentVerified(component="routing")),
        (103, RunFinished(outcome="not_recovered", seconds=103)),
        run="r2",
    )
    first, *_, last = compare(fold(recovery()), fold(slower))
    assert (first.component, first.seconds, first.largest_part) == ("routing", 90, ("playbook", 90))
    assert (last.component, last.after.state) == ("dns", "pending")
    content = json.loads(json.dumps(comparison_json(fold(recovery()), fold(slower))))
    assert content["same_plan"] is True
    assert content["components"][0]["after"]["seconds"]["playbook"] == 100


def test_a_picture_in_a_pdf_has_the_colours_of_paper():
    page = _coloured("<style>:root{--gate:#111}@media print{:root{--gate:#222}}"
                     "svg .gate{fill:var(--gate)}</style><svg height='1'></svg>")  # fmt: skip
    assert page.endswith("<svg height='1'><style>.gate{fill:#222}</style></svg>")
