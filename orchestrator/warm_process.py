"""What processes have in common that others are forked from: room for a mark, and how they end.

An attempt's processes are found in /proc by the mark in their environment (attempt.py), and a
forked process shows there the one that its server was started with. A server is therefore started
with a mark of its own that is as long as any other, and the attempt's is written in its place.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import uuid

from orchestrator.attempt import MARK

ROOM = 1024  # bytes for a mark
PATIENCE = 10.0  # seconds for a server to end by itself

_PR_SET_PDEATHSIG = 1  # prctl(2)


def server_mark(name: str) -> str:
    """The mark that a server is started with."""
    return f"{name}/{os.getpid()}/{uuid.uuid4().hex}/".ljust(ROOM, "-")


class MarkRoom:
    """Where this process's mark stands, as /proc shows it."""

    def __init__(self) -> None:
        libc = ctypes.CDLL(None)
        libc.getenv.restype = ctypes.c_void_p
        self._address = libc.getenv(MARK.encode())

    def read(self) -> bytes:
        """What stands there, `ROOM` bytes."""
        return ctypes.string_at(self._address, ROOM)

    def write(self, mark: bytes) -> None:
        """Put another mark there; it must be `fits`."""
        ctypes.memmove(self._address, mark.ljust(ROOM, b"\0"), ROOM)


def fits(mark: bytes) -> bool:
    """Whether there is room for it."""
    return len(mark) < ROOM


def die_with(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))
    if os.getppid() != parent:  # it went before we asked
        os._exit(1)


def await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a server that was told to end has ended; kill one that does not."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
