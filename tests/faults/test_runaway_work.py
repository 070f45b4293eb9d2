"""Playbooks and gates that hang, shout, tell secrets or meet a full disk: bounded and ended."""

from __future__ import annotations

import gzip
import resource
import stat
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag

import pytest
from small_site import SmallSite

from orchestrator.attempt import processes_of
from orchestrator.events import PlaybookOutcome, TaskFailed, TaskStarted

CANARY = "canary-4711-canary"
SLEEP = "- name: Hang\n  ansible.builtin.command: {}\n"
SETSID = """setsid python3 -c 'import signal,time; signal.signal(15,1); time.sleep(600)'"""


@pytest.fixture
def site(tmp_path):
    return SmallSite(tmp_path)


SLEPT = 600  # seconds: what hangs here; whoever waited for it took that long


def seconds(call):
    begun = time.monotonic()
    result = call()
    return result, time.monotonic() - begun


@pytest.mark.parametrize(
    "command", ["sleep 600", "sh -c 'trap \"\" TERM; while :; do sleep 1; done'", SETSID]
)
def test_a_playbook_that_hangs_is_ended_with_all_its_children(site, command):
    limit = 15  # seconds, in which the task begins on a busy machine too
    result, took = seconds(lambda: site.play(SLEEP.format(command), timeout=limit))
    assert result.outcome is PlaybookOutcome.TIMED_OUT
    assert result.reasons[0].startswith("time limit of 15 s reached in task 'Hang'")
    assert site.left() == ()
    assert limit <= took < SLEPT / 2


def test_a_playbook_is_stopped_at_once(site):
    stop = Flag()

    def at_task(event):
        if isinstance(event, TaskStarted):
            stop.set()

    result, took = seconds(lambda: site.play(SLEEP.format("sleep 600"), tell=at_task, stop=stop))
    assert result.outcome is PlaybookOutcome.CANCELLED
    assert result.reasons[0].startswith("stopped in task 'Hang'")
    assert site.left() == ()
    assert took < SLEPT / 2


def test_a_playbook_that_asks_is_not_waited_for(site):
    play = (
        "- hosts: servers\n  gather_facts: false\n  vars_prompt: [{name: color, prompt: Which}]\n"
        "  tasks:\n    - ansible.builtin.debug: {msg: x}"
    )
    result, took = seconds(lambda: site.play(play, timeout=60))
    assert result.reasons == ("it asks for color: nobody answers; give it with --extra-vars",)
    assert took < SLEPT / 2
    answered = site.play(play, extra_vars={"color": "blue"})
    assert answered.outcome is PlaybookOutcome.SUCCEEDED


@pytest.mark.parametrize(
    "body",
    ["import time; time.sleep(600)", "host.run('sleep 600')", f"host.run({SETSID!r} + ' &')"],
    ids=["itself", "its command", "what it left"],
)
def test_a_gate_that_hangs_is_ended_with_all_its_children(site, body):
    gate = (
        f"def test_a(host): pass\ndef test_b(host):\n    {body}\n    import time; time.sleep(600)\n"
    )
    result, took = seconds(lambda: site.check(gate, hosts=("h1",), timeout=15))
    assert not result.green
    assert result.reasons[0] == "time limit of 15 s reached"
    assert [c.check for c in result.checks] == ["test_a"]
    assert site.left() == ()
    assert took < SLEPT / 2


def test_a_gate_is_stopped_at_once(site):
    stop = Flag()
    gate = "def test_a(host): pass\ndef test_b(host): host.run('sleep 600')\n"
    result, took = seconds(
        lambda: site.check(gate, hosts=("h1",), tell=lambda _: stop.set(), stop=stop)
    )
    assert not result.green
    assert result.reasons[0] == "stopped"
    assert site.left() == ()
    assert took < SLEPT / 2


def test_an_inventory_that_hangs_can_be_stopped(site):
    stop = Flag()
    site.inventory.write_text("#!/bin/sh\nsleep 600\n")
    site.inventory.chmod(0o755)
    threading.Timer(3, stop.set).start()
    result, took = seconds(lambda: site.check("def test_a(host): pass\n", stop=stop))
    assert result.reasons == ("ansible-inventory: stopped",)
    assert site.left() == ()
    assert took < SLEPT / 2


def test_a_gate_leaves_no_process_even_when_it_is_green(site):
    gate = f"def test_a(host):\n    host.run({SETSID!r} + ' > /dev/null 2>&1 &')\n"
    assert site.check(gate, hosts=("h1",)).green
    assert site.left() == ()


