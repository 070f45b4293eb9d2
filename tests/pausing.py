"""A process that does nothing until it is told to go on, as on a machine that hangs."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def stands_still(pid: int) -> bool:
    for thread in Path(f"/proc/{pid}/task").iterdir():
        try:
            state = (thread / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if state not in "TZ":
            return False
    return True


def pause(pid: int) -> None:
    """Stop a process, its threads with it, and return when it has stopped.

    A signal is on its way until the process has been given the processor: what is sent right
    after SIGSTOP may come before it.
    """
    os.kill(pid, signal.SIGSTOP)
    end = time.monotonic() + 60
    while not stands_still(pid):
        assert time.monotonic() < end, f"process {pid} did not stop"
        time.sleep(0.005)
