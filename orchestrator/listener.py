"""Listens, in a thread, for what people ask of a run, and leaves it in the run's inbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from threading import Event as Flag
from threading import Thread
from typing import Protocol

from orchestrator.errors import DrcliError
from orchestrator.inbox import Inbox
from orchestrator.requests import Requested, read_request

PAUSE = 0.3  # seconds between two looks: a person waits for the answer


class Asked(Protocol):
    """A request as the journal keeps it."""

    @property
    def id(self) -> int:
        """Its number; a later one is higher."""

    @property
    def by(self) -> str:
        """Who asks."""

    @property
    def at(self) -> datetime:
        """When."""

    @property
    def request(self) -> str:
        """What, as JSON."""


@contextmanager
def listening(
    inbox: Inbox, asked: Callable[[int], tuple[Asked, ...]], *, after: int
) -> Iterator[None]:
    """While the block runs, what is asked after request number `after` comes into the inbox.

    What was asked before comes first and is marked as late: the run was not there to take it. A
    journal that cannot be read for a while is asked again; the run does not end because of that.
    """
    over = Flag()
    last = after

    def look(*, late: bool) -> None:
        nonlocal last
        try:
            found = asked(last)
        except DrcliError:
            return
        for one in found:
            last = max(last, one.id)
            request = read_request(one.request)
            inbox.put(Requested(id=one.id, by=one.by, at=one.at, request=request, late=late))

    def listen() -> None:
        while not over.wait(PAUSE):
            look(late=False)

    look(late=True)
    thread = Thread(target=listen, name="drcli-listener", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
