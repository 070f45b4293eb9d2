"""The words for a run: where it stands, what to type next, and why a component is not up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from orchestrator.command import next_command
from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentBlocked,
    ComponentFailed,
    ComponentHeld,
    ComponentTurnedRed,
    ComponentVerified,
    GateCollected,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlannedComponent,
    PlaybookFinished,
    PlaybookOutcome,
    PlaybookStarted,
    Record,
    RunFinished,
    RunOutcome,
    RunStarted,
    TaskFailed,
    TaskStarted,
)
from orchestrator.report import (
    LONGEST_LINE,
    MOST_LINES,
    as_json,
    clean,
    clean_lines,
    duration,
    evidence,
    exit_code,
    hosts_line,
    state_line,
    summary,
    timeline,
)
from orchestrator.state import fold

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
COMPONENTS = (
    PlannedComponent(name="dns", layer="network", hosts=("ns1", "ns2")),
    PlannedComponent(name="database", layer="storage", hosts=("db1",), needs=("dns",)),
)
OBSERVE, VERIFY = GatePurpose.OBSERVE, GatePurpose.VERIFY


def after(*events, **given):
    started = RunStarted(site="lab-a", plan_hash="0" * 64, components=COMPONENTS, by="ada", **given)
    return fold(
        Record(run="r1", seq=seq, at=NOON, elapsed=float(seq), event=event)
        for seq, event in enumerate((started, *events), 1)
    )


def gate(purpose=VERIFY, *, green=False, reasons=(), checks=()):
    yield GateStarted(component="dns", purpose=purpose, attempt=1)
    yield GateCollected(component="dns", checks=4)
    yield from checks
    yield GateFinished(
        component="dns",
        purpose=purpose,
        attempt=1,
        green=green,
        passed=4 if green else 3,
        total=4,
        reasons=reasons,
        seconds=1.5,
    )


BAD = CheckFinished(
    component="dns",
    check="test_dns.py::test_answers",
    host="ns1",
    outcome=CheckOutcome.FAILED,
    seconds=0.1,
    message="assert 'SERVFAIL' == 'NOERROR'\n(test_dns.py:52)",
)
PLAYBOOK = PlaybookStarted(component="dns", playbook="dns.yml", hosts=("ns1", "ns2"), attempt=1)
TASK = TaskStarted(component="dns", play="p", task="Start unbound")
BROKEN = TaskFailed(component="dns", host="ns1", task="Start unbound", message="no unit\nstderr: x")
PLAYED = PlaybookFinished(
    component="dns",
    attempt=1,
    outcome=PlaybookOutcome.FAILED,
    seconds=12.0,
    artifact="/state/artifacts/r1/dns-1",
)
FAILED = ComponentFailed(component="dns", reason="playbook failed; ns1: Start unbound")
BLOCKED = ComponentBlocked(component="database", by=("dns",))


def ended(outcome, reason=""):
    return RunFinished(outcome=outcome, seconds=9.0, reason=reason)


PROVEN = (*gate(green=True), ComponentVerified(component="dns"))
HELD = ComponentHeld(component="database", reason="Primary chosen?")
NOT_RECOVERED = ended(RunOutcome.NOT_RECOVERED)


@pytest.mark.parametrize(
    ("events", "how", "line", "command", "code"),
    [
        (
            (*PROVEN, ended(RunOutcome.RECOVERED)),
            {},
            "recovered in 6.0 s; 1 verified; 1 not started",
            "drcli verify --site lab-a",
            0,
        ),
        (
            (FAILED, BLOCKED, NOT_RECOVERED),
            {},
            "NOT recovered after 4.0 s; failed: dns; blocked: database",
            "drcli show r1",
            1,
        ),
        (
            (FAILED, BLOCKED, NOT_RECOVERED),
            {"shown": True},
            "NOT recovered after 4.0 s; failed: dns; blocked: database",
            "drcli recover --site lab-a",
            1,
        ),
        (
            (HELD, NOT_RECOVERED),
            {},
            "NOT recovered after 3.0 s; 1 not started; held: database",
            "drcli recover --site lab-a --approve database",
            1,
        ),
        (
            (PLAYBOOK, TASK),
            {"alive": True},
            "running for 3.0 s: dns recovering (Start unbound); 1 not started",
            "drcli status --site lab-a",
            130,
        ),
        (
            (PLAYBOOK, TASK),
            {},
            "interrupted after 3.0 s, its process is gone: dns recovering cut short; 1 not started",
            "drcli recover --site lab-a",
            130,
        ),
        (
            (ended(RunOutcome.INTERRUPTED, "SIGINT"),),
            {},
            "interrupted after 2.0 s (SIGINT): nothing was under way; 2 not started",
            "drcli recover --site lab-a",
            130,
        ),
        (
            (ended(RunOutcome.VERIFIED),),
            {},
            "verified in 2.0 s: every gate is green",
            "drcli status --site lab-a",
            0,
        ),
        (
            (FAILED, ended(RunOutcome.NOT_VERIFIED)),
            {},
            "NOT verified: red: dns",
            "drcli recover --site lab-a",
            1,
        ),
    ],
)
def test_a_run_in_one_sentence_its_next_command_and_its_exit_code(events, how, line, command, code):
    state = after(*events)
    assert state_line(state, alive=how.get("alive", False)) == f"lab-a: {line}"
    assert next_command(state, **how) == command
    assert exit_code(state) == code


def test_a_verification_that_was_interrupted_is_begun_again():
    state = after(ended(RunOutcome.INTERRUPTED, "SIGINT"), gates_only=True)
    assert next_command(state) == "drcli verify --site lab-a"


PART = {"layers": ("network",), "selected": ("dns", "time"), "limit": "all:!r1", "start": "dns"}
NARROWED = "--site lab-a --layer network --component dns --component time --limit 'all:!r1'"


@pytest.mark.parametrize(
    ("events", "given", "command"),
    [
        ((FAILED, NOT_RECOVERED), {}, f"recover {NARROWED} --from dns"),
        ((PLAYBOOK,), {}, f"recover {NARROWED} --from dns"),
        ((HELD, NOT_RECOVERED), {}, f"recover {NARROWED} --from dns --approve database"),
        ((ended(RunOutcome.RECOVERED),), {}, f"verify {NARROWED}"),
        ((ended(RunOutcome.INTERRUPTED),), {"gates_only": True}, f"verify {NARROWED}"),
        ((ended(RunOutcome.DRY_RUN_ENDED_WELL),), {}, f"recover {NARROWED} --from dns"),
    ],
    ids=["failed", "killed", "held", "recovered", "verify interrupted", "dry run"],
)
def test_the_next_command_means_no_more_than_the_run_did(events, given, command):
    state = after(*events, **PART, **given)
    assert next_command(state, shown=True) == f"drcli {command}"


@pytest.mark.parametrize(
    "events",
    [(FAILED, ended(RunOutcome.DRY_RUN_FAILED)), (ended(RunOutcome.INTERRUPTED),), (PLAYBOOK,)],
    ids=["failed", "interrupted", "killed"],
)
def test_after_a_dry_run_that_did_not_end_well_comes_a_dry_run(events):
    state = after(*events, dry_run=True)
    assert next_command(state, shown=True) == "drcli recover --site lab-a --check"


BOTH = ("database", "dns")


@pytest.mark.parametrize(
    ("events", "given", "words"),
    [
        ((PLAYBOOK,), {}, "--approve dns --approve database"),
        ((*PROVEN, ended(RunOutcome.INTERRUPTED)), {}, "--approve database"),
        ((FAILED, NOT_RECOVERED), {}, "--approve dns --approve database"),
        ((FAILED, HELD, NOT_RECOVERED), {"approved": ("dns",)}, "--approve dns --approve database"),
        ((PLAYBOOK,), {"dry_run": True}, "--approve dns --approve database --check"),
    ],
    ids=["killed", "interrupted", "failed", "another is held", "dry run killed"],
)
def test_what_was_approved_and_is_not_up_yet_stays_approved(events, given, words):
    state = after(*events, **{"approved": BOTH, **given})
    assert next_command(state, shown=True) == f"drcli recover --site lab-a {words}"


def test_what_was_approved_for_a_dry_run_is_asked_again_before_something_changes():
    state = after(ended(RunOutcome.DRY_RUN_ENDED_WELL), dry_run=True, approved=BOTH)
    assert next_command(state) == "drcli recover --site lab-a"


@pytest.mark.parametrize(
    ("outcome", "given", "line"),
    [
        ("recovered", {"selected": ("dns",)}, "recovered dns, database only in 2.0 s"),
        ("recovered", {"layers": ("network",)}, "recovered layer network only in 2.0 s"),
        (
            "not_recovered",
            {"layers": ("network", "storage"), "limit": "db1"},
            "NOT recovered layers network, storage on ns1, ns2, db1 only after 2.0 s",
        ),
        ("recovered", {"limit": "all"}, "recovered on ns1, ns2, db1 only in 2.0 s"),
        (
            "verified",
            {"selected": ("dns",), "layers": ("network",)},
            "verified dns, database only in 2.0 s: every gate that ran is green",
        ),
        ("dry_run_ended_well", {"selected": ("dns",)}, "dry run of dns, database only: "),
        ("dry_run_ended_well", {"limit": "all"}, "dry run on ns1, ns2, db1 only: "),
        ("dry_run_failed", {"layers": ("network",)}, "dry run of layer network only FAILED: "),
    ],
)
def test_a_run_of_a_part_does_not_speak_for_the_site(outcome, given, line):
    state = after(ended(RunOutcome(outcome)), **given)
    assert state_line(state).startswith(f"lab-a: {line}")


@pytest.mark.parametrize(
    ("events", "alive", "line"),
    [
        ((PLAYBOOK,), True, "dry run under way for 2.0 s: dns recovering"),
        ((PLAYBOOK,), False, "dry run interrupted after 2.0 s, its process is gone: "),
        ((ended(RunOutcome.INTERRUPTED, "SIGINT"),), False, "dry run interrupted after 2.0 s (SIG"),
    ],
    ids=["under way", "killed", "interrupted"],
)
def test_a_dry_run_is_called_one_however_it_stands(events, alive, line):
    assert state_line(after(*events, dry_run=True), alive=alive).startswith(f"lab-a: {line}")


def test_json_says_what_the_run_was_narrowed_to():
    content = as_json(after(**PART), alive=False)
    assert (content["layers"], content["selected"]) == (["network"], ["dns", "time"])
    assert (content["limit"], content["from"]) == ("all:!r1", "dns")


@pytest.mark.parametrize(
    ("events", "line"),
    [
        ((), ""),
        (tuple(gate())[:1], "starting the gate"),
        (tuple(gate())[:2], "0 of 4 checks"),
        (
            (*tuple(gate())[:2], BAD),
            "1 of 4 checks, 1 of them bad: test_dns.py::test_answers on ns1: failed",
        ),
        (tuple(gate()), "3 of 4 checks passed; looks again"),
        ((PLAYBOOK,), "starting the playbook"),
        ((PLAYBOOK, TASK), "Start unbound"),
        (PROVEN, "4 of 4 checks passed"),
        ((FAILED,), "playbook failed; ns1: Start unbound"),
        (
            (ComponentTurnedRed(component="dns", times=1, reason="gate red"),),
            "down again: gate red",
        ),
    ],
)
def test_a_component_in_one_line(events, line):
    assert summary(after(*events).components["dns"]) == line


SEEN_RED = (
    GateStarted(component="dns", purpose=GatePurpose.RECHECK, attempt=1),
    *tuple(gate(GatePurpose.RECHECK))[-1:],
)


def test_what_was_seen_red_again_is_not_told_as_up_and_no_more():
    state = after(*PROVEN, *SEEN_RED)
    assert summary(state.components["dns"]) == "4 of 4 checks passed, but red when looked at again"
    assert state_line(state).endswith("1 verified; 1 not started; seen red again: dns")
    assert as_json(state, alive=False)["components"][0]["red_again"]


def lines(state, name="dns"):
    return [f"{'  ' * indent}{line}" for indent, line in evidence(state.components[name])]


def test_a_playbook_that_failed_is_shown_with_task_host_stderr_and_log():
    state = after(*gate(OBSERVE, checks=(BAD,)), PLAYBOOK, TASK, BROKEN, PLAYED, FAILED, BLOCKED)
    assert lines(state) == [
        "playbook failed; ns1: Start unbound",
        "task Start unbound on ns1: failed",
        "  no unit",
        "  stderr: x",
        "check before the playbook test_dns.py::test_answers on ns1: failed",
        "  assert 'SERVFAIL' == 'NOERROR'",
        "  (test_dns.py:52)",
        "log /state/artifacts/r1/dns-1",
    ]
    assert lines(state, "database") == ["waits for dns"]
    assert timeline(state.components["dns"]) == "observe 1.5 s, playbook 12 s"


def test_a_gate_that_stayed_red_is_shown_with_check_value_and_reason():
    played = PLAYED.model_copy(update={"outcome": PlaybookOutcome.SUCCEEDED})
    red = gate(checks=(BAD,), reasons=("ns2: no check ran on it",))
    failed = ComponentFailed(component="dns", reason="gate red")
    assert lines(after(PLAYBOOK, played, *red, failed)) == [
        "gate red",
        "check test_dns.py::test_answers on ns1: failed",
        "  assert 'SERVFAIL' == 'NOERROR'",
        "  (test_dns.py:52)",
        "gate: ns2: no check ran on it",
        "log /state/artifacts/r1/dns-1",
    ]


def test_of_what_is_up_there_is_nothing_to_mend():
    assert lines(after(*PROVEN)) == []


def test_json_has_the_same_facts():
    state = after(*gate(OBSERVE, checks=(BAD,)), PLAYBOOK, BROKEN, PLAYED, FAILED, BLOCKED)
    content = as_json(state, alive=False)
    assert (content["state"], content["run"], content["by"]) == ("interrupted", "r1", "ada")
    assert as_json(state, alive=True)["state"] == "running"
    dns, database = content["components"]
    assert (dns["state"], dns["failing"][0]["host"]) == ("failed", "ns1")
    assert dns["failures"][0]["message"] == "no unit\nstderr: x"
    assert dns["log"] == "/state/artifacts/r1/dns-1"
    assert (database["state"], database["blocked_by"]) == ("blocked", ["dns"])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.9, "9.9 s"), (12.4, "12 s"), (125, "2 min 05 s"), (3725, "1 h 02 min")],
)
def test_durations_are_for_a_person(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07bell\x07", "bell"),
        ("back\rover\x08", "backover"),
        ("right\u202eto-left\x1bc", "rightto-left"),
        ("two\nlines\tone tab", "two lines one tab"),
    ],
)
def test_foreign_text_is_one_line_that_no_terminal_obeys(text, shown):
    assert clean(text) == shown


def test_an_endless_line_and_too_many_lines_are_cut_and_say_so():
    assert clean("x" * 1_000_000) == f"{'x' * LONGEST_LINE} [...]"
    many = clean_lines("\n".join(map(str, range(1000))))
    assert (many[0], many[-1], len(many)) == ("[...]", "999", MOST_LINES + 1)


def test_many_hosts_are_counted_not_listed():
    few = after().components["dns"]
    assert hosts_line(few) == "ns1, ns2"
    many = replace(few, hosts=tuple(f"h{n}" for n in range(50)))
    assert hosts_line(many) == "h0, h1, ... 50 hosts"
