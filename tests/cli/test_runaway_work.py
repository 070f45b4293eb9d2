"""Playbooks and gates that hang, shout, tell secrets or meet a full disk: bounded and ended."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag

import pytest
from small_site import SmallSite

from orchestrator.attempt import processes_of
from orchestrator.events import CheckFinished, PlaybookOutcome, TaskFailed, TaskStarted

CANARY = "canary-4711-canary"
HANG = "- name: Hang\n  ansible.builtin.command: {}\n"
SETSID = """setsid python3 -c 'import signal,time; signal.signal(15,1); time.sleep(600)'"""
SLEPT = 600  # seconds: what hangs here; whoever waited for it took that long
LIMIT = 4  # seconds; what is to hang begins within one
PATIENCE = 60


@pytest.fixture
def site(tmp_path):
    return SmallSite(tmp_path)


def seconds(call):
    begun = time.monotonic()
    result = call()
    return result, time.monotonic() - begun


@pytest.mark.parametrize("command", ["sh -c 'trap \"\" TERM; while :; do sleep 1; done'", SETSID])
def test_a_playbook_that_hangs_is_ended_with_all_its_children(site, command):
    result, took = seconds(lambda: site.play(HANG.format(command), timeout=LIMIT))
    assert result.outcome is PlaybookOutcome.TIMED_OUT
    assert result.reasons[0].startswith("time limit of 4 s reached")
    assert site.left() == ()
    assert LIMIT <= took < SLEPT / 2


def test_a_playbook_is_stopped_at_once(site):
    stop = Flag()

    def at_task(event):
        if isinstance(event, TaskStarted):
            stop.set()

    result, took = seconds(lambda: site.play(HANG.format("sleep 600"), tell=at_task, stop=stop))
    assert result.outcome is PlaybookOutcome.CANCELLED
    assert result.reasons[0].startswith("stopped in task 'Hang'")
    assert site.left() == ()
    assert took < SLEPT / 2


@pytest.mark.parametrize("without_root", [False, True])
def test_what_goes_on_in_the_background_ends_with_its_attempt(site, monkeypatch, without_root):
    """As root the namespace ends it; without, the mark in its environment finds it."""
    if without_root:
        monkeypatch.setattr("orchestrator.attempt._container", tuple)
    left = f"{SETSID} >/dev/null 2>&1 &"
    played = site.play(f"- ansible.builtin.shell: {left}")
    assert played.outcome is PlaybookOutcome.SUCCEEDED
    assert site.left() == ()
    assert site.check(f"def test_a(host):\n    host.run({left!r})\n", hosts=("h1",)).green
    assert site.left() == ()


def test_a_hanging_playbook_without_root_is_ended_with_all_its_children(site, monkeypatch):
    monkeypatch.setattr("orchestrator.attempt._container", tuple)
    stop = Flag()

    def at_task(event):
        if isinstance(event, TaskStarted):
            stop.set()

    result = site.play(HANG.format(SETSID), tell=at_task, stop=stop)
    assert result.outcome is PlaybookOutcome.CANCELLED
    assert site.left() == ()


def test_a_playbook_that_asks_is_not_waited_for(site):
    play = (
        "- hosts: servers\n  gather_facts: false\n  vars_prompt: [{name: color, prompt: Which}]\n"
        "  tasks:\n    - ansible.builtin.debug: {msg: x}"
    )
    result, took = seconds(lambda: site.play(play))
    assert result.outcome is PlaybookOutcome.FAILED
    assert result.reasons == ("it asks for color: nobody answers",)
    assert site.left() == ()
    assert took < SLEPT / 2


@pytest.mark.parametrize(
    "body", ["import time; time.sleep(600)", f"host.run({SETSID!r})"], ids=["itself", "its command"]
)
def test_a_gate_that_hangs_is_ended_with_all_its_children(site, body):
    gate = f"def test_a(host): pass\ndef test_b(host):\n    {body}\n"
    result, took = seconds(lambda: site.check(gate, hosts=("h1",), timeout=LIMIT))
    assert not result.green
    assert result.reasons[0] == "time limit of 4 s reached"
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


ORCHESTRATOR = """
import sys, threading
from pathlib import Path
from small_site import SmallSite
site = SmallSite(Path(sys.argv[1]))
def tell(event):
    print(event.kind, flush=True)
