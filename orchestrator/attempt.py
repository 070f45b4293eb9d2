"""The world of one attempt: its mark, environment and private folder, and the end of its processes.

A playbook or a gate starts processes that leave its process group (Ansible's workers call setsid,
ssh goes to the background), so neither a group nor a parent tells who belongs to it. Every attempt
therefore carries a mark of its own in its environment, which children inherit, and its processes
are found in /proc: those with the mark, and all below them.

The background master of a shared SSH connection (ControlPersist) is spared: other playbooks and
gates may be speaking through it at that moment, it runs no task of its own, and ServerAlive and
ControlPersist end it. What a task had started on a host is out of reach from here: it may go on
there until it ends or writes to the closed connection. Playbooks are idempotent, and the gate looks
at what is.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

MARK = "DRCLI_ATTEMPT"
GRACE = 2.0  # seconds from SIGTERM to SIGKILL
PATIENCE = 10.0  # seconds until a process that survives SIGKILL (uninterruptible) is reported

_PASSED_ON = ("HOME", "USER", "LOGNAME", "TZ", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR")
LOCALE = "C.UTF-8"  # Ansible refuses others and any not installed; ssh speaks English in it
_MASTER = re.compile(rb"^ssh: .*\[mux\]")
_FOLDER = "drcli-attempt-"
_UNLOCKED = f".{_FOLDER}"  # its name until it is locked: nothing is in it yet
_YOUNG = 60.0  # seconds; a younger one of that name may be about to be locked


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, told apart from a later one of the same number by when it started."""

    pid: int
    started: str
    command: str


def new_mark(run: str, component: str, attempt: int) -> str:
    """A mark that no other attempt has; it begins with the run's id."""
    return f"{run}/{component}/{attempt}/{uuid.uuid4().hex}"


def environment(project: Path, mark: str) -> dict[str, str]:
    """All that a child sees of this process's environment, and the project's Ansible set-up."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = str(Path(sys.executable).parent)
    config = project / "ansible.cfg"
    ansible = (
        {"ANSIBLE_CONFIG": str(config)}
        if config.exists()
        else {"ANSIBLE_COLLECTIONS_PATH": str(project / "collections")}
    )
    return {
        "LANG": LOCALE,
        "LC_ALL": LOCALE,
        **passed,
        **ansible,
        "PATH": f"{own}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_NOCOLOR": "1",
        MARK: mark,
    }


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for this attempt alone, mode 0700, in memory where possible; removed at last.

    It is locked for as long as it bears its name, so that `sweep` can tell at once one that a
    killed drcli left behind.
    """
    made = Path(tempfile.mkdtemp(prefix=_UNLOCKED, dir=_memory() or tempfile.gettempdir()))
    folder = made.with_name(made.name.removeprefix("."))
    lock = os.open(made, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made.rename(folder)
        yield folder
    finally:
        for left in (folder, made):
            shutil.rmtree(left, ignore_errors=True)
        os.close(lock)


def in_memory(folder: Path) -> bool:
    """Whether what is written there never reaches a disk (swap apart)."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text().splitlines()]
    above = [(len(at), kind) for at, kind in mounts if folder.is_relative_to(at)]
    return bool(above) and max(above)[1] in {"tmpfs", "ramfs"}


def sweep() -> None:
    """Remove the folders that attempts of a killed drcli left: they may hold secrets."""
    for base in {_memory() or Path(tempfile.gettempdir()), Path(tempfile.gettempdir())}:
        for folder in (p for name in (_FOLDER, _UNLOCKED) for p in base.glob(f"{name}*")):
            with suppress(OSError):
                found = folder.lstat()
                if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
                    continue
                young = time.time() - found.st_mtime < _YOUNG
                if young and folder.name.startswith(_UNLOCKED):
                    continue
                lock = os.open(folder, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
                finally:
                    os.close(lock)


def processes_of(mark: str) -> tuple[Process, ...]:
    """The living processes of an attempt, or of all attempts whose mark begins with `mark`."""
    needle = f"{MARK}={mark}".encode()
    found: dict[int, Process] = {}
    children: dict[int, list[Process]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            state, parent, process = _read(entry)
            if state in "ZX":
                continue
            children.setdefault(parent, []).append(process)
            with suppress(PermissionError):
                environ = (entry / "environ").read_bytes()
                if any(v.startswith(needle) for v in environ.split(b"\0")):
                    found[process.pid] = process
    waiting = list(found)
    while waiting:
        below = [p for p in children.get(waiting.pop(), []) if p.pid not in found]
        found.update((p.pid, p) for p in below)
        waiting += [p.pid for p in below]
    return tuple(process for pid, process in found.items() if not _is_master(pid))


def end_processes(
    mark: str, *, grace: float = GRACE, patience: float = PATIENCE
) -> tuple[str, ...]:
    """End every process of the attempt: SIGTERM, then SIGKILL after `grace` seconds.

    Returns when none is left, or after `patience` seconds with what would not end, in words.
    """
    begun = time.monotonic()
    sent: set[tuple[Process, signal.Signals]] = set()
    looks_left = 1
    while looks_left:
        left = processes_of(mark)
        # A child born while we looked at a dying parent is seen by a second look.
        looks_left = 2 if left else looks_left - 1
        waited = time.monotonic() - begun
        if left and waited > patience:
            return tuple(f"process {p.pid} ({p.command}) does not end" for p in left)
        number = signal.SIGTERM if waited < grace else signal.SIGKILL
        for process in left:
            if (process, number) not in sent:
                _send(process, number)
                sent.add((process, number))
        if left:
            time.sleep(0.05)
    return ()


def _send(process: Process, number: signal.Signals) -> None:
    """Signal exactly this process: never a later one that was given its number."""
    with suppress(OSError):
        handle = os.pidfd_open(process.pid)
        try:
            if _read(Path(f"/proc/{process.pid}"))[2].started == process.started:
                signal.pidfd_send_signal(handle, number)
        finally:
            os.close(handle)


def _read(entry: Path) -> tuple[str, int, Process]:
    """A process's state letter, its parent and itself, from its line in /proc (proc(5))."""
    line = (entry / "stat").read_text(encoding="utf-8", errors="replace")
    head, _, tail = line.rpartition(")")
    fields = tail.split()
    process = Process(pid=int(entry.name), started=fields[19], command=head.partition("(")[2])
    return fields[0], int(fields[1]), process


def _is_master(pid: int) -> bool:
    with suppress(OSError):
        return bool(_MASTER.match(Path(f"/proc/{pid}/cmdline").read_bytes()))
    return False


def _memory() -> Path | None:
    """Where a tmpfs of this machine can be written."""
    for name in (os.environ.get("XDG_RUNTIME_DIR"), "/dev/shm"):  # noqa: S108 -- mkdtemp makes it private
        if name and os.access(name, os.W_OK | os.X_OK) and in_memory(Path(name)):
            return Path(name)
    return None
