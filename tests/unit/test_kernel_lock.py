"""A lock on a file, which the kernel gives back when its holder dies."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
import threading

import pytest

from orchestrator.kernel_lock import take_lock

HOLD = textwrap.dedent("""
    import sys
    from pathlib import Path
    from orchestrator.kernel_lock import take_lock
    with take_lock(Path(sys.argv[1])):
        print("held", flush=True)
        sys.stdin.read()
""")

# Threads take turns at each bytecode here, not each 5 ms: what is rare happens at once.
START_TOGETHER = textwrap.dedent("""
    import os, sys, threading
    import orchestrator.cli.recover, orchestrator.lab.lab_lock
    sys.setswitchinterval(1e-6)
    errors = []
    def start():
        for _ in range(50):
            try:
                child, terminal = os.forkpty()
            except RuntimeError as error:
                errors.append(str(error))
                continue
            if child == 0:
                os._exit(0)
            os.close(terminal)
            os.waitpid(child, 0)
    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(len(errors), set(errors))
""")


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path / "lock"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate(timeout=10)


def test_a_lock_that_is_held_is_not_waited_for_unless_one_has_patience(tmp_path, other):
    with pytest.raises(TimeoutError):
        take_lock(tmp_path / "lock")
    with pytest.raises(TimeoutError):
        take_lock(tmp_path / "lock", patience=0.1)


def test_with_patience_one_gets_it_when_its_holder_is_killed(tmp_path, other):
    threading.Timer(0.2, other.kill).start()
    take_lock(tmp_path / "lock", patience=math.inf).close()


def test_threads_of_one_process_exclude_each_other(tmp_path):
    with take_lock(tmp_path / "lock"), pytest.raises(TimeoutError):
        take_lock(tmp_path / "lock")
    take_lock(tmp_path / "lock").close()


def test_a_program_that_was_started_meanwhile_does_not_keep_it(tmp_path):
    with take_lock(tmp_path / "lock"):
        child = subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE, close_fds=False)
    try:  # the kernel lets us go on before it has closed what the program does not inherit
        take_lock(tmp_path / "lock", patience=5).close()
    finally:
        child.communicate(timeout=10)


def test_the_file_is_its_owners_alone_and_stays(tmp_path):
    take_lock(tmp_path / "lock").close()
    assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_folder_that_does_not_exist_is_an_error_of_the_system(tmp_path):
    with pytest.raises(FileNotFoundError):
        take_lock(tmp_path / "none" / "lock")


def test_components_may_start_at_the_very_same_moment():
    """Nothing that drcli imports forbids one thread to fork while another does.

    filelock does since 3.30: the playbook of the second component then fails before it began.
    """
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", START_TOGETHER],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert ran.stdout == "0 set()\n"
