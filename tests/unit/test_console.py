"""What a person and a program see of a run."""

from __future__ import annotations

import io
import json
import os
import re
from dataclasses import replace

import pytest
from engine import FakeGates, FakePlaybooks, options, plan_of, run_to_end

from orchestrator.console import MOST_BAD, Console
from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    ComponentFailed,
    GateCollected,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlaybookOutcome,
    Record,
    TaskFailed,
)
from orchestrator.report import hosts_line, summary
from orchestrator.state import RunState, advance, fold
from orchestrator.work import AnsibleOptions

GRAPH = {"routing": (), "dns": ("routing",), "portal": ("dns",)}
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])m")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text):
        raise OSError(5, "Input/output error")


def good_run():
    playbooks = FakePlaybooks()
    return run_to_end(plan_of(GRAPH), playbooks, FakeGates(repaired_by=playbooks))


def bad_run():
    playbooks = FakePlaybooks(outcomes={"dns": PlaybookOutcome.FAILED})
    return run_to_end(plan_of(GRAPH), playbooks, FakeGates(repaired_by=playbooks))


def play(records, *, out=None, err=None, as_json=False):
    """Show the records as a run does; return what came to stdout and to stderr."""
    out, err = out or io.StringIO(), err or io.StringIO()
    state = RunState()
    with Console(as_json=as_json, out=out, err=err) as console:
        for record in records:
            state = advance(state, record)
            console.show(record, state)
    console.finish(state)
    return out.getvalue(), err.getvalue()


@pytest.mark.parametrize(
    ("reasons", "told"), [(("stopped",), False), (("r1: test_a failed",), True)]
)
def test_a_repeated_look_that_ended_with_the_run_is_not_called_red(reasons, told):
    records = good_run()
    looked = GateFinished(
        component="routing",
        purpose=GatePurpose.RECHECK,
        attempt=1,
        green=False,
        passed=0,
        total=2,
        reasons=reasons,
        seconds=0.2,
    )
    records.insert(-1, records[-1].model_copy(update={"event": looked}))
    assert ("looked at again it is red" in "".join(play(records))) == told


def hostile(text):
    """A run in which a host answers with this text."""
    records = good_run()
    place = next(i for i, r in enumerate(records) if r.event.kind == "task_started")
    event = TaskFailed(component="routing", host="r1", task=text, message=text)
    records[place] = records[place].model_copy(update={"event": event})
    return records


def test_without_a_terminal_there_is_a_timed_line_for_each_step():
    _, err = play(good_run())
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in err.splitlines())
    for words in ("lab-a: run r1: 3 components on 6 hosts", "Start it", "verified: 1 of 1 checks"):
        assert words in err


@pytest.mark.parametrize(
    ("records", "last"),
    [
        (good_run, r"lab-a: recovered in [\d.]+ s; 3 verified\. Next: drcli show r1"),
        (bad_run, r"lab-a: NOT recovered .* failed: dns; blocked: portal\. Next: drcli show r1"),
    ],
)
def test_the_last_line_is_the_state_and_the_next_command(records, last):
    out, _ = play(records())
    assert re.fullmatch(last, out.splitlines()[-1])


def test_a_dry_run_says_that_nothing_was_changed():
    dry = options(ansible=AnsibleOptions(check=True))
    out, _ = play(run_to_end(plan_of(GRAPH), FakePlaybooks(), FakeGates(), options=dry))
    assert "nothing was changed. Next: drcli recover --site lab-a" in out


def test_a_held_component_makes_the_next_command_its_approval():
    plan = plan_of(GRAPH, approval={"routing": "Sure?"})
    out, err = play(run_to_end(plan, FakePlaybooks(), FakeGates()))
    assert out.rstrip().endswith("Next: drcli recover --site lab-a --approve routing")
    assert "held: Sure?" in err


def test_what_failed_is_shown_with_its_reason():
    _, err = play(bad_run())
    assert "FAILED: playbook failed; because the test says so" in err
    assert "blocked: waits for dns" in err


def test_json_is_the_records_one_a_line_on_stdout():
    records = good_run()
    out, err = play(records, as_json=True)
    assert [Record.model_validate(json.loads(line)) for line in out.splitlines()] == records
    assert err.rstrip().endswith("Next: drcli show r1")


