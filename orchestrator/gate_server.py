"""A process that has pytest and testinfra loaded, and that gates are forked from.

Each gate gets a process of its own that has never run another: loading is shared, nothing else is.
The server reads no file of the project. It is one thread that only forks and waits. When the drcli
that started it is gone, it ends what it forked, and itself.

A forked process shows in /proc the environment that the server was started with. An attempt is
found there by its mark, so a place is kept for one: it is written before the fork, and the process
is born marked.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import selectors
import socket
import sys
import time
import traceback
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import _pytest.config
import pytest
import testinfra.modules

from orchestrator import gate_plugin
from orchestrator.attempt import end_processes
from orchestrator.warm_process import MarkRoom, die_with, fits

LONGEST = 131_072  # bytes of a request
DESCRIPTORS = 4  # that come with a request: job, report, output, status


@dataclass(frozen=True, kw_only=True)
class _Gate:
    """A gate that runs, and the pipe to say on how its process ended."""

    mark: str
    pid: int
    status: int


class _Server:
    """Forks a process for each request that comes over `control`."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._gates: dict[int, _Gate] = {}  # by a descriptor that is readable when it has ended
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._mark = MarkRoom()

    def serve(self) -> tuple[dict[str, Any], list[int]] | None:
        """Until drcli is gone; but in a forked process return its request and descriptors."""
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._gates:
                    self._over(key.fd)
                    continue
                request, descriptors = self._next()
                if request is None:
                    for gate in self._gates.values():
                        end_processes(gate.mark, grace=0)
                    return None
                if self._fork(request["mark"], descriptors):
                    return request, descriptors

    def _next(self) -> tuple[dict[str, Any] | None, list[int]]:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._control, LONGEST, DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            return None, []
        return (json.loads(data) if data else None), descriptors

    def _fork(self, mark: str, descriptors: list[int]) -> bool:
        """Whether this is the forked process."""
        server, status = os.getpid(), descriptors[-1]
        try:
            pid = self._fork_marked(mark.encode())
        except OSError as error:
            _say(status, f"failed: {error.strerror}")
            pid = -1
        if not pid:
            die_with(server)
            self._selector.close()
            self._control.close()
            for handle, gate in self._gates.items():
                os.close(handle)
                os.close(gate.status)
            os.close(status)
            return True
        for descriptor in descriptors[:-1] if pid > 0 else descriptors:
            os.close(descriptor)
        if pid > 0:
            _say(status, "forked")
            handle = os.pidfd_open(pid)
            self._gates[handle] = _Gate(mark=mark, pid=pid, status=status)
            self._selector.register(handle, selectors.EVENT_READ)
        return False

    def _fork_marked(self, mark: bytes) -> int:
        if not fits(mark):
            raise OSError(0, "its mark is too long")
        own, pid = self._mark.read(), -1
        self._mark.write(mark)
        try:
            pid = os.fork()
        finally:
            if pid:
                self._mark.write(own)
        return pid

    def _over(self, handle: int) -> None:
        """Say how a gate's process ended."""
        self._selector.unregister(handle)
        gate = self._gates.pop(handle)
        code = os.waitstatus_to_exitcode(os.waitpid(gate.pid, 0)[1])
        _say(gate.status, f"ended {code}")
        os.close(handle)
        os.close(gate.status)


def main() -> None:
    """Serve the socket whose descriptor is the first argument."""
    server = _Server(socket.socket(fileno=int(sys.argv[1])))
    _load()
    forked = server.serve()
    if forked is not None:
        _run(*forked)


def _load() -> None:
    """Import what every gate would."""
    for name in _pytest.config.default_plugins:
        importlib.import_module(f"_pytest.{name}")
    for name in testinfra.modules.modules:
        testinfra.modules.get_module_class(name)
    for name in ("testinfra.plugin", "testinfra.backend.local", "pdb", "faulthandler"):
        importlib.import_module(name)
    sys.dont_write_bytecode = True  # a gate just edited is never run as it was before
    gc.collect()
    gc.freeze()  # a collection in a forked process copies none of this


def _run(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
    """Be the process of one gate: what `python -P -m pytest` would be, from a clean environment."""
    code = 1
    try:
        job, report, output, _ = descriptors
        os.setsid()
        for standard in (1, 2):
            os.dup2(output, standard)
        os.close(output)
        os.environ.clear()
        os.environ.update(request["environment"])
        os.environ[gate_plugin.JOB_FD], os.environ[gate_plugin.REPORT_FD] = str(job), str(report)
        time.tzset()
        os.chdir(request["folder"])
        sys.argv = ["pytest", *request["words"]]
        code = int(pytest.main(request["words"]))
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else 1
    except BaseException:  # noqa: BLE001 -- nothing of the server may go on in this process
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()  # noqa: SLF001 -- as at any end; but nothing of it is freed
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def _say(status: int, text: str) -> None:
    with suppress(BrokenPipeError):  # drcli wants to know no more
        os.write(status, text.encode() + b"\n")


if __name__ == "__main__":
    main()
