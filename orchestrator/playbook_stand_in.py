"""Stands in for `ansible-playbook`: has the warm process fork one, on this process's terminal.

Run as `python -I -S FILE SOCKET ansible-playbook WORD ...`; it imports nothing that is slow, and
ends as that `ansible-playbook` does. When there is no warm process it starts one of its own: all
works as well, and only slower.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import termios
from contextlib import suppress

PATIENCE = 15.0  # seconds for the warm process to be ready
LOST = 70  # exit code: the warm process is gone, and the playbook with it
READY = b"ready"
_LONGEST = 100  # bytes of an answer


def main() -> int:
    """The exit code of `ansible-playbook`; below zero the signal that ended it."""
    path, *command = sys.argv[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        server.settimeout(PATIENCE)
        try:
            server.connect(path)
            ready = server.recv(len(READY)) == READY
        except OSError:
            ready = False
        if not ready:  # and from now on the warm process finds nobody here
            server.close()
            os.execvp(command[0], command)  # noqa: S606 -- what it stands in for
        server.settimeout(None)
        with suppress(OSError):
            fcntl.ioctl(0, termios.TIOCNOTTY)  # the terminal is for the forked process
        said = b""
        with suppress(OSError):
            _ask(server, command)
            said = server.recv(_LONGEST)
    if said:
        return int(said)
    sys.stderr.write("the warm Ansible process is gone, and this playbook with it\n")
    return LOST


def _ask(server: socket.socket, command: list[str]) -> None:
    folder = os.getcwd()  # noqa: PTH109 -- pathlib is slow to load
    request = {"command": command, "environment": dict(os.environ), "folder": folder}
    data = json.dumps(request).encode()
    socket.send_fds(server, [len(data).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(data)


if __name__ == "__main__":
    code = main()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    sys.exit(code)
