"""The guardian of a worker ends what outlives its lease, or its worker."""

from __future__ import annotations

import os
import subprocess
import time
import uuid

import pytest

from orchestrator.attempt import MARK
from orchestrator.errors import MachineError
from orchestrator.guardian import Guardian

PATIENCE = 30.0


@pytest.fixture
def child():
    """Start a process that carries a mark, in a session of its own; it is killed at last."""
    started = []

    def start():
        mark = f"run-{uuid.uuid4().hex}"
        environment = {**os.environ, MARK: f"{mark}/web/1/x"}
        process = subprocess.Popen(["sleep", "600"], env=environment, start_new_session=True)
        started.append(process)
        return f"{mark}/", process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_what_outlives_its_lease_is_ended_and_what_has_one_is_not(child):
    guardian = Guardian()
    (short, ended), (long, spared) = child(), child()
    guardian.watch(long, time.monotonic() + 600)
    guardian.watch(short, time.monotonic())
    assert ended.wait(PATIENCE) != 0
    assert spared.poll() is None
    guardian.forget(long)
    guardian.close()
    assert spared.poll() is None


def test_a_lease_can_be_renewed(child):
    guardian = Guardian()
    (mark, process), (other, ended) = child(), child()
    guardian.watch(mark, time.monotonic())
    guardian.watch(mark, time.monotonic() + 600)
    guardian.watch(other, time.monotonic())
    ended.wait(PATIENCE)
    assert process.poll() is None
    guardian.forget(mark)
    guardian.close()


def test_when_its_worker_is_gone_it_ends_all_it_watched(child):
    guardian = Guardian()
    mark, process = child()
    guardian.watch(mark, time.monotonic() + 600)
    guardian.close()  # as the kernel does it to a worker's pipe
    assert process.wait(PATIENCE) != 0


def test_without_a_guardian_nothing_may_be_started(child):
    guardian = Guardian()
    guardian._process.kill()
    guardian._process.wait()
    with pytest.raises(MachineError, match="guardian is gone"):
        guardian.watch("x/", time.monotonic())
    guardian.close()
