"""A process that has Ansible loaded, from the first playbook on and for as long as drcli runs some.

What it gives is words to put before `ansible-playbook`. Whatever happens to it, these words lead to
a playbook that runs: without a warm process one is started as ever.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock

from orchestrator.attempt import MARK, private_folder
from orchestrator.warm_process import await_end, server_mark

_WAITING = 64  # playbooks at its door
_Settings = tuple[dict[str, str], tuple[int, ...], tuple[str, ...]]
_STAND_IN = Path(__file__).with_name("playbook_stand_in.py")


class WarmAnsible:
    """The warm process for each set of settings; may be used from several threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._servers: list[_Server] = []  # one for each set of settings; others may be at work

    def words(
        self, environment: Mapping[str, str], *, config: Path, modules: Sequence[str] = ()
    ) -> list[str]:
        """What to put before the words of `ansible-playbook`.

        Ansible reads its settings when it is loaded: with other ones in `environment` or in the
        file `config`, or with other `modules` to load, there is another process.
        """
        settings = ({**environment, MARK: ""}, _version(config), tuple(modules))
        with self._lock:
            self._servers = [server for server in self._servers if server.lives]
            for server in self._servers:
                if server.settings == settings:
                    break
            else:
                server = _Server(settings)
                self._servers.append(server)
            return [sys.executable, "-I", "-S", str(_STAND_IN), str(server.door)]

    def close(self) -> None:
        """End the warm processes, and with them every playbook that they forked."""
        with self._lock:
            for server in self._servers:
                server.end()
            self._servers = []


class _Server:
    """The warm process; it ends at the latest with this object, or with our process."""

    def __init__(self, settings: _Settings) -> None:
        self.settings = settings
        environment, _, modules = settings
        with ExitStack() as made:
            folder = made.enter_context(private_folder())
            self.door = folder / "door"
            theirs, ours = os.pipe()
            with socket.socket(socket.AF_UNIX) as door:
                door.bind(str(self.door))
                door.listen(_WAITING)
                self._process = subprocess.Popen(  # noqa: S603 -- our interpreter and fixed words
                    [sys.executable, "-P", "-m", "orchestrator.playbook_server",
                     str(door.fileno()), str(theirs), *modules],
                    cwd="/",
                    env={
                        **environment,
                        MARK: server_mark("playbook-server"),
                        "ANSIBLE_LOCAL_TEMP": str(folder),
                    },
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    pass_fds=(door.fileno(), theirs),
                    start_new_session=True,
                )  # fmt: skip
            os.close(theirs)
            self.end = weakref.finalize(self, _end, self._process, ours, made.pop_all())

    @property
    def lives(self) -> bool:
        return self._process.poll() is None


def _end(process: subprocess.Popen[bytes], control: int, made: ExitStack) -> None:
    """Close its control: it then ends what it has forked, and itself."""
    os.close(control)
    await_end(process)
    made.close()


def _version(config: Path) -> tuple[int, ...]:
    try:
        found = config.stat()
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns)
