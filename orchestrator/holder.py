"""Who holds a site: a process on a machine, and whether it still lives.

A process is known by the boot it lives in, its number and the moment it began: a number alone may
have been given to another process. Of a process on another machine nothing is known from here.
"""

from __future__ import annotations

import os
import socket
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MACHINE_ID = Path("/etc/machine-id")
_PROCESSES = Path("/proc/self/ns/pid")  # two containers of a machine number processes apart
_START_TIME_FIELD = 22  # of /proc/PID/stat, counted from 1; see proc_pid_stat(5)


class Fate(StrEnum):
    """What has become of a holder, as far as it can be known here."""

    LIVES = "lives"
    DEAD = "dead"
    FAR = "far"  # on another machine: only its heartbeat can tell


class Holder(BaseModel):
    """Who holds a site's lock."""

    model_config = ConfigDict(frozen=True)

    run: str
    pid: int
    since: datetime
    by: str
    controller: str = ""
    machine: str = ""
    boot_id: str
    processes: str = ""
    process_began: int

    @property
    def fate(self) -> Fate:
        """It lives, is dead for certain, or is on another machine."""
        if (self.boot_id, self.processes) == (_boot_id(), _process_numbers()):
            same = self.process_began == _process_began(self.pid)
            return Fate.LIVES if same else Fate.DEAD
        if self.machine and self.machine == _machine() and self.boot_id != _boot_id():
            return Fate.DEAD  # this machine has booted since
        return Fate.FAR

    @property
    def alive(self) -> bool:
        """The very process that took the lock still lives, on this machine."""
        return self.fate is Fate.LIVES

    def __str__(self) -> str:
        """Who, from where, since when: for a message."""
        where = f" on {self.controller}" if self.controller else ""
        return (
            f"run {self.run} of {self.by}{where} (process {self.pid})"
            f" since {self.since:%H:%M:%S} UTC"
        )


def this_process(*, run: str, by: str, since: datetime) -> Holder:
    """This process as the holder of a site, for a run."""
    return Holder(
        run=run,
        by=by,
        since=since,
        pid=os.getpid(),
        controller=socket.gethostname(),
        machine=_machine(),
        boot_id=_boot_id(),
        processes=_process_numbers(),
        process_began=_process_began(os.getpid()) or 0,
    )


def _machine() -> str:
    """This machine, by two names that a copy of it would have to share; empty without an id."""
    try:
        number = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""
    return f"{number} {socket.gethostname()}" if number else ""


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _process_numbers() -> str:
    try:
        return str(_PROCESSES.readlink())
    except OSError:
        return ""


def _process_began(pid: int) -> int | None:
    """Clock ticks from boot to the process's start; None when there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    after_name = stat.rpartition(")")[2].split()  # the name may hold spaces and parentheses
    if after_name[0] in {"Z", "X"}:
        return None
    return int(after_name[_START_TIME_FIELD - 3])
