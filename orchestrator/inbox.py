"""The one queue a run's thread waits on: what workers tell, what people ask, requests to stop."""

from __future__ import annotations

from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Event as Flag

from orchestrator.requests import Requested
from orchestrator.work import Progress


@dataclass(frozen=True, kw_only=True)
class Told:
    """A worker says what happens in its component."""

    component: str
    event: Progress


@dataclass(frozen=True, kw_only=True)
class Returned:
    """A worker has returned; `error` is a bug's exception, None when its work has a result."""

    component: str
    error: Exception | None = None


@dataclass(frozen=True)
class StopRequested:
    """Somebody wants the run to end now."""


@dataclass(frozen=True)
class HungUp:
    """The terminal is gone; the run goes on without."""


Message = Told | Returned | Requested | StopRequested | HungUp


class Inbox:
    """Messages to a run's thread. `put` and `request_stop` may be called from a signal handler."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Message] = SimpleQueue()  # its put() is reentrant, Queue's is not
        self._asked = False
        self.stop = Flag()
        self.reason = ""

    def put(self, message: Message) -> None:
        """Leave a message; never blocks."""
        self._queue.put(message)

    def get(self, timeout: float | None = None) -> Message | None:
        """Wait for the next message, at most `timeout` seconds; None when none came."""
        try:
            return self._queue.get(timeout=timeout)
        except Empty:
            return None

    @property
    def empty(self) -> bool:
        """No message waits."""
        return self._queue.empty()

    def request_stop(self, reason: str) -> None:
        """Set the stop flag that every worker watches, and wake the run; only the first counts."""
        if self._asked:  # also keeps a second signal out of Flag.set(), which is not reentrant
            return
        self._asked = True
        self.reason = reason
        self.stop.set()
        self._queue.put(StopRequested())
