"""Ends what a worker has started when the worker no longer can: it was killed, froze, lost touch.

A small process of its own beside the worker, told by lines on its stdin: `MARK UNTIL` (a lease and
the monotonic second at which it ends) and `MARK -` (its work is over). When a lease ends, or stdin
does because the worker is gone, the processes of its attempts are ended.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from threading import Lock

from orchestrator.attempt import end_processes
from orchestrator.errors import MachineError

ENDING = 10.0  # seconds after the end of a lease in which its processes are looked for
LOOK = 0.5  # seconds between two looks at the leases
_DONE = "-"


class Guardian:
    """A worker's handle on its guardian; may be used from several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        read, self._pipe = os.pipe()  # closed in what the worker starts: it ends with the worker
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator.guardian"],
            stdin=read,
            start_new_session=True,  # no Ctrl-C, and no signal to the worker's group, reaches it
        )
        os.close(read)

    def watch(self, mark: str, until: float) -> None:
        """Let the processes whose mark begins so live until this monotonic second; or renew that.

        Raises:
            MachineError: the guardian is gone: nothing may be started without it.
        """
        self._say(f"{mark} {until}")

    def forget(self, mark: str) -> None:
        """Their work is over."""
        self._say(f"{mark} {_DONE}")

    def close(self) -> None:
        """Let it go, once it has ended what it still watches."""
        os.close(self._pipe)
        self._process.wait()

    def _say(self, line: str) -> None:
        try:
            with self._lock:
                os.write(self._pipe, f"{line}\n".encode())
        except OSError as error:
            raise MachineError(
                "this worker's guardian is gone: nothing is started without it",
                hint="Start the worker again.",
            ) from error


def main() -> None:
    """Guard until stdin ends; at last nothing that was watched is left."""
    leases: dict[str, float] = {}
    rest = b""
    while True:
        ready, _, _ = select.select([0], [], [], LOOK)
        if ready:
            data = os.read(0, 65_536)
            if not data:
                break
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                mark, _, word = line.decode().partition(" ")
                if word == _DONE:
                    leases.pop(mark, None)
                else:
                    leases[mark] = float(word)
        for mark, until in list(leases.items()):
            now = time.monotonic()
            if now > until:
                end_processes(mark)
            if now > until + ENDING:  # and it stays so: the worker has seen the end of it as well
                del leases[mark]
    for mark in leases:
        end_processes(mark)


if __name__ == "__main__":
    main()
