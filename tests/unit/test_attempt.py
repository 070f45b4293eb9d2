"""An attempt's processes are found and ended, its folder is private, its environment small."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
import time
import uuid

import pytest

from orchestrator.attempt import (
    MARK,
    contained,
    end_processes,
    environment,
    new_mark,
    private_folder,
    processes_of,
    sweep,
)


@pytest.fixture
def mark():
    mark = f"test-{uuid.uuid4().hex}/web/1"
    yield mark
    end_processes(mark)


def start(mark, code, wrap=list, **options):
    """A marked process of this code, which has printed a line: it is where the test wants it."""
    process = subprocess.Popen(
        wrap([sys.executable, "-c", code]),
        env={MARK: mark, "PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        **options,
    )
    assert process.stdout.readline()
    return process


SLEEP = "import time; print(1, flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SLEEP


def test_marks_differ_and_begin_with_the_run():
    first, second = new_mark("r1", "dns", 1), new_mark("r1", "dns", 1)
    assert first != second
    assert first.startswith("r1/")


def test_a_process_with_the_mark_is_found_by_its_run_alone(mark):
    process = start(mark, SLEEP)
    assert [p.pid for p in processes_of(mark.partition("/")[0] + "/")] == [process.pid]
    assert processes_of(f"other-{mark}") == ()
    process.kill()
    process.wait()


def test_a_process_that_ignores_sigterm_is_ended(mark):
    process = start(mark, STUBBORN)
    assert end_processes(mark) == ()
    assert process.wait() == -signal.SIGKILL


def test_a_stopped_process_is_ended(mark):
    process = start(mark, SLEEP)
    os.kill(process.pid, signal.SIGSTOP)
    assert end_processes(mark) == ()
    assert process.wait() == -signal.SIGKILL


def test_what_left_its_session_and_lost_its_parent_is_ended(mark):
    code = (
        "import os, sys, subprocess\n"
        f"child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)\n"
    )
    process = start(mark, code)
    process.wait()
    assert len(processes_of(mark)) == 1
    assert end_processes(mark) == ()
    assert processes_of(mark) == ()


def test_a_descendant_that_dropped_the_mark_is_ended(mark):
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}], env={{}})"
    process = start(mark, code)
    assert len(processes_of(mark)) == 2
    assert end_processes(mark) == ()
    process.wait()


def test_a_process_that_keeps_making_children_is_ended(mark):
    code = (
        "import os, time\n"
        "print(1, flush=True)\n"
        "while True:\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        time.sleep(600)\n"
        "    time.sleep(0.02)\n"
    )
    process = start(mark, code)
    assert end_processes(mark) == ()
    assert processes_of(mark) == ()
    process.wait()


def test_what_is_contained_ends_with_the_thread_that_started_it(mark):
    started = []
    ended = threading.Event()

    def work():
        code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], "
        code += "start_new_session=True); " + SLEEP
        started.append(start(mark, code, wrap=contained))
        assert ended.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 30
    while len(processes_of(mark)) < 3:  # unshare and two of Python
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ended.set()
    thread.join()
    while processes_of(mark):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert started[0].wait() == -signal.SIGKILL


def test_what_is_contained_keeps_its_exit_code():
    assert subprocess.run(contained(["sh", "-c", "exit 7"]), check=False).returncode == 7


def test_a_private_folder_is_private_and_gone_afterwards():
    with private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "secret").write_text("x")
    assert not folder.exists()


def test_the_folder_of_a_killed_drcli_is_swept_and_one_in_use_is_not():
    with private_folder() as used:
        _, started, _ = used.name.removeprefix("drcli-").split("-")
        gone = subprocess.Popen(["true"])
        gone.wait()
        left = [
            used.with_name(f"drcli-{gone.pid}-{started}-left{os.getpid()}"),
            used.with_name(f"drcli-{os.getpid()}-1-left{os.getpid()}"),  # a later one's number
        ]
        for folder in left:
            folder.mkdir(0o700)
        sweep()
        assert used.exists()
        assert not any(folder.exists() for folder in left)


def test_the_path_of_a_control_socket_is_not_too_long():
    with private_folder() as folder:
        name = f"{folder}/{'0' * 40}.{'0' * 16}"  # as ssh names it while it is made
        assert len(name) <= 107 or not os.access("/dev/shm", os.W_OK)


def test_the_environment_is_small(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    monkeypatch.setenv("ANSIBLE_RUN_TAGS", "never")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    given = environment(tmp_path, tmp_path / "own", "m")
    assert set(given) <= {
        "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "SSH_AUTH_SOCK", "PATH", MARK,
        "ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_NOCOLOR", "ANSIBLE_LOCAL_TEMP",
        "ANSIBLE_ASK_PASS", "ANSIBLE_ASK_VAULT_PASS", "ANSIBLE_BECOME_ASK_PASS",
        "ANSIBLE_SSH_CONTROL_PATH", "ANSIBLE_SSH_CONTROL_PATH_DIR",
    }  # fmt: skip
    (tmp_path / "ansible.cfg").write_text("")
    given = environment(tmp_path, tmp_path / "own", "m")
    assert given["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