def test_a_terminal_gets_a_live_table_of_all_components(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, err = play(good_run(), err=Terminal())
    assert "COMPONENT" in err
    assert all(name in err for name in GRAPH)
    assert COLOUR.search(err)


def test_on_a_terminal_the_time_is_dim_and_what_happened_is_not(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, err = play(bad_run(), err=Terminal())
    styles = re.findall(r"\x1b\[([\d;]+)m(?:verified|failed|blocked)", err)
    assert len(styles) >= 3
    assert not [style for style in styles if "2" in style.split(";")]
    assert re.search(r"\x1b\[2m\d\d:\d\d:\d\d ", err)


def test_no_color_is_respected(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    out, err = play(good_run(), out=Terminal(), err=Terminal())
    assert not COLOUR.search(out + err)


@pytest.mark.parametrize("columns", ["20", "40", "200"])
def test_any_width_of_terminal_will_do(monkeypatch, columns):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", columns)
    out, _ = play(bad_run(), out=Terminal(), err=Terminal())
    assert "drcli show r1" in out


def gate(*checks, attempt=1, purpose=GatePurpose.VERIFY, collected=9):
    """The events of one run of the gate of dns, up to these (check, host, outcome)."""
    yield GateStarted(component="dns", purpose=purpose, attempt=attempt)
    yield GateCollected(component="dns", checks=collected)
    for name, host, outcome in checks:
        yield CheckFinished(
            component="dns", check=name, host=host, outcome=outcome, seconds=0.1, message="saw 3"
        )


def recorded(*events):
    """A run that has begun, and then these."""
    records = good_run()[:1]
    for event in events:
        records.append(records[-1].model_copy(update={"event": event, "seq": len(records) + 1}))
    return records


GOOD, BAD, GONE = CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.UNREACHABLE


def test_a_bad_check_is_shown_as_it_comes_and_a_good_one_is_not():
    checks = [("test_port", "dns-1", GOOD), ("test_answer", "dns-1", BAD)]
    _, err = play(recorded(*gate(*checks)))
    assert [line.split(maxsplit=2)[2] for line in err.splitlines()[2:]] == [
        "test_answer on dns-1: failed",
        "saw 3",
    ]


def test_of_what_a_bad_check_says_the_beginning_and_the_place_are_shown():
    said = "assert 'inactive' == 'active'\n  \n  - active\n  + inactive\n  ? ++\n(test_dns.py:52)"
    check = CheckFinished(
        component="dns", check="test_runs", host="dns-1", outcome=BAD, seconds=0.1, message=said
    )
    _, err = play(recorded(*gate(), check))
    assert [line.split(maxsplit=2)[2] for line in err.splitlines()[3:]] == [
        "assert 'inactive' == 'active'",
        "- active",
        "(test_dns.py:52)",
    ]


def test_a_gate_that_is_repeated_shows_only_what_is_new_and_at_last_all():
    def again(attempt):
        return gate(("test_a", "dns-1", BAD), ("test_b", "dns-1", BAD), attempt=attempt)

    events = [*gate(("test_a", "dns-1", BAD)), *again(2), *again(3)]
    _, err = play(recorded(*events))
    assert [err.count(f"{name} on dns-1") for name in ("test_a", "test_b")] == [1, 1]
    end = GateFinished(
        component="dns", purpose="verify", attempt=3, green=False, passed=0, total=2, seconds=1.0
    )
    _, err = play(recorded(*events, end, ComponentFailed(component="dns", reason="gate red")))
    assert [err.count(f"{name} on dns-1") for name in ("test_a", "test_b")] == [2, 2]


def test_a_host_that_is_gone_is_shown_once():
    checks = [(f"test_{n}", f"dns-{1 + n % 2}", GONE) for n in range(20)]
    _, err = play(recorded(*gate(*checks)))
    assert err.count("unreachable") == 2
    assert err.count("dns-1: unreachable") == 1


def test_a_gate_whose_every_check_is_bad_does_not_flood():
    _, err = play(recorded(*gate(*[(f"test_{n}", "dns-1", BAD) for n in range(200)])))
    assert err.count("on dns-1: failed") == MOST_BAD
    assert err.count("more of its checks are bad") == 1


def test_the_line_of_a_component_tells_how_far_its_gate_is():
    checks = [("test_a", "dns-1", GOOD), ("test_b", "dns-1", BAD), ("test_c", "dns-1", GOOD)]
    for count, line in (
        (1, "1 of 9 checks"),
        (3, "3 of 9 checks, 1 of them bad: test_b on dns-1: failed"),
    ):
        assert summary(fold(recorded(*gate(*checks[:count]))).components["dns"]) == line


def test_under_the_live_table_only_what_is_bad_after_the_playbook_is_kept_in_sight(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    for purpose, kept in ((GatePurpose.OBSERVE, False), (GatePurpose.VERIFY, True)):
        events = gate(("test_a", "dns-1", BAD), purpose=purpose)
        _, err = play(recorded(*events), err=Terminal())
        assert ("saw 3" in err) is kept


HOSTILE = [
    "\x1b[2J\x1b[31mred",
    "\x1b]0;title\x07bell\x07",
    "back\rover\x08\x08",
    "\x9b31m eight-bit",
    "right\u202eto-left",
    "\x1bc reset",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_host_says_cannot_drive_the_terminal(text):
    out, err = play(hostile(text))
    state = fold(hostile(text))
    shown = io.StringIO()
    Console(out=shown, err=io.StringIO()).details(state, alive=False)
    for output in (out, err, shown.getvalue()):
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", output)


@pytest.mark.parametrize("text", HOSTILE)
def test_json_is_pure_ascii_whatever_a_host_says(text):
    out, _ = play(hostile(text), as_json=True)
    assert out.isascii()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", out)


def test_markup_of_our_own_printer_in_a_host_name_is_shown_as_it_is():
    _, err = play(hostile("[bold red]not bold[/] [link=http://x]here[/link]"))
    assert "[bold red]not bold[/] [link=http://x]here[/link]" in err


def test_an_endless_line_is_cut_and_says_so():
    _, err = play(hostile("x" * 1_000_000))
    assert len(err) < 20_000
    assert "[...]" in err


def test_a_terminal_that_was_closed_does_not_stop_the_run(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    play(good_run(), out=Gone(), err=Gone())


def test_a_reader_that_left_does_not_stop_the_run():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as pipe:
        out, err = io.StringIO(), pipe
        with Console(out=out, err=err) as console:
            for number in range(2):
                console.show(good_run()[number], fold(good_run()[: number + 1]))
        console.finish(fold(good_run()))
    assert "recovered" in out.getvalue()


def test_many_hosts_are_counted_not_listed():
    few, many = fold(good_run()).components["dns"], [f"h{n}" for n in range(50)]
    assert hosts_line(few) == "dns-1, dns-2"
    assert hosts_line(replace(few, hosts=tuple(many))) == "h0, h1, ... 50 hosts"
