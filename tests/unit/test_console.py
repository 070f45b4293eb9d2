"""What a person and a program see of a run."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile

import pytest
from engine import FakeGates, FakePlaybooks, plan_of, run_to_end

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
from orchestrator.state import RunState, advance, fold

GRAPH = {"routing": (), "dns": ("routing",), "portal": ("dns",)}
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7])m")


class Terminal(io.TextIOWrapper):
    """A file that says it is a terminal."""

    def __init__(self):
        super().__init__(tempfile.TemporaryFile(), encoding="utf-8")  # noqa: SIM115 -- closed with it

    def isatty(self):
        return True

    def getvalue(self):
        return os.pread(self.fileno(), 10_000_000, 0).decode()


@pytest.fixture
def pipe():
    """A pipe: the reading end, and a file that writes."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        yield reading, stream
        os.close(reading)


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
        (good_run, r"lab-a: recovered in [\d.]+ s; 3 verified\. Next: drcli verify --site lab-a"),
        (bad_run, r"lab-a: NOT recovered .* failed: dns; blocked: portal\. Next: drcli show r1"),
    ],
)
def test_the_last_line_is_the_state_and_the_next_command(records, last):
    out, _ = play(records())
    assert re.fullmatch(last, out.splitlines()[-1])


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
    assert err.rstrip().endswith("Next: drcli verify --site lab-a")


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


def test_in_a_narrow_terminal_the_command_to_type_is_whole(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    out, err = play(bad_run(), out=Terminal(), err=Terminal())
    out, err = (re.sub(r"\x1b\[[\d;?]*\w", "", text) for text in (out, err))
    assert out.splitlines()[-1] == "Next: drcli show r1"
    table = err[err.rindex("COMPONENT") :]
    assert max(map(len, table.splitlines())) <= 40


def recorded(*events):
    """A run that has begun, and then these."""
    records = good_run()[:1]
    for event in events:
        records.append(records[-1].model_copy(update={"event": event, "seq": len(records) + 1}))
    return records


def gate(purpose=GatePurpose.VERIFY, *, bad=1, attempt=1, reasons=()):
    """The events of a run of the gate of dns in which so many checks were bad."""
    yield GateStarted(component="dns", purpose=purpose, attempt=attempt)
    yield GateCollected(component="dns", checks=9)
    for number in range(bad):
        yield CheckFinished(
            component="dns",
            check=f"test_{number}",
            host="dns-1",
            outcome=CheckOutcome.FAILED,
            seconds=0.1,
            message="assert 'inactive' == 'active'\n  \n  - active\n  + inactive\n(test_dns.py:52)",
        )
    yield GateFinished(
        component="dns",
        purpose=purpose,
        attempt=attempt,
        green=False,
        passed=9 - bad,
        total=9,
        reasons=reasons,
        seconds=1.0,
    )


def said(*events):
    """The lines about these events, without their time."""
    _, err = play(recorded(*events))
    return [line.split(" ", 1)[1].removeprefix("network/dns").strip() for line in err.splitlines()][
        1:
    ]


def test_a_red_gate_is_told_once_with_its_first_bad_check_however_often_it_is_repeated():
    assert said(*gate(), *gate(attempt=2), *gate(attempt=3)) == [
        "gate",
        "red: 8 of 9 checks passed in 1.0 s: test_0 on dns-1: failed",
    ]


def test_a_component_whose_gate_stayed_red_is_told_with_what_its_checks_saw():
    failed = ComponentFailed(component="dns", reason="gate red")
    assert said(*gate(), failed)[2:] == [
        "FAILED: gate red",
        "test_0 on dns-1: failed",
        "assert 'inactive' == 'active'",
        "- active",
        "(test_dns.py:52)",
    ]


def test_a_gate_whose_every_check_is_bad_does_not_flood():
    failed = ComponentFailed(component="dns", reason="gate red")
    lines = said(*gate(bad=9), failed)
    assert sum(line.endswith("on dns-1: failed") for line in lines[2:]) == MOST_BAD
    assert lines[-1] == f"{9 - MOST_BAD} more: drcli show"


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        (("stopped",), False),
        (("stopped before it started",), False),
        (("r1: test_a failed",), True),
        ((), True),
    ],
)
def test_a_repeated_look_that_ended_with_the_run_is_not_called_red(reasons, told):
    events = gate(GatePurpose.RECHECK, reasons=reasons)
    assert any("red now" in line for line in said(*events)) == told


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


def test_a_locale_that_lacks_a_character_shows_another_in_its_place():
    state = fold(hostile("Größe … 5"))
    out, err = (io.TextIOWrapper(io.BytesIO(), "latin-1") for _ in "oe")
    console = Console(out=out, err=err)
    console.note("half … done")
    console.details(state, alive=False)
    assert err.buffer.getvalue().decode("latin-1") == "half ? done\n"
    assert "Größe ? 5" in out.buffer.getvalue().decode("latin-1")


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


def test_a_reader_that_takes_no_more_does_not_stop_the_run_and_misses_nothing(pipe):
    reading, stream = pipe
    with Console(as_json=True, out=stream, err=io.StringIO()) as console:
        for number in range(4_000):
            console.json([number, "x" * 100])  # more than a pipe holds
        lines = b""
        while lines.count(b"\n") < 4_000:
            lines += os.read(reading, 65_536)
    assert [json.loads(line)[0] for line in lines.splitlines()] == list(range(4_000))


def test_what_goes_into_one_pipe_stays_in_its_order(pipe):
    reading, stream = pipe
    with Console(out=stream, err=stream) as console:
        for number in range(200):
            console.note(f"note {number}")
            console.line(f"line {number}")
    expected = [f"{word} {number}" for number in range(200) for word in ("note", "line")]
    assert os.read(reading, 65_536).decode().splitlines() == expected
