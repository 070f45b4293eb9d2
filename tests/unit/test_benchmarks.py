"""The harness of `make bench`: what it compares is alike, and what it says is what it measured."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import questions
from benchmarks.__main__ import BENCHMARKS, ORDER
from benchmarks.command import CommandFailed, run
from benchmarks.delay_proxy import port_of, serve
from benchmarks.measure import (
    Sample,
    Spread,
    UnequalWork,
    alternate,
    best,
    ratio,
    require_equal_work,
)
from benchmarks.outputs import (
    drcli_recovery_work,
    drcli_tasks,
    drcli_work,
    pytest_work,
    script_tasks,
    script_work,
)
from benchmarks.results import (
    FILE,
    PAGE,
    Question,
    Results,
    Row,
    answer,
    drawn_into,
    merged,
    plain,
    read,
    write,
)
from benchmarks.world import fresh_home

GREEN = """\
..                                                                       [100%]
PASSED playbooks/network/test_dns.py::test_runs[ansible://ns1]
PASSED playbooks/network/test_dns.py::test_answers[ansible://ns2-udp]
PASSED playbooks/network/test_dns.py::test_answers[udp-ansible://ns2]
3 passed in 1.20s
"""
RED = """\
PASSED playbooks/network/test_dns.py::test_runs[ansible://ns9]
FAILED playbooks/network/test_dns.py::test_runs[ansible://ns2] - assert False
1 failed, 1 passed in 0.90s
"""
RECAP = """\
PLAY RECAP *********************************************************************
ns1                        : ok=4    changed=1    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
ns2                        : ok=5    changed=1    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0

"""  # noqa: E501 -- as Ansible prints it


def take(name, *seconds, work=None, log=None):
    left = list(seconds)

    def once():
        if log is not None:
            log.append(name)
        return {name: Sample(seconds=left.pop(0), work=work or {})}

    return once


def test_sides_alternate_and_turn_round():
    log = []
    alternate([take("a", 1, 1, log=log), take("b", 1, 1, log=log)], rounds=2)
    assert log == ["a", "b", "b", "a"]


def test_a_ratio_is_the_median_of_its_rounds_with_their_ends():
    found = alternate([take("ours", 1, 2, 4), take("theirs", 10, 10, 10)], rounds=3)
    assert ratio(found["theirs"], found["ours"]) == Spread(value=5, low=2.5, high=10, runs=3)


def test_the_best_side_has_the_smallest_median():
    found = alternate([take("a", 1, 9, 9), take("b", 5, 5, 5)], rounds=3)
    assert best(found, ["a", "b"]) == "b"


def test_unequal_work_is_refused_at_once():
    sides = [take("a", 1, work={"checks": 200}), take("b", 1, work={"checks": 199})]
    with pytest.raises(UnequalWork, match="a did 200 checks, b did 199 checks"):
        alternate(sides, rounds=1)


def test_work_is_compared_within_a_side_too():
    samples = [Sample(seconds=1, work={"checks": 2}), Sample(seconds=1, work={"checks": 3})]
    with pytest.raises(UnequalWork):
        require_equal_work({"a": samples})


def test_pytest_says_checks_and_hosts():
    assert pytest_work(GREEN) == {"checks": 3, "hosts": 2}


@pytest.mark.parametrize("text", [RED, "", "1 passed, 1 skipped in 1.00s\n", "Traceback\n"])
def test_pytest_that_is_not_green_did_not_do_the_work(text):
    with pytest.raises(CommandFailed):
        pytest_work(text)


def test_a_script_counts_the_last_gate_of_each_component():
    text = f"{RECAP}{RED}{GREEN}step a.yml 1 2 3\n{RECAP}{GREEN}step b.yml 3 4 5\n"
    assert script_work(text) == {"checks": 6, "hosts": 2}
    assert script_tasks(text) == 20


def test_a_script_that_ends_red_did_not_do_the_work():
    with pytest.raises(CommandFailed):
        script_work(f"{GREEN}{RED}step a.yml 1 2 3\n")


def _line(kind, fields):
    return json.dumps({"elapsed": 1.0, "event": {"kind": kind, **fields}}) + "\n"


def check(host, outcome="passed"):
    return _line("check_finished", {"check": "test_a", "host": host, "outcome": outcome})


def gate(component, *, green, passed):
    fields = {"component": component, "green": green, "passed": passed, "reasons": ["no"]}
    return _line("gate_finished", fields)


def test_drcli_says_checks_and_hosts():
    assert drcli_work(check("h1") + check("h1") + check("h2")) == {"checks": 3, "hosts": 2}


def test_drcli_with_a_bad_check_did_not_do_the_work():
    with pytest.raises(CommandFailed, match="skipped"):
        drcli_work(check("h1", "skipped"))


def test_a_recovery_counts_the_last_gate_of_each_component():
    stats = {"h1": {"ok": 3, "skipped": 1}, "h2": {"ok": 2, "skipped": 0}}
    text = (
        gate("a", green=False, passed=0)
        + _line("playbook_finished", {"stats": stats})
        + check("h1")
        + gate("a", green=True, passed=7)
        + check("h2")
        + gate("b", green=True, passed=2)
    )
    assert drcli_recovery_work(text) == {"checks": 9, "hosts": 2}
    assert drcli_tasks(text) == 6


def test_a_recovery_that_ends_red_did_not_do_the_work():
    with pytest.raises(CommandFailed):
        drcli_recovery_work(gate("a", green=True, passed=7) + gate("a", green=False, passed=6))


def test_a_proxy_delays_each_way_and_loses_nothing():
    sent = bytes(range(256)) * 4096

    async def exchange():
        async def echo(reader, writer):
            writer.write(await reader.read())
            writer.close()

        target = await asyncio.start_server(echo, "127.0.0.1", 0)
        proxy = await serve(("127.0.0.1", port_of(target)), 0.05)
        async with target, proxy:
            reader, writer = await asyncio.open_connection("127.0.0.1", port_of(proxy))
            begun = time.monotonic()
            writer.write(sent)
            writer.write_eof()
            got = await reader.read(-1)
            took = time.monotonic() - begun
            writer.close()
        return got, took

    got, took = asyncio.run(exchange())
    assert got == sent
    assert took >= 0.2  # a handshake of two ways, one way there, one way back


def test_a_proxy_does_not_outlive_who_started_it():
    command = [sys.executable, "-m", "benchmarks.delay_proxy", "10", "127.0.0.1:1"]
    with subprocess.Popen(
        command, cwd=FILE.parents[1], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as proxy:
        assert proxy.stdout.readline().startswith(b"[")
        proxy.stdin.close()
        assert proxy.wait(30) == 0


def test_a_command_says_what_it_took(tmp_path):
    ended = run([sys.executable, "-c", "print(len(bytearray(10**8)))"], cwd=tmp_path)
    assert ended.out == "100000000\n"
    assert ended.peak_mib > 90
    assert ended.seconds >= ended.cpu / (os.cpu_count() or 1) > 0


def test_a_command_that_fails_is_not_measured(tmp_path):
    with pytest.raises(CommandFailed, match="ended with 3: why"):
        run(["sh", "-c", "echo why; exit 3"], cwd=tmp_path)


def test_a_command_that_hangs_is_ended_with_all_it_started(tmp_path):
    with pytest.raises(CommandFailed, match="did not end within"):
        run(["sh", "-c", "sleep 600 & echo $! > pid; wait"], cwd=tmp_path, limit=0.5)
    ended = Path("/proc", (tmp_path / "pid").read_text().strip(), "exe")
    deadline = time.monotonic() + 30  # it is killed; when it is gone is the kernel's affair
    while ended.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not ended.exists()


def test_a_home_takes_what_was_left_in_it_away(tmp_path):
    with fresh_home(MORE="1") as env:
        home = Path(env["HOME"])
        assert env["MORE"] == "1"
        words = "setsid sh -c 'echo $$ > pid; exec sleep 600' & while ! [ -s pid ]; do :; done"
        run(["sh", "-c", words], cwd=tmp_path, env=env)
        pid = (tmp_path / "pid").read_text().strip()
        assert Path("/proc", pid).exists()
    assert not home.exists()
    assert not Path("/proc", pid, "exe").exists()


def test_a_home_hides_this_machines_settings(monkeypatch):
    monkeypatch.setenv("ANSIBLE_FORKS", "1")
    monkeypatch.setenv("DRCLI_PROJECT", "/elsewhere")
    with fresh_home() as env:
        assert not {"ANSIBLE_FORKS", "DRCLI_PROJECT"} & env.keys()


def question(name="a", *, target=5.0, better="more"):
    return Question(name=name, what="what", unit="×", target=target, better=better)


def row(name="a", value=6.0, **more):
    found = Spread(value=value, low=value - 1, high=value + 1, runs=3)
    return answer(question(name, **more), found)


@pytest.mark.parametrize(
    ("value", "better", "reached"),
    [(5, "more", True), (4.99, "more", False), (5, "less", True), (5.01, "less", False)],
)
def test_a_target_is_reached_or_not(value, better, reached):
    assert row(value=value, better=better).reached is reached


def test_a_row_without_an_answer_says_why():
    table = plain(Results(machine={}, rows=(Row(question=question(), not_run="not run: no root"),)))
    assert "not run: no root" in table
    assert "≥ 5 ×" in table


def test_a_row_says_its_spread():
    assert "6.00 × (5.00 to 7.00)" in plain(Results(machine={}, rows=(row(),)))


def test_rows_asked_again_replace_their_own_alone():
    before = Results(machine={"m": "1"}, rows=(row("a", 1), row("b", 2)))
    now = Results(machine={"m": "1"}, rows=(row("b", 3),))
    both = merged(before, now, order=["a", "b"])
    assert [(r.question.name, r.value) for r in both.rows] == [("a", 1), ("b", 3)]


def test_a_row_that_could_not_be_measured_again_is_kept_as_it_was():
    before = Results(machine={"m": "1"}, rows=(row("a", 1),))
    failed = Row(question=row("a", 1).question, not_run="FAILED: no room")
    fresh = Row(question=row("b", 1).question, not_run="FAILED: no room")
    both = merged(before, Results(machine={"m": "1"}, rows=(failed, fresh)), order=["a", "b"])
    assert [(r.value, r.not_run) for r in both.rows] == [(1, ""), (None, "FAILED: no room")]


def test_rows_of_another_machine_are_dropped():
    before = Results(machine={"m": "1"}, rows=(row("a", 1),))
    now = Results(machine={"m": "2"}, rows=(row("b", 3),))
    assert [r.question.name for r in merged(before, now, order=["a", "b"]).rows] == ["b"]


def test_results_are_kept_and_drawn(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n<!-- results: written by `make bench` -->\nold\n<!-- end of results -->\nZ\n"
    )
    found = Results(machine={"Machine": "one"}, rows=(row(),))
    write(found, tmp_path / "results.json", page)
    assert read(tmp_path / "results.json") == found
    text = page.read_text()
    assert text.startswith("# A\n")
    assert text.endswith("Z\n")
    assert "old" not in text
    assert "- Machine: one" in text
    assert "6.00 ×" in text


def test_the_page_shows_what_was_measured_and_nothing_else():
    found, page = read(), PAGE.read_text(encoding="utf-8")
    if found is not None:
        assert drawn_into(page, found) == page


def test_every_question_has_a_benchmark_and_stands_on_the_page():
    asked = [q for q in vars(questions).values() if isinstance(q, Question)]
    asked += questions.WORKERS.values()
    assert sorted(ORDER) == sorted(q.name for q in asked)
    page = PAGE.read_text(encoding="utf-8")
    assert not [name for name in ORDER if f"`{name}`" not in page]
    assert len({one.name for one in BENCHMARKS}) == len(BENCHMARKS)


def unexplained(page, results):
    """The rows whose target is not reached and that no heading of the page stands for."""
    section = page.partition("\n## Targets not reached\n")[2].partition("\n## ")[0]
    not_reached = [row.question.name for row in results.rows if row.reached is False]
    return [name for name in not_reached if f"\n### `{name}`" not in section]


def test_every_target_that_is_not_reached_is_explained():
    question = Question(name="q", what="this", unit="×", target=2, better="more")
    missed = Results(machine={}, rows=(Row(question=question, value=1.0),))
    assert unexplained("## Other\n### `q`\n## Targets not reached\n\n", missed) == ["q"]
    assert unexplained("\n## Targets not reached\n\n### `q`: why\n", missed) == []
    page = PAGE.read_text(encoding="utf-8")
    assert "\n## Targets not reached\n" in page
    assert "\n## Where the time goes\n" in page
    if FILE.exists():  # `make bench` makes it
        measured = read()
        assert measured is not None
        assert unexplained(page, measured) == []