def test_a_task_that_shouts_costs_no_memory_here(site):
    shout = "import sys; [sys.stdout.write('x' * 99 + chr(10)) for _ in range(100000)]; sys.exit(3)"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = site.play(SLEEP.format(f'python3 -c "{shout}"'), hosts=("h1", "h2"))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert result.outcome is PlaybookOutcome.FAILED
    told = [t for t in site.told if isinstance(t, TaskFailed)]
    assert len(told) == 2
    assert all(len(t.message) <= 4_000 for t in told)
    assert Path(result.artifact).stat().st_size < 100_000
    assert grown < 40_000  # KiB; each host shouted 10 MB


def test_a_gate_that_shouts_costs_no_memory_here(site):
    shout = "for _ in range(300_000): print('x' * 99)"
    gate = f"def test_a(host):\n    {shout}\n    assert 0, 'y' * 10**6\n"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = site.check(gate, hosts=("h1",))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(result.checks[0].message) <= 4_000
    assert grown < 20_000  # KiB; it shouted 30 MB


def test_no_secret_leaves_the_attempt(site, monkeypatch):
    """Neither in arguments, events, reasons, nor in any file that is left."""
    monkeypatch.setenv("SOME_PASSWORD", CANARY)
    arguments = []

    def look(event):
        for process in processes_of(f"{site.run}/"):
            with suppress(OSError):
                arguments.append(Path(f"/proc/{process.pid}/cmdline").read_bytes())

    site.write("secret.txt", f"{CANARY}-file")
    result = site.play(
        f"""
        - name: Show it
          ansible.builtin.debug: {{msg: "it is {{{{ db_password }}}}"}}
        - name: Show another
          ansible.builtin.command: echo 'token={CANARY}-token'
        - name: Hide it
          ansible.builtin.command: cat {site.project}/secret.txt
          no_log: true
        - name: Look around
          ansible.builtin.command: env
        - name: Fail with it
          ansible.builtin.fail: {{msg: "wrong {{{{ db_password }}}}"}}
        """,
        tell=look,
        extra_vars={"db_password": CANARY, "nested": {"api_key": [f"{CANARY}-nested"]}},
        become_password=f"{CANARY}-become",
        diff=True,
    )
    assert result.outcome is PlaybookOutcome.FAILED
    assert arguments
    assert CANARY.encode() not in b"".join(arguments)
    assert CANARY not in f"{site.told}{result}"
    (site.project / "secret.txt").unlink()
    (site.project / "web.yml").unlink()
    kept = [p for p in site.state.rglob("*") if p.is_file()]
    assert kept
    for path in kept:
        assert CANARY.encode() not in gzip.decompress(path.read_bytes())


def test_nothing_is_left_in_memory(site, monkeypatch):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:  # of its own: others work beside
        monkeypatch.setenv("XDG_RUNTIME_DIR", memory)
        seen: list[Path] = []
        site.play(
            "- ansible.builtin.debug: {msg: x}",
            become_password="x" * 8,
            tell=lambda _: seen.extend(Path(memory).iterdir()),
        )
        site.playbooks.close()
        assert seen
        assert list(Path(memory).iterdir()) == []


def test_the_log_is_private_and_in_order(site):
    result = site.play("- ansible.builtin.debug: {msg: hello}")
    path = Path(result.artifact)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    events = site.log()
    counters = [event["counter"] for event in events if "counter" in event]
    assert counters == sorted(counters)
    kinds = [event["event"] for event in events]
    assert kinds.index("playbook_on_start") < kinds.index("playbook_on_stats")
    assert "hello" in str(events)


def test_a_log_that_cannot_be_written_does_not_stop_a_playbook(site):
    site.state.write_text("a file where the folder should be")
    result = site.play("- ansible.builtin.debug: {msg: x}")
    assert result.outcome is PlaybookOutcome.SUCCEEDED
    assert result.artifact == ""
    assert "could not be kept" in result.reasons[-1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_log_on_a_full_disk_does_not_stop_a_playbook(site):
    folder = site.state / "artifacts" / site.run
    folder.mkdir(parents=True)
    (folder / "web-1.jsonl.gz").symlink_to("/dev/full")
    result = site.play("- ansible.builtin.debug: {msg: x}")
    assert result.outcome is PlaybookOutcome.SUCCEEDED
    assert "No space left" in result.reasons[-1]


def test_many_at_once_do_not_disturb_each_other(tmp_path):
    sites = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        sites.append(SmallSite(folder))

    def work(site):
        played = site.play("- ansible.builtin.debug: {msg: x}")
        own = f"def test_a(host): assert host.file({str(site.project)!r}).is_directory\n"
        return played.outcome is PlaybookOutcome.SUCCEEDED, site.check(own).green

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(work, sites)) == [(True, True)] * 3