thread = threading.Thread(target=lambda: getattr(site, sys.argv[2])(sys.argv[3], tell=tell))
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    ("what", "text", "begun"),
    [
        ("play", HANG.format(SETSID), "task_started"),
        (
            "check",
            f"def test_a(host): pass\ndef test_b(host):\n    host.run({SETSID!r})\n",
            "check_finished",
        ),
    ],
    ids=["playbook", "gate"],
)
def test_kill_9_of_the_orchestrating_process_leaves_no_process(tmp_path, what, text, begun):
    tests = Path(__file__).parents[1]
    path = f"{tests.parent}:{tests}"
    process = subprocess.Popen(
        [sys.executable, "-c", ORCHESTRATOR, str(tmp_path), what, text],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert begun in iter(lambda: process.stdout.readline().strip(), "")
    site = SmallSite(tmp_path)
    deadline = time.monotonic() + PATIENCE
    while not any(b"time.sleep(600)" in words(p) for p in site.left()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    while site.left():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.stdout.close()


def words(process):
    with suppress(OSError):
        return Path(f"/proc/{process.pid}/cmdline").read_bytes()
    return b""


def test_a_task_that_shouts_is_cut(site):
    shout = "import sys; [sys.stdout.write('x' * 99 + chr(10)) for _ in range(20000)]; sys.exit(3)"
    result = site.play(HANG.format(f'python3 -c "{shout}"'))
    assert result.outcome is PlaybookOutcome.FAILED
    told = [t for t in site.told if isinstance(t, TaskFailed)]
    assert len(told) == 2
    assert all(len(t.message) <= 4_000 for t in told)
    assert Path(result.artifact).stat().st_size < 200_000


def test_a_gate_that_shouts_is_cut(site):
    gate = "def test_a(host):\n    for _ in range(100_000): print('x' * 99)\n"
    gate += "    assert 0, 'y' * 10**6\n"
    result = site.check(gate, hosts=("h1",))
    assert [t.message[:3] for t in site.told if isinstance(t, CheckFinished)] == ["yyy"]
    assert len(result.checks[0].message) <= 4_000


def test_no_secret_leaves_the_attempt(site, monkeypatch):
    """Neither in arguments, events, reasons, nor in any file that is left."""
    monkeypatch.setenv("SOME_PASSWORD", CANARY)
    arguments = []

    def look(_):
        arguments.extend(words(process) for process in processes_of(f"{site.run}/"))

    site.write("group_vars/servers.yml", f"db_password: {CANARY}-known\n")
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
    )
    assert result.outcome is PlaybookOutcome.FAILED
    assert b"ansible-playbook" in b"".join(arguments)
    assert f"{CANARY}-known".encode() not in b"".join(arguments)
    gate = "def test_a(host):\n    seen = host.ansible.get_variables()['db_password']\n"
    checked = site.check(gate + "    assert not seen\n")
    assert "assert not" in checked.checks[0].message
    assert CANARY not in f"{site.told}{result}{checked}"
    kept = [p for p in site.state.rglob("*") if p.is_file()]
    assert kept
    assert CANARY not in "".join(path.read_text() for path in kept)


def test_nothing_is_left_in_memory(site):
    seen = []

    def look(_):
        seen.extend(Path("/dev/shm").glob(f"drcli-{os.getpid()}-*"))

    site.play("- ansible.builtin.debug: {msg: x}", tell=look)
    assert [p for p in set(seen) if p.exists()] == []
    assert seen


def test_the_handlers_of_signals_stay_as_they_are(site):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    site.play("- ansible.builtin.debug: {msg: x}")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_log_is_private_and_in_order(site):
    result = site.play("- ansible.builtin.debug: {msg: hello}")
    path = Path(result.artifact)
    assert path == site.state / "artifacts" / site.run / "web-1.jsonl"
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


def test_a_log_on_a_full_disk_does_not_stop_a_playbook(site):
    folder = site.state / "artifacts" / site.run
    folder.mkdir(mode=0o700, parents=True)
    (folder / "web-1.jsonl").symlink_to("/dev/full")
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
