"""One command at a time changes a lab."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.errors import LockedError, MachineError
from orchestrator.kernel_lock import take_lock
from orchestrator.lab.definition import LAB_ROOT, lab_folder

PATIENCE = 120.0  # seconds: a cut or a boot of a few hosts by somebody else is over by then


@contextmanager
def lab_lock(site: str) -> Iterator[None]:
    """Hold the lock of a site's lab while the block runs.

    Raises:
        LockedError: somebody else held it for longer than one waits.
        MachineError: the lab's folder cannot be written.
    """
    path = LAB_ROOT / f"{lab_folder(site).name}.lock"
    try:
        LAB_ROOT.mkdir(mode=0o755, parents=True, exist_ok=True)
        lock = take_lock(path, patience=PATIENCE)
    except TimeoutError as error:
        raise LockedError(
            f"another command is changing the lab of {site} ({path})",
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
        lock.close()
