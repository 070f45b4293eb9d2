"""A shell kept open on a host: commands in, exact results out, one round trip each.

A plain POSIX shell is enough on the host. It is given a few functions (`_PRELUDE`), then one line a
command. Each command runs in a `/bin/sh -c` of its own with nothing on its standard input; what it
writes comes back as it is, and after it, on each of the two streams, an end mark that the command
cannot know. A shell runs one command at a time.

As with `ssh HOST COMMAND`, a command is over when nothing that it started holds its standard output
or error any longer. To be sure of that without two more processes for every command, the shell
looks at the processes born since the command began: the kernel says which number it gave last.
Where that cannot be told (no /proc, a counter that ran over, processes that may not be looked at),
the result is right, and the shell is not used again.
"""

from __future__ import annotations

import atexit
import os
import re
import secrets
import select
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import IO

from orchestrator.route import READY, Route

OPENING = 30.0  # seconds; ssh's own ConnectTimeout normally answers before
MOST = 1 << 30  # bytes a command may write to one stream: no check wants more
_FAREWELL = 1.0  # seconds for what a dead ssh has still to say, and for a closed shell to end
_CHUNK = 1 << 18
_LONGEST_MARK = 120
_SU_ASKS = re.compile(r"[:\uff1a]\s*$")  # "Password: " in any language

# _n: the number that the newest process was given. _h: does a process hold our output? Not if it
# reads it: on the controller itself that is drcli, whose threads have numbers too. _w: wait for
# those that do among the processes born since _a; look again until none was born during the look.
# _r: run the command $2, and say so: the mark $1.
_PRELUDE = r"""exec 3>&1 4>&2 2>/dev/null
_n() { _p=; read -r _x _x _x _x _p </proc/loadavg; }
_h() { for _f in /proc/$1/fd/*; do
[ "$_f" -ef /proc/$$/fd/3 ] || [ "$_f" -ef /proc/$$/fd/4 ] || continue
_y=; while read -r _x _y; do [ $_x = flags: ] && break; done </proc/$1/fdinfo/${_f##*/}
case $_y in ''|*0) ;; *) return 0;; esac
done; return 1; }
_w() { _n; [ "$_p" -gt "$_a" ] || return 1
while [ "$_p" -gt "$_a" ]; do
[ $((_p-_a)) -lt 3000 ] || return 1
_b=$_p
while [ "$_a" -lt "$_b" ]; do
_a=$((_a+1)); [ -e /proc/$_a ] || continue
[ -r /proc/$_a/fd ] || [ ! -e /proc/$_a ] || return 1
while _h $_a; do sleep 0.05 || sleep 1; done </dev/null
done
_n
done; }
_r() { _n; _a=$_p
( exec /bin/sh -c "$2" </dev/null 2>&4 3>&- 4>&- )
_c=$?
_s=last; [ $_k ] && _w && _s=more
printf '%s %s %s\n' "$1" $_c $_s >&3; printf '%s\n' "$1" >&4; }
_k=; : & _x=$!; wait $_x; _n
[ "$_p" -ge $! ] && _h $$ && _k=yes
"""


class Unreachable(RuntimeError):  # noqa: N818 -- what pytest shows to a person
    """No shell of a host can be had; the text is what ssh (or podman, or sudo) said."""


class Gone(Exception):  # noqa: N818 -- an event, not shown as an error
    """The shell ended before it answered; the text is what was said."""


class Flood(Exception):  # noqa: N818 -- an event, not shown as an error
    """The command has written more than may be kept."""


@dataclass(frozen=True)
class Answer:
    """What a command came to. Ended by signal N, its exit code is 128 + N."""

    code: int
    out: bytes
    err: bytes


