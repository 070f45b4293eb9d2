"""The world of one attempt: its private folder, its environment, and the end of its processes.

A playbook or a gate starts processes that leave its process group (Ansible's workers call setsid,
ssh goes to the background), so neither a group nor a parent tells who belongs to it. As root every
attempt runs in a process namespace (`contained`): when its first process ends, or the thread that
started it, or all of drcli by kill -9, the kernel ends the rest. Without root, and for whatever is
left, every attempt carries a mark in its environment, which children inherit, and `end_processes`
finds those with the mark, and all below them, in /proc.

SSH connections are shared within an attempt and with no other: their sockets are in its folder.
One that outlived a host's loss of power, or ended with somebody else's attempt, would hurt.

What a task had started on a host is out of reach from here: it may go on there until it ends or
writes to the closed connection. Playbooks are idempotent, and the gate looks at what is.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MARK = "DRCLI_ATTEMPT"
CONTROL_PATH_DIR = "ANSIBLE_SSH_CONTROL_PATH_DIR"
PATIENCE = 10.0  # seconds until a process that survives SIGKILL (uninterruptible) is reported

_DIES_WITH_ITS_THREAD = ("setpriv", "--pdeathsig", "KILL")
_NAMESPACE = ("unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
_PASSED_ON = ("HOME", "USER", "LOGNAME", "TZ", "SSH_AUTH_SOCK")
_LOCALE = "C.UTF-8"  # Ansible refuses others and any not installed; ssh speaks English in it
# An ansible.cfg that asks would wait for an answer until the time limit: nobody is there.
_ASKING = ("ANSIBLE_ASK_PASS", "ANSIBLE_ASK_VAULT_PASS", "ANSIBLE_BECOME_ASK_PASS")
_FOLDER = "drcli-"  # short: the path of an SSH control socket in it has at most 107 bytes


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process, told apart from a later one of the same number by when it started."""

    pid: int
    started: str
    command: str


def new_mark(run: str, component: str, attempt: int) -> str:
    """A mark that no other attempt has; it begins with the run's id."""
    return f"{run}/{component}/{attempt}/{uuid.uuid4().hex}"


def environment(project: Path, folder: Path, mark: str) -> dict[str, str]:
    """All that a child sees of this process's environment, and the project's Ansible set-up."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = str(Path(sys.executable).parent)
    config = project.absolute() / "ansible.cfg"
    ansible = (
        {"ANSIBLE_CONFIG": str(config)}
        if config.exists()
        else {"ANSIBLE_COLLECTIONS_PATH": str(project.absolute() / "collections")}
    )
    return {
        "LANG": _LOCALE,
        "LC_ALL": _LOCALE,
        **passed,
        **ansible,
        "PATH": f"{own}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_NOCOLOR": "1",
        **dict.fromkeys(_ASKING, "False"),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH": "%(directory)s/%%C",
        CONTROL_PATH_DIR: str(folder),
        MARK: mark,
    }


def contained(words: Sequence[str]) -> list[str]:
    """The command, run so that it ends with the thread that starts it, with all it has started."""
    return [*_container(), *words]


@cache
def _container() -> tuple[str, ...]:
    """What this machine and user can do: a process namespace, or the first process alone."""
    for way in ((*_DIES_WITH_ITS_THREAD, *_NAMESPACE), _DIES_WITH_ITS_THREAD):
        with suppress(OSError):
            done = subprocess.run([*way, "true"], capture_output=True, check=False)  # noqa: S603 -- fixed words
            if done.returncode == 0:
                return way
    return ()


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder for this attempt alone, mode 0700, in memory where possible; removed at last."""
    prefix = f"{_FOLDER}{_owner(os.getpid())}-"
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=_memory()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_memory(folder: Path) -> bool:
    """Whether what is written there never reaches a disk (but swap)."""
    done = subprocess.run(  # noqa: S603 -- fixed words and a path
        ["stat", "--file-system", "--format=%T", folder],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() in {"tmpfs", "ramfs"}


def write_private(path: Path, text: str) -> Path:
    """Write a new file for this user alone; return its path."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def sweep() -> None:
    """Remove the folders that attempts of a killed drcli left: they may hold secrets."""
    for base in {_memory(), tempfile.gettempdir()}:
        for folder in Path(base).glob(f"{_FOLDER}*"):
            owner = folder.name.removeprefix(_FOLDER).rpartition("-")[0]
            with suppress(OSError, ValueError):
                mine = folder.lstat().st_uid == os.getuid()
                if mine and owner != _owner(int(owner.partition("-")[0])):
                    shutil.rmtree(folder, ignore_errors=True)


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
    return tuple(found.values())


def end_processes(mark: str, *, patience: float = PATIENCE) -> tuple[str, ...]:
    """End every process of the attempt.

    Returns when none is left, or after `patience` seconds with what would not end, in words.
    """
    deadline = time.monotonic() + patience
    looks_left = 1
    while looks_left:
        left = processes_of(mark)
        # A child born while we looked at a dying parent is seen by a second look.
        looks_left = 2 if left else looks_left - 1
        if left and time.monotonic() > deadline:
            return tuple(f"process {p.pid} ({p.command}) does not end" for p in left)
        for process in left:
            _kill(process)
        if left:
            time.sleep(0.02)
    return ()


def _kill(process: Process) -> None:
    """Kill exactly this process: never a later one that was given its number."""
    with suppress(OSError):
        handle = os.pidfd_open(process.pid)
        try:
            if _read(Path(f"/proc/{process.pid}"))[2].started == process.started:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _read(entry: Path) -> tuple[str, int, Process]:
    """A process's state letter, its parent and itself, from its line in /proc (proc(5))."""
    line = (entry / "stat").read_text(encoding="utf-8", errors="replace")
    head, _, tail = line.rpartition(")")
    fields = tail.split()
    process = Process(pid=int(entry.name), started=fields[19], command=head.partition("(")[2])
    return fields[0], int(fields[1]), process


def _owner(pid: int) -> str:
    """A process as a folder's name has it; one that is gone is like no other."""
    with suppress(OSError):
        return f"{pid}-{_read(Path(f'/proc/{pid}'))[2].started}"
    return ""


def _memory() -> str:
    """A tmpfs where there is one, else the ordinary folder; its path is short (see _FOLDER)."""
    shm = "/dev/shm"  # noqa: S108 -- mkdtemp makes it private
    return shm if os.access(shm, os.W_OK | os.X_OK) else tempfile.gettempdir()
