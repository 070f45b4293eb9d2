"""One run a site at a time among controllers that share a journal: a lease, and its heartbeat.

Whether a holder on this machine lives is known for certain (holder.py). One on another machine is
watched: its heartbeat counts, and moves, or has not moved for 90 s of the watcher's own clock.
Silence is no death: only a person who knows that the machine is off takes over. A holder that
cannot reach the journal for half a minute stops by itself, and ends its children. So what may still
work on the hosts of a silent holder are the children of one that was paused: on the day it wakes it
finds a later fence, can write nothing more, and stops.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from orchestrator.errors import JournalError, LockedError
from orchestrator.holder import Fate, Holder, this_process
from orchestrator.journal import Journal
from orchestrator.journal_writer import HOLD_SECONDS

BEAT_SECONDS = 5.0
SILENCE_SECONDS = 90.0  # longer than a holder that is cut off takes to stop and end its children


@contextmanager
def site_lease(  # noqa: PLR0913 -- each by name
    journal: Journal,
    site: str,
    *,
    run: str,
    by: str,
    since: datetime,
    lost: Callable[[str], None],
    tell: Callable[[str], None],
    take_over: bool = False,
) -> Iterator[None]:
    """Hold the site in the journal, as this process, for as long as the block runs.

    `lost` is called, from another thread, when the run has to stop; `tell` when this waits.

    Raises:
        LockedError: another run of the site is under way, or may be.
        JournalError: the journal cannot be written.
    """
    _take(journal, site, this_process(run=run, by=by, since=since), tell=tell, take_over=take_over)
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(journal, over, lost), name="drcli-heartbeat")
    if journal.shared:  # nobody on another machine watches a file
        beating.start()
    try:
        yield
    finally:
        over.set()
        if journal.shared:
            beating.join()
        with suppress(JournalError):  # it is free all the same: this process is about to end
            journal.give_back()


def _take(
    journal: Journal, site: str, me: Holder, *, tell: Callable[[str], None], take_over: bool
) -> None:
    seen, ours = journal.take(site, me)
    if ours:
        return
    if seen.holder is not None and seen.holder.fate is Fate.LIVES:
        raise _held(site, seen.holder)
    tell(f"{site} is held by {seen.holder}; watching its heartbeat")
    until = time.monotonic() + SILENCE_SECONDS
    while time.monotonic() < until:
        time.sleep(BEAT_SECONDS / 5)
        now, ours = journal.take(site, me)
        if ours:
            return
        if now != seen:
            raise _held(site, now.holder)
    if not take_over:
        raise LockedError(
            f"{site} is held by {seen.holder}, whose heartbeat has not moved for "
            f"{SILENCE_SECONDS:.0f} s",
            hint="When you know that this machine is off, or that nothing of the run is left on "
            f"it: drcli resume --site {site} --take-over",
        )
    now, ours = journal.take(site, me, over=seen)
    if not ours:
        raise _held(site, now.holder)


def _held(site: str, holder: Holder | None) -> LockedError:
    return LockedError(
        f"{site} is being recovered already: {holder}",
        hint=f"Watch it: drcli status --site {site}",
    )


def _beat(journal: Journal, over: threading.Event, lost: Callable[[str], None]) -> None:
    """Count on, until the block is over; say when the lease is lost, or may be."""
    heard = time.monotonic()
    while not over.wait(BEAT_SECONDS):
        try:
            if not journal.renew():
                lost("another controller has taken the site over")
                return
            heard = time.monotonic()
        except JournalError as error:
            if time.monotonic() - heard > HOLD_SECONDS:
                lost(f"no heartbeat for {HOLD_SECONDS:.0f} s: {error.message}")
                return
