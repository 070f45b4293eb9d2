"""The one queue a run's thread waits on: what workers tell and that they returned, and stops."""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event as Flag

from orchestrator.work import Progress


@dataclass(frozen=True, kw_only=True)
class Told:
    """A worker says what happens in its component."""

    event: Progress


@dataclass(frozen=True, kw_only=True)
class Returned:
    """A worker has returned; `error` is a bug's exception, None when its work has a result."""

    component: str
    error: Exception | None


@dataclass(frozen=True, kw_only=True)
class StopRequested:
    """Somebody wants the run to end; `Inbox.stop` is set already."""


Message = Told | Returned | StopRequested


class Inbox:
    """Any thread, and a signal handler, may put into it; only the run's thread takes out."""

    def __init__(self) -> None:
        self.stop = Flag()
        self.reason = ""
        self._queue: SimpleQueue[Message] = SimpleQueue()

    def put(self, message: Message) -> None:
        """Leave a message; never blocks."""
        self._queue.put(message)

    def request_stop(self, reason: str) -> None:
        """Ask the run to end its children and itself in good order; the first reason counts."""
        if not self.stop.is_set():
            self.reason = reason
            self.stop.set()
        self.put(StopRequested())

    def get(self, patience: float | None) -> Message | None:
        """The next message; None when none came within `patience` seconds (None: for ever)."""
        try:
            return self._queue.get(timeout=patience)
        except Empty:
            return None
