"""A process that has Ansible loaded, and that playbooks are forked from.

Each playbook gets a process of its own that has never run another: loading is shared, nothing else
is. What it is told comes from `playbook_stand_in.py`, over a socket. The server is one thread that
only forks and waits. When the drcli that started it is gone, it ends what it forked, and itself.

A forked process shows in /proc the environment that the server was started with. An attempt is
found there by its mark, so a place is kept for one, which the forked process writes first of all.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import termios
import threading
import time
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

from orchestrator.attempt import MARK, end_processes
from orchestrator.playbook_stand_in import READY
from orchestrator.told_secrets import listen
from orchestrator.warm_process import MarkRoom, die_with, fits

_HEAD = 4  # bytes: the length of the request that follows
_STANDARD = 3  # descriptors that come with a request: stdin, stdout, stderr
_PATIENCE = 5.0  # seconds for a request that has begun to come
_PLUGINS = {  # of Ansible's own, and read once
    "action": (
        "assert",
        "command",
        "copy",
        "fail",
        "include_tasks",
        "normal",
        "script",
        "template",
        "set_fact",
        "uri",
        "validate_argument_spec",
    ),
    "become": ("sudo",),
    "callback": ("default",),
    "connection": ("local", "ssh"),
    "inventory": ("auto", "host_list", "ini", "script", "toml", "yaml"),
    "lookup": ("file", "items", "template", "vars"),
    "shell": ("sh",),
    "strategy": ("linear",),
}


@dataclass(frozen=True, kw_only=True)
class _Playbook:
    """A playbook that runs, and the stand-in that waits for it."""

    mark: str
    pid: int
    stand_in: socket.socket


class _Server:
    """Forks a process for each stand-in that comes to `door`, until `control` is closed."""

    def __init__(self, door: socket.socket, control: int) -> None:
        self._door = door
        self._control = control
        self._running: dict[int, _Playbook] = {}  # by a descriptor, readable when it has ended
        self._selector = selectors.DefaultSelector()
        self._selector.register(door, selectors.EVENT_READ)
        self._selector.register(control, selectors.EVENT_READ)
        self._pid = os.getpid()
        self._mark = MarkRoom()

    def serve(self) -> Mapping[str, Any] | None:
        """Until drcli is gone: None. But in a forked process: what it is asked to be."""
        while True:
            for key, _ in self._selector.select():
                if key.fd in self._running:
                    self._over(key.fd)
                elif key.fd == self._control:
                    for playbook in self._running.values():
                        end_processes(playbook.mark, grace=0)
                    return None
                else:
                    request = self._welcome()
                    if request is not None:
                        return request

    def _welcome(self) -> Mapping[str, Any] | None:
        """Fork for the stand-in at the door; what it asks for, in the forked process alone."""
        stand_in, _ = self._door.accept()
        standard: list[int] = []
        pid = -1
        try:
            stand_in.settimeout(_PATIENCE)
            stand_in.sendall(READY)
            head, standard, _, _ = socket.recv_fds(
                stand_in, _HEAD, _STANDARD, socket.MSG_CMSG_CLOEXEC
            )
            request = json.loads(_exactly(stand_in, int.from_bytes(head, "big")))
            mark = request["environment"][MARK].encode()
            if fits(mark):
                pid = os.fork()
        except (OSError, ValueError):
            pass  # it is told by the closed connection
        if not pid:
            self._become(mark, stand_in, standard)
            return request  # type: ignore[no-any-return]
        for descriptor in standard:
            os.close(descriptor)
        if pid < 0:
            stand_in.close()
            return None
        handle = os.pidfd_open(pid)
        self._running[handle] = _Playbook(mark=mark.decode(), pid=pid, stand_in=stand_in)
        self._selector.register(handle, selectors.EVENT_READ)
        return None

    def _become(self, mark: bytes, stand_in: socket.socket, standard: list[int]) -> None:
        """Be a marked process of its own, on these descriptors; it ends when the server does.

        Whoever ends an attempt looks for its mark again until nothing has it. The stand-in has it
        all the time: while that lives, this process is marked before anybody looks for the last
        time. When it does not live any more, this process must not either.
        """
        self._mark.write(mark)
        die_with(self._pid)
        stand_in.settimeout(0)
        with suppress(BlockingIOError):
            stand_in.recv(1)  # nothing is to come: it is closed
            os._exit(1)
        self._selector.close()
        self._door.close()
        os.close(self._control)
        for handle, playbook in self._running.items():
            os.close(handle)
            playbook.stand_in.close()
        stand_in.close()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as ansible-runner has it: we end it, whole
        os.setsid()
        for number, descriptor in enumerate(standard):
            os.dup2(descriptor, number)
            os.close(descriptor)
        with suppress(OSError):
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    def _over(self, handle: int) -> None:
        """Tell the stand-in how its playbook's process ended."""
        self._selector.unregister(handle)
        os.close(handle)
        playbook = self._running.pop(handle)
        code = os.waitstatus_to_exitcode(os.waitpid(playbook.pid, 0)[1])
        with playbook.stand_in as stand_in, suppress(OSError):
            stand_in.sendall(str(code).encode())


def _exactly(stand_in: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = stand_in.recv(size - len(data))
        if not part:
            raise ValueError("its request was cut off")
        data += part
    return data


def _load(modules: list[str]) -> None:
    """Import what every playbook would, and have Ansible read what it says of its plugins."""
    importlib.import_module("ansible.cli.playbook")
    listen()
    for name in modules:
        importlib.import_module(name)
    plugins = importlib.import_module("ansible.plugins.loader")
    plugins.init_plugin_loader()
    warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")
    for kind, names in _PLUGINS.items():
        for name in names:
            getattr(plugins, f"{kind}_loader").get(name, class_only=True)
    sys.dont_write_bytecode = True  # a plugin just edited is never run as it was before
    gc.collect()
    gc.freeze()  # a collection in a forked process copies none of this


def _play(request: Mapping[str, Any]) -> NoReturn:
    """Be `ansible-playbook` in a forked process, from a clean environment."""
    code = 1
    try:
        os.environ.clear()
        os.environ.update(request["environment"])
        time.tzset()
        os.chdir(request["folder"])
        sys.argv = list(request["command"])
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        _own_folder()
        importlib.import_module("ansible.cli.playbook").main()
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else 1
    except BaseException:  # noqa: BLE001 -- nothing of the server may go on in this process
        traceback.print_exc()
    finally:
        threading._shutdown()  # type: ignore[attr-defined] # noqa: SLF001 -- as at any end,
        atexit._run_exitfuncs()  # noqa: SLF001 -- but nothing is taken down piece by piece
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)


def _own_folder() -> None:
    """Ansible's folder for temporary files was made when it was loaded: another one, here."""
    constants: Any = importlib.import_module("ansible.constants")
    paths = importlib.import_module("ansible.utils.path")
    atexit.unregister(paths.cleanup_tmp_file)
    constants.DEFAULT_LOCAL_TMP = constants.config.get_config_value("DEFAULT_LOCAL_TMP")


def main() -> None:
    """Serve: the words are the descriptors of door and control, and modules to load besides."""
    door, control, *modules = sys.argv[1:]
    server = _Server(socket.socket(fileno=int(door)), int(control))
    _load(modules)
    request = server.serve()
    if request is not None:
        _play(request)


if __name__ == "__main__":
    main()
