"""A terminal that cannot stop whoever writes to it: it may hang, be stopped, or go away.

A dropped SSH connection leaves a terminal that takes no more for minutes. What is written waits in
memory and a thread of its own puts it out; what is too much, or comes after the end, is dropped.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Condition, Thread
from typing import IO

from rich.console import Console as Terminal

MOST = 1_000_000  # characters that wait for a terminal that is slow
FAREWELL = 2.0  # seconds that the last words may take
_CHUNK = 1024
_PLAIN_WIDTH = 10_000  # a pipe has no width: nothing is wrapped or cut there


class Screen:
    """The few methods of a text file that a terminal needs, on top of `stream`."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self._waiting: deque[str] = deque()
        self._size = 0
        self._changed = Condition()
        self._gone = False
        Thread(target=self._put_out, name="screen", daemon=True).start()

    def write(self, text: str) -> int:
        """Leave text to be put out; never blocks, never fails."""
        with self._changed:
            if not self._gone and self._size + len(text) <= MOST:
                self._waiting.append(text)
                self._size += len(text)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread is at it; `drain` waits for it."""

    def drain(self) -> None:
        """Wait until all is put out; not longer than a farewell may take."""
        until = time.monotonic() + FAREWELL
        with self._changed:
            while self._size and not self._gone and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def isatty(self) -> bool:
        """Tell whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Give the stream's descriptor."""
        return self._stream.fileno()

    def _put_out(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                text = self._waiting.popleft()
            data = text.encode(self.encoding, "replace")
            try:
                while data:
                    data = data[os.write(self._stream.fileno(), data[:_CHUNK]) :]
            except (OSError, ValueError):  # the terminal is gone, or the stream was closed
                with self._changed:
                    self._gone = True
                    self._changed.notify_all()
                return
            with self._changed:
                self._size -= len(text)
                self._changed.notify_all()


class _Terminal(Terminal):
    """Rich's own, but a reader that left ends what is shown, not the process."""

    def on_broken_pipe(self) -> None:
        _silence(self)


def terminal_on(file: IO[str]) -> Terminal:
    """Rich's terminal on a stream; one that is none is as wide as any line."""
    width = None if file.isatty() else _PLAIN_WIDTH
    return _Terminal(file=file, width=width, highlight=False, markup=False, emoji=False)


def _silence(terminal: Terminal) -> None:
    with suppress(OSError):  # a stream that is no file descriptor has nothing to redirect
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, terminal.file.fileno())
        os.close(sink)


@contextmanager
def until_gone(terminal: Terminal) -> Iterator[None]:
    """Let whoever read our output go: what is said after is lost, the run is not."""
    try:
        yield
    except OSError:
        _silence(terminal)
