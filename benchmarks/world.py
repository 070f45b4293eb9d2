"""A world of its own for each run: a fresh home, no connection open, nothing left afterwards."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.command import CommandFailed

TOOLS = Path(sys.executable).parent
PEERS = Path(__file__).with_name("peers")
DRCLI = TOOLS / "drcli"
_ESTABLISHED = "01"
_FOREIGN = ("ANSIBLE_", "DRCLI_", "PYTEST_", "MITOGEN_", "SSH_", "XDG_")
_PATIENCE = 5.0


@contextmanager
def fresh_home(**more: str) -> Iterator[dict[str, str]]:
    """The environment of a run whose home is new and empty: no shared connection can be in it.

    Whatever a run leaves behind (masters of SSH connections above all) is found by that home and
    ended. `more` is added to the environment.
    """
    home = Path(
        tempfile.mkdtemp(prefix="drcli-b-", dir="/tmp")
    )  # the path of a control socket must be short
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    path = f"{TOOLS}:{kept.get('PATH', os.defpath)}"
    try:
        yield {**kept, "HOME": str(home), "PATH": path, "DRCLI_STATE_DIR": f"{home}/state", **more}
    finally:
        end_all_of(home)
        shutil.rmtree(home, ignore_errors=True)


def end_all_of(home: Path) -> None:
    """End every process that has this home in its environment, or a path of it in its title.

    The master of a shared connection writes its title over its environment.
    """
    deadline = time.monotonic() + _PATIENCE
    number = signal.SIGTERM
    while left := list(_of(home)):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        time.sleep(0.05)


def _of(home: Path) -> Iterator[int]:
    mark = f"HOME={home}\0".encode()
    path = f"{home}/".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if (entry / "stat").read_text().rpartition(") ")[2][0] in "ZX":
                continue
            if mark in (entry / "environ").read_bytes() or path in (entry / "cmdline").read_bytes():
                yield int(entry.name)


def require_cold(endpoints: frozenset[tuple[str, int]]) -> None:
    """Make sure that nothing on this machine is connected to one of these (address, port).

    Raises:
        CommandFailed: something stays connected: a run would not be a cold one.
    """
    deadline = time.monotonic() + _PATIENCE
    while found := endpoints & _connected():
        if time.monotonic() > deadline:
            raise CommandFailed(f"not cold: still connected to {sorted(found)}")
        time.sleep(0.05)


def _connected() -> frozenset[tuple[str, int]]:
    """Where this machine's own IPv4 connections lead (proc(5), /proc/net/tcp)."""
    found = set()
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]:
        _, _, remote, state = line.split()[:4]
        if state == _ESTABLISHED:
            address, port = remote.split(":")
            packed = struct.pack("=I", int(address, 16))
            found.add((socket.inet_ntoa(packed), int(port, 16)))
    return frozenset(found)
