"""A process for each gate, forked from a warm one, which is started when first needed.

The warm process (`gate_server.py`) is one for each `GateProcesses`. One that dies takes the gates
that run in it along, and the next gate starts another.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from orchestrator.attempt import LOCALE, MARK
from orchestrator.errors import MachineError
from orchestrator.warm_process import await_end, server_mark

PATIENCE = 10.0  # seconds until a server that does not answer is given up
LOADING = 120.0  # until one is that has not answered yet: disks are cold after a power cut
_TRIES = 2
_FORKED = b"forked\n"


@dataclass(frozen=True, kw_only=True)
class GateProcess:
    """A gate's process, as seen from here: descriptors to read from.

    `report`: the plugin's lines, one message each. `output`: its stdout and stderr. `status`:
    `ended CODE` once it has ended; closed without that, its end is not known.
    """

    report: socket.socket
    output: int
    status: int


class GateProcesses:
    """Starts processes for gates; may be used from several threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._server: _Server | None = None

    def start(self) -> None:
        """Have the server load what gates need, while something else is done."""
        with self._lock:
            self._living()

    def close(self) -> None:
        """End the server, and with it every process that it forked."""
        with self._lock:
            if self._server:
                self._server.end()
            self._server = None

    @contextmanager
    def fork(
        self,
        words: Sequence[str],
        *,
        mark: str,
        folder: Path,
        environment: Mapping[str, str],
        job: Mapping[str, object],
    ) -> Iterator[GateProcess]:
        """A new process that runs pytest with these words; ending it is the caller's.

        Raises:
            MachineError: no process can be had.
        """
        message = {
            "mark": mark,
            "folder": str(folder),
            "environment": dict(environment),
            "words": list(words),
        }
        data = json.dumps(message).encode()
        said = ""
        for _ in range(_TRIES):
            with self._lock:
                server = self._living()
            with _channels(job) as (process, theirs):
                if server.ask(data, theirs, process.status):
                    yield process
                    return
                said = server.end()
        raise MachineError(f"the process that gates run in does not start: {said}")

    def _living(self) -> _Server:
        if self._server is None or not self._server.lives:
            self._server = _Server()
        return self._server


class _Server:
    """The warm process; it ends at the latest with this object, or with our process."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.settimeout(PATIENCE)
        self._printed = os.fdopen(os.memfd_create("drcli-gate-server"), "rb")
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 -- our interpreter and fixed words
                [sys.executable, "-P", "-m", "orchestrator.gate_server", str(theirs.fileno())],
                cwd="/",
                env={"LANG": LOCALE, "LC_ALL": LOCALE, MARK: server_mark("gate-server")},
                stdin=subprocess.DEVNULL,
                stdout=self._printed,
                stderr=self._printed,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._loaded = False
        self._end = weakref.finalize(self, _end, self._process, self._control)

    @property
    def lives(self) -> bool:
        return self._end.alive and self._process.poll() is None

    def ask(self, data: bytes, descriptors: list[int], status: int) -> bool:
        """Ask for a process; whether there is one now. The descriptors are closed here.

        Raises:
            MachineError: the machine has no room for another process.
        """
        try:
            socket.send_fds(self._control, [data], descriptors)
        except OSError:
            return False
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        with selectors.DefaultSelector() as selector:
            selector.register(status, selectors.EVENT_READ)
            patience = PATIENCE if self._loaded else LOADING
            said = os.read(status, len(_FORKED)) if selector.select(patience) else b""
        if said not in {b"", _FORKED}:
            why = (said + os.read(status, 300)).decode(errors="replace").strip()
            raise MachineError(
                f"no process for a gate: {why}", hint="Look at `ulimit -u` and free."
            )
        self._loaded = said == _FORKED
        return self._loaded

    def end(self) -> str:
        """End it; the last of what it printed."""
        self._end()
        with suppress(ValueError):
            self._printed.seek(0)
            return " ".join(self._printed.read().decode(errors="replace").split())[-300:]
        return ""


def _end(process: subprocess.Popen[bytes], control: socket.socket) -> None:
    """Close its control: it then ends what it has forked, and itself."""
    control.close()
    await_end(process)


@contextmanager
def _channels(job: Mapping[str, object]) -> Iterator[tuple[GateProcess, list[int]]]:
    """Our ends and theirs. The job lies in memory alone: it may hold decrypted secrets.

    Their ends are closed by whoever sends them.
    """
    job_fd = os.memfd_create("drcli-gate-job")
    data = json.dumps(job).encode()
    while data:
        data = data[os.write(job_fd, data) :]
    os.lseek(job_fd, 0, os.SEEK_SET)
    report, their_report = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    output, their_output = os.pipe()
    status, their_status = os.pipe()
    theirs = [job_fd, their_report.detach(), their_output, their_status]
    try:
        yield GateProcess(report=report, output=output, status=status), theirs
    finally:
        report.close()
        os.close(output)
        os.close(status)
