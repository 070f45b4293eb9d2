"""One run a site at a time in one state directory, and who holds its lock.

STATE/locks/SITE.lock is the lock, which the kernel gives back when its holder dies;
STATE/locks/SITE.holder says who holds it. A process is known by the boot it lives in, its number
and the moment it began: a number alone may have been given to another process.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.errors import LockedError, MachineError
from orchestrator.kernel_lock import take_lock
from orchestrator.state_directory import make_private, write_private

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_TIME_FIELD = 22  # of /proc/PID/stat, counted from 1; see proc_pid_stat(5)


class Holder(BaseModel):
    """Who holds a site's lock; `began` is in clock ticks from boot."""

    model_config = ConfigDict(frozen=True)

    run: str
    by: str
    since: datetime
    pid: int
    boot_id: str
    began: int

    @property
    def alive(self) -> bool:
        """The very process that took the lock still lives."""
        return self.boot_id == _boot_id() and self.began == _process_began(self.pid)

    def __str__(self) -> str:
        """Who and since when, for a message."""
        since = self.since.astimezone()
        return f"run {self.run} of {self.by} (process {self.pid}) since {since:%Y-%m-%d %H:%M:%S}"


@contextmanager
def site_lock(state_dir: Path, site: str, *, run: str, since: datetime, by: str) -> Iterator[None]:
    """Hold the site's lock, as this process, for as long as the block runs.

    Raises:
        LockedError: another run of the site is under way.
        MachineError: the state directory cannot be written.
    """
    folder = make_private(make_private(state_dir) / "locks")
    try:
        lock = take_lock(folder / f"{site}.lock")
    except TimeoutError as error:
        raise _locked(state_dir, site) from error
    except OSError as error:
        raise MachineError(
            f"cannot take the lock {folder / site}.lock: {error.strerror or error}",
            hint="Make the state directory writable, or name another with --state-dir.",
        ) from error
    holder = Holder(
        run=run,
        by=by,
        since=since,
        pid=os.getpid(),
        boot_id=_boot_id(),
        began=_process_began(os.getpid()) or 0,
    )
    with lock:
        with suppress(OSError):  # without it the lock still holds; it only cannot say who holds it
            write_private(_holder_file(state_dir, site), holder.model_dump_json())
        try:
            yield
        finally:
            with suppress(OSError):
                _holder_file(state_dir, site).unlink()


def lock_holder(state_dir: Path, site: str) -> Holder | None:
    """The living process that holds the site's lock; None when there is none."""
    try:
        text = _holder_file(state_dir, site).read_text(encoding="utf-8")
        holder = Holder.model_validate_json(text)
    except (OSError, ValidationError):
        return None
    return holder if holder.alive else None


def _holder_file(state_dir: Path, site: str) -> Path:
    return state_dir / "locks" / f"{site}.holder"


def _locked(state_dir: Path, site: str) -> LockedError:
    who = lock_holder(state_dir, site) or "another process"
    return LockedError(
        f"{site} is being recovered already: {who}",
        hint=f"See how far it is: drcli status --site {site}",
    )


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
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
