"""Runs one command as a person would, and says what it took: wall time, processor, memory."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LIMIT = 1800.0  # seconds; a benchmark that hangs must end
_TAIL = 1_500  # characters of a failed command's output in an error


class CommandFailed(Exception):  # noqa: N818 -- what happened, in past tense
    """A side did not do its work: the message has the end of what it printed."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended; `cpu` seconds and `peak_mib` are of its processes on this machine.

    `peak_mib` is the largest resident size of any one of them. A process it left behind is in none
    of them.
    """

    code: int
    out: str
    err: str
    seconds: float
    cpu: float
    peak_mib: float


def run(  # noqa: PLR0913 -- a command's whole world, each by name
    command: Sequence[str | Path],
    *,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: str = "",
    limit: float = LIMIT,
    allow: bool = False,
) -> Ended:
    """Run it to its end; neither it nor its process group is left when this returns or raises.

    Raises:
        CommandFailed: its exit code was not 0 (unless `allow`), or `limit` seconds were over.
    """
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with tempfile.TemporaryFile() as given:
            given.write(stdin.encode())
            given.seek(0)
            begun = time.perf_counter()
            process = subprocess.Popen(
                words, cwd=cwd, env=env, stdin=given, stdout=out, stderr=err, start_new_session=True
            )
        over = threading.Event()

        def end() -> None:
            over.set()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(limit, end)
        timer.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            timer.cancel()
            if process.returncode is None:
                _end_group(process)
        ended = Ended(
            code=process.returncode,
            out=_read(out),
            err=_read(err),
            seconds=seconds,
            cpu=used.ru_utime + used.ru_stime,
            peak_mib=used.ru_maxrss / 1024,
        )
    if over.is_set():
        raise CommandFailed(f"{words[0]} did not end within {limit:g} s: {_tail(ended)}")
    if ended.code and not allow:
        raise CommandFailed(f"{' '.join(words)[:200]} ended with {ended.code}: {_tail(ended)}")
    return ended


def peak_mib() -> float:
    """The largest resident size that this process ever had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Interrupted: ask it to stop in good order, as Ctrl-C does; then insist."""
    for number, patience in ((signal.SIGINT, 15.0), (signal.SIGKILL, 5.0)):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(patience)
            return


def _read(file: object) -> str:
    file.seek(0)  # type: ignore[attr-defined]
    data: bytes = file.read()  # type: ignore[attr-defined]
    return data.decode("utf-8", "replace")


def _tail(ended: Ended) -> str:
    return (ended.out + ended.err).strip()[-_TAIL:]
