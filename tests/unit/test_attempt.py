"""An attempt's processes are found and ended, its folder is private, its environment small."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from pausing import pause

from orchestrator.attempt import (
    MARK,
    end_processes,
    environment,
    in_memory,
    new_mark,
    private_folder,
    processes_of,
    sweep,
)


@pytest.fixture
def mark():
    mark = f"test-{uuid.uuid4().hex}/web/1"
    yield mark
    end_processes(mark, grace=0)


def start(mark, code, **options):
    """A marked process of this code, which has printed a line: it is where the test wants it."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
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


def test_a_process_ends_politely_when_it_can(mark):
    code = "import signal, sys; signal.signal(15, lambda *_: sys.exit(7)); " + SLEEP
    process = start(mark, code)
    assert end_processes(mark) == ()
    assert process.wait() == 7


def test_a_process_that_ignores_sigterm_is_killed_after_the_grace(mark):
    process = start(mark, STUBBORN)
    begun = time.monotonic()
    assert end_processes(mark, grace=0.3) == ()
    assert time.monotonic() - begun >= 0.3
    assert process.wait() == -signal.SIGKILL


def test_a_stopped_process_is_ended(mark):
    process = start(mark, SLEEP)
    pause(process.pid)
    assert end_processes(mark, grace=0.1) == ()
    assert process.wait() == -signal.SIGKILL


def test_what_left_its_session_and_lost_its_parent_is_ended(mark):
    code = (
        "import os, sys, subprocess\n"
        f"child = subprocess.Popen([sys.executable, '-c', {STUBBORN!r}], start_new_session=True)\n"
    )
    process = start(mark, code)
    process.wait()
    assert len(processes_of(mark)) == 1
    assert end_processes(mark, grace=0.1) == ()
    assert processes_of(mark) == ()


def test_a_descendant_that_dropped_the_mark_is_ended(mark):
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}], env={{}})"
    process = start(mark, code)
    assert len(processes_of(mark)) == 2
    assert end_processes(mark, grace=0.2) == ()
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
    assert end_processes(mark, grace=0.2) == ()
    assert processes_of(mark) == ()
    process.wait()


def test_the_master_of_a_shared_ssh_connection_is_spared(mark):
    process = subprocess.Popen(
        ["ssh: /tmp/cp/0123 [mux]", "600"],
        executable="/bin/sleep",
        env={MARK: mark},
    )
    try:
        deadline = time.monotonic() + 5
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes().startswith(b"ssh: "):
            assert time.monotonic() < deadline
        assert end_processes(mark, grace=0) == ()
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()


def test_a_private_folder_is_private_and_gone_afterwards():
    with private_folder() as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "secret").write_text("x")
    assert not folder.exists()


def test_a_private_folder_is_in_memory_where_there_is_a_tmpfs(monkeypatch):
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    if not in_memory(Path("/dev/shm")):
        pytest.skip("no tmpfs at /dev/shm here")
    with private_folder() as folder:
        assert in_memory(folder)


def test_folders_of_a_killed_drcli_are_swept_at_once_and_those_in_use_are_not():
    with private_folder() as used:
        left = used.with_name(used.name + "-left")
        left.mkdir(0o700)
        (left / "become_password").write_text("x")
        os.utime(used, (0, 0))
        sweep()
        assert used.exists()
        assert not left.exists()


def test_a_folder_that_is_about_to_be_locked_is_left_alone_for_a_while():
    with private_folder() as used:
        young = used.with_name(f".{used.name}-young")
        old = used.with_name(f".{used.name}-old")
        for folder in (young, old):
            folder.mkdir(0o700)
        os.utime(old, (0, 0))
        sweep()
        assert young.exists()
        assert not old.exists()
        young.rmdir()


def test_the_environment_is_small(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    monkeypatch.setenv("ANSIBLE_RUN_TAGS", "never")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    given = environment(tmp_path, "m")
    assert set(given) <= {
        "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR",
        "PATH", "ANSIBLE_COLLECTIONS_PATH", "ANSIBLE_NOCOLOR", MARK,
    }  # fmt: skip
    (tmp_path / "ansible.cfg").write_text("")
    assert environment(tmp_path, "m")["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")
