"""A lock on a file, which the kernel gives back when its holder dies: flock(2).

Not through filelock: since 3.30 it forbids a thread to fork, for the whole process, while another
thread forks (an audit hook), and two components may start at the very same moment.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import BinaryIO

_AGAIN = 0.05  # seconds between two tries


def take_lock(path: Path, *, patience: float = 0.0) -> BinaryIO:
    """Lock the file, made if need be; whoever closes what is returned gives the lock back.

    Programs that are started meanwhile do not inherit it. The file stays: were it removed, two
    could hold a lock of the same name.

    Args:
        path: The file; its folder exists.
        patience: Seconds to wait for whoever holds it.

    Raises:
        TimeoutError: another holds it, still after that time.
        OSError: the file cannot be made or opened.
    """
    file = open(path, "ab", buffering=0, opener=_private)  # noqa: SIM115 — it is the caller's to close
    until = time.monotonic() + patience
    try:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    raise TimeoutError(f"{path} is locked") from error
                time.sleep(_AGAIN)
            else:
                return file
    except BaseException:
        file.close()
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o600)
