"""The session with one host: a few shells kept open, lent to whoever has a command to run.

Each shell runs one command at a time, so as many commands run at once as there are shells; over a
shared SSH connection one more costs ten milliseconds, so they are opened when wanted.

A command that is not over in time, or floods, is ended on the host: every process of it, from a
shell of its own. The session goes on. When a shell is lost, another is opened once; after that the
host is unreachable. A command that was under way by then may have run, and is repeated, for checks
only look; what must not run twice says `repeat=False`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from threading import BoundedSemaphore, Lock

from orchestrator.route import Route
from orchestrator.shell import MOST, Answer, Flood, Gone, Shell, Unreachable

SHELLS = 6  # of one host at once: sshd allows ten for a connection, and Ansible may share it
_GRACE = 5.0  # seconds from the end of a command's processes to that of its shell's report
_KEPT = 2_000  # bytes of each stream told of a command that was ended
# What ssh says of a new connection; anything else may come from a shared one that is stale.
SURE = (
    "No route to host",
    "Connection refused",
    "Connection timed out",
    "HAS CHANGED",
    "verification failed",
    "Permission denied",
    "timed out",
)

# Ends all that the shell $1 runs: what is below it, in its session, or holds its output. Not the
# shell, and not what it stands on itself. /proc/N/stat: the name in brackets, state, parent, group,
# session (proc(5)).
_END = r"""exec 2>/dev/null
of() { read -r l </proc/$1/stat || return 1; set -- ${l##*) }; state=$1 parent=$2 session=$4; }
of $1 || exit 0
in=$session keep=' ' q=$1
while [ $q -gt 0 ] && of $q; do keep="$keep$q "; q=$parent; done
case $keep in *" $in "*) ;; *) in=none;; esac
holds() { [ /proc/$2/fd/1 -ef /proc/$1/fd/$3 ] || [ /proc/$2/fd/2 -ef /proc/$1/fd/$3 ]; }
for n in 1 2 3 4 5 6 7 8 9 10; do
all=" $1 " new=yes found=
while [ $new ]; do new=; for d in /proc/[0-9]*; do
q=${d#/proc/}
case $all$keep in *" $q "*) continue;; esac
of $q && [ $state != Z ] || continue
case $all in *" $parent "*) ;; *)
[ $session = $in ] || holds $1 $q 3 || holds $1 $q 4 || continue;; esac
all="$all$q " new=yes found=yes; kill -KILL $q
done; done
[ $found ] || exit 0
sleep 0.05 || sleep 1
done
exit 1
"""
_log = logging.getLogger("testinfra")


class NotEnded(RuntimeError):  # noqa: N818 -- what pytest shows to a person
    """A command was not over in time, or wrote too much; what it had written is in `out`, `err`."""

    def __init__(self, text: str, out: bytes = b"", err: bytes = b"") -> None:
        said = (part[-_KEPT:].decode("utf-8", "replace").strip() for part in (out, err))
        super().__init__("\n".join((text, *(words for words in said if words))))
        self.out = out
        self.err = err


class HostSession:
    """Runs commands on one host; may be used from several threads at once."""

    def __init__(self, route: Route, *, most: int = MOST) -> None:
        self.route = route
        self._most = most
        self._free = BoundedSemaphore(SHELLS)
        self._idle: list[Shell] = []
        self._opening = Lock()

    def open(self) -> None:
        """Have a shell ready.

        Raises:
            Unreachable: there is none to be had.
        """
        with self._free:
            self._idle.append(self._take())

    def run(
        self,
        command: bytes,
        *,
        limit: float | None = None,
        repeat: bool = True,
        ending: Callable[[str], str] = str,
    ) -> Answer:
        """Run a command of the host's shell and return what it came to.

        `limit` are seconds. `ending` makes the command that ends this one, where that takes other
        rights, like the command itself.

        Raises:
            Unreachable: the host is, or its shell was lost twice (once: `repeat` is False).
            NotEnded: the time limit was reached, or there was too much output; it was ended.
        """
        if b"\0" in command:
            raise ValueError("a command cannot contain a NUL byte")
        with self._free:
            try:
                return self._run(command, limit, ending)
            except Gone as gone:
                if not repeat:
                    raise Unreachable(f"lost while a command ran: {gone}") from None
                _log.warning("session lost while a command ran, which is repeated: %s", gone)
            try:
                return self._run(command, limit, ending)
            except Gone as gone:
                raise Unreachable(f"lost twice while a command ran: {gone}") from None

    def close(self) -> None:
        """End the shells that are idle; another is opened when it is wanted."""
        while self._idle:
            self._idle.pop().close()

    def _run(self, command: bytes, limit: float | None, ending: Callable[[str], str]) -> Answer:
        shell = self._take()
        try:
            shell.start(command)
            try:
                answer = shell.wait(None if limit is None else time.monotonic() + limit)
                why = f"did not end within {limit} s"
            except Flood:
                answer, why = None, f"wrote more than {self._most} bytes"
            if answer is not None:
                return answer
            out, err = shell.so_far()
            if not self._end(shell, ending):
                why += ", and could not be ended"
            raise NotEnded(f"`{command[:_KEPT].decode('utf-8', 'replace')}` {why}", out, err)
        finally:
            if shell.usable:
                self._idle.append(shell)
            else:
                shell.close()

    def _take(self) -> Shell:
        """A shell that is alive: an idle one, else a new one."""
        if shell := self._take_idle():
            return shell
        with self._opening:  # one after the other: the first makes the connection they share
            if shell := self._take_idle():
                return shell
            try:
                return Shell(self.route, most=self._most)
            except Unreachable as error:
                if any(words in str(error) for words in SURE):
                    raise
            return Shell(self.route, most=self._most)

    def _take_idle(self) -> Shell | None:
        with suppress(IndexError):
            while True:
                shell = self._idle.pop()
                if shell.alive():
                    return shell
                shell.close()
        return None

    def _end(self, shell: Shell, ending: Callable[[str], str]) -> bool:
        """End what a shell runs; afterwards it is usable, unless it did not report in time."""
        quoted = _END.replace("'", "'\"'\"'")
        command = ending(f"/bin/sh -c '{quoted}' sh {shell.pid}").encode()
        try:
            other = Shell(self.route)
            try:
                other.start(command)
                answer = other.wait(time.monotonic() + _GRACE)
            finally:
                other.close()
            if answer is None or answer.code:
                return False
            # What it was cut off in the middle of may still be on its way.
            return shell.wait(time.monotonic() + _GRACE) is not None
        except (Unreachable, Gone, Flood):
            return False
