"""One command at a time changes a lab, and one at a time shares out what a machine has once."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestrator.errors import LockedError, MachineError
from orchestrator.kernel_lock import take_lock

LABS = Path("/var/lib/drcli/labs")  # one folder for each instance
PATIENCE = 120.0  # seconds: a cut or a boot by somebody else is over by then


@contextmanager
def lab_lock(name: str, *, patience: float = PATIENCE) -> Iterator[None]:
    """Hold the lock of that name while the block runs; the last one out removes its file.

    Whoever holds it already is waited for, `patience` seconds.

    Raises:
        LockedError: somebody else held it for longer than one waits.
        MachineError: the folder of the labs cannot be written.
    """
    path = LABS / f".{name}.lock"
    try:
        lock = _take(path, patience)
    except TimeoutError as error:
        raise LockedError(
            f"another command is changing this lab ({path})",
            hint="Wait for it to end, or end it; then try again.",
        ) from error
    except OSError as error:
        raise MachineError(
            f"cannot use {path}: {error.strerror or error}",
            hint="The lab needs root: run the same command with sudo.",
        ) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.close()


def _take(path: Path, patience: float) -> BinaryIO:
    """Whoever waited may have got the lock of a file that is removed by now: not that one."""
    until = time.monotonic() + patience
    while True:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = take_lock(path, patience=until - time.monotonic())
        if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
            return lock
        lock.close()