class Shell:
    """One shell of a host.

    Raises:
        Unreachable: it cannot be opened.
    """

    def __init__(self, route: Route, *, most: int = MOST) -> None:
        self._most = most
        self._marks: dict[int, bytes] = {}  # what came after the end of each stream
        self._mark = b""  # the mark to come, while there is something to wait for
        self._process = _start(route)
        self._in, self._out, self._err = (
            _plain(file)
            for file in (self._process.stdin, self._process.stdout, self._process.stderr)
        )
        self._to_write = memoryview(b"")
        self._read = {self._out: bytearray(), self._err: bytearray()}
        self._drop = False
        self.usable = True  # for one more command
        _open.add(self)
        try:
            self.pid = self._begin(route)  # of the shell, on the host
        except Gone as gone:
            self.close()
            raise Unreachable(str(gone) or "no answer") from None
        except BaseException:
            self.close()
            raise

    def alive(self) -> bool:
        """Whether nothing speaks against another command: no end, nothing said unasked."""
        watch = select.poll()
        for fd in (self._out, self._err):
            watch.register(fd, select.POLLIN)
        return self.usable and not watch.poll(0) and self._process.poll() is None

    def start(self, command: bytes) -> None:
        """Send a command; `wait` gives its answer."""
        self.usable = False
        self._mark = secrets.token_hex(16).encode()
        quoted = command.replace(b"'", b"'\"'\"'")
        self._send(b"_r %s '%s'\n" % (self._mark, quoted))

    def wait(self, deadline: float | None = None) -> Answer | None:
        """The answer to the command that was started; None when the deadline came before it.

        Raises:
            Gone: the shell ended before; the command may have run.
            Flood: there is too much of it. What else comes is dropped; `wait` may be called again.
        """
        while len(self._marks) < len(self._read):
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
            self._pass(left)
        _, code, state = self._marks[self._out].split()
        self.usable = state == b"more" and not self._drop
        answer = Answer(int(code), *map(bytes, self._read.values()))
        self._clear()
        return answer

    def so_far(self) -> tuple[bytes, bytes]:
        """What the running command has written to its standard output and error."""
        return bytes(self._read[self._out]), bytes(self._read[self._err])

    def close(self) -> None:
        """End it; what still runs on the host loses its output."""
        if self not in _open:
            return
        _open.discard(self)
        self.usable = False
        self.close_input()
        with suppress(subprocess.TimeoutExpired):
            # A shell at rest ends with its input; one at work may not, and ssh with it.
            self._process.wait(0 if self._mark else _FAREWELL)
        if self._process.poll() is None:
            with suppress(PermissionError, subprocess.TimeoutExpired):  # sudo here is not ours
                self._process.kill()
                self._process.wait(_FAREWELL)
        for file in (self._process.stdout, self._process.stderr):
            if file:
                file.close()

    def forget(self) -> None:
        """Let go of it in a forked process: it belongs to the other one."""
        self.usable = False
        self._process.returncode = 0  # not our child: nothing to wait for
        for file in (self._process.stdin, self._process.stdout, self._process.stderr):
            if file:
                file.close()

    def _begin(self, route: Route) -> int:
        deadline = time.monotonic() + OPENING
        if route.become_password is not None:
            self._give_password(route, deadline)
        self._mark = secrets.token_hex(16).encode()
        hello = b"printf '%%s %%s more\\n' %s $$ >&3; printf '%%s\\n' %s >&4\n"
        self._send(_PRELUDE.encode() + hello % (self._mark, self._mark))
        answer = self.wait(deadline)
        if answer is None:
            raise Gone(self._said("timed out"))
        return answer.code

    def _give_password(self, route: Route, deadline: float) -> None:
        """Give it when it is asked for: unasked, it would go to the shell as a command."""
        given = False
        while READY.encode() not in self._read[self._out]:
            said = self._read[self._err].decode("utf-8", "replace")
            if route.prompt in said if route.prompt else _SU_ASKS.search(said):
                if given:
                    raise Gone(self._said("the become password is wrong"))
                self._send(f"{route.become_password}\n".encode())
                self._read[self._err].clear()
                given = True
            left = deadline - time.monotonic()
            if left <= 0:
                raise Gone(self._said("timed out"))
            self._pass(left)
        self._clear()

    def _clear(self) -> None:
        for data in self._read.values():
            data.clear()
        self._marks.clear()
        self._mark = b""

    def _send(self, data: bytes) -> None:
        self._to_write = memoryview(data)
        self._write()

    def _write(self) -> None:
        with suppress(BlockingIOError, BrokenPipeError):  # its end is seen where we read
            while self._to_write:
                self._to_write = self._to_write[os.write(self._in, self._to_write) :]

    def _pass(self, seconds: float | None) -> None:
        """Wait until something can be read or written, and do it."""
        watch = select.poll()
        for fd in self._read:
            watch.register(fd, select.POLLIN)
        if self._to_write:
            watch.register(self._in, select.POLLOUT)
        for fd, _ in watch.poll(None if seconds is None else seconds * 1_000 + 1):
            if fd == self._in:
                self._write()
                continue
            chunk = os.read(fd, _CHUNK)
            if not chunk:
                raise Gone(self._last_words())
            self._take(fd, chunk)

    def _take(self, fd: int, chunk: bytes) -> None:
        data = self._read[fd]
        data += chunk
        # The command is over when its mark is sent, so the mark is the last that comes.
        at = data.rfind(self._mark, max(0, len(data) - _LONGEST_MARK)) if self._mark else -1
        if at >= 0 and data.endswith(b"\n"):
            self._marks[fd] = bytes(data[at:])
            del data[at:]
        if self._drop:
            del data[:-_LONGEST_MARK]
        elif len(data) > self._most:
            self._drop = True
            raise Flood

    def _last_words(self) -> str:
        """What was said on standard error, after the end of a stream."""
        deadline = time.monotonic() + _FAREWELL
        watch = select.poll()
        watch.register(self._err, select.POLLIN)
        while (left := deadline - time.monotonic()) > 0 and watch.poll(left * 1_000):
            chunk = os.read(self._err, _CHUNK)
            if not chunk:
                break
            self._read[self._err] += chunk
        return self._said("")

    def _said(self, otherwise: str) -> str:
        said = bytes(self._read[self._err][-4_000:]).decode("utf-8", "replace").strip()
        return "\n".join(words for words in (said, otherwise) if words)

    def close_input(self) -> None:
        """Let it end; `close` waits for it."""
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()


def _start(route: Route) -> subprocess.Popen[bytes]:
    """Start it without a terminal: nothing of it may ask a person, and Ctrl-C is not for it."""
    words, pass_fds = list(route.words), []
    if route.ssh_password is not None:
        reading, writing = os.pipe()
        os.write(writing, f"{route.ssh_password}\n".encode())
        os.close(writing)
        words, pass_fds = ["sshpass", f"-d{reading}", *words], [reading]
    try:
        return subprocess.Popen(  # noqa: S603 -- the words are the inventory's
            [*words, route.shell],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=pass_fds,
            start_new_session=True,
        )
    except OSError as error:
        raise Unreachable(f"{words[0]} cannot be started: {error.strerror}") from None
    finally:
        for fd in pass_fds:
            os.close(fd)


def _plain(file: IO[bytes] | None) -> int:
    assert file is not None  # noqa: S101 -- all three are pipes
    os.set_blocking(file.fileno(), False)
    return file.fileno()


_open: set[Shell] = set()


def _close_all() -> None:
    shells = tuple(_open)
    for shell in shells:
        shell.close_input()  # all at once, then one after the other
    for shell in shells:
        shell.close()


def _forget_all() -> None:
    for shell in _open:
        shell.forget()
    _open.clear()


atexit.register(_close_all)
os.register_at_fork(after_in_child=_forget_all)
