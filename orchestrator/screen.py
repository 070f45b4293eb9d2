"""A terminal that cannot stop whoever writes to it: it may hang, be stopped, or go away.

A dropped SSH connection leaves a terminal that takes no more for minutes, and so does the reader of
a pipe that is stopped. What is written waits in memory and a thread of its own puts it out; what is
more than `most` characters (None: never) or comes after the end, is dropped.
"""

from __future__ import annotations

import os
import time
from collections import deque
from threading import Condition, Thread
from typing import IO

MOST = 1_000_000  # characters that wait for a terminal that is slow
FAREWELL = 2.0  # seconds that the last words may take
_CHUNK = 1024


class Screen:
    """The few methods of a text file that a terminal needs, on top of `stream`."""

    def __init__(self, stream: IO[str], *, most: int | None = MOST) -> None:
        self._stream = stream
        self._most = most
        self.encoding: str = getattr(stream, "encoding", None) or "utf-8"
        self._waiting: deque[str] = deque()
        self._size = 0
        self._changed = Condition()
        self._gone = False
        Thread(target=self._put_out, name="screen", daemon=True).start()

    def write(self, text: str) -> int:
        """Leave text to be put out; never blocks, never fails."""
        with self._changed:
            room = self._most is None or self._size + len(text) <= self._most
            if not self._gone and room:
                self._waiting.append(text)
                self._size += len(text)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread is at it; `drain` waits for it."""

    def drain(self, *, patience: float = FAREWELL) -> None:
        """Wait until all is put out; not longer than `patience` seconds."""
        until = time.monotonic() + patience
        with self._changed:
            while self._size and not self._gone and (left := until - time.monotonic()) > 0:
                self._changed.wait(min(left, FAREWELL))

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
