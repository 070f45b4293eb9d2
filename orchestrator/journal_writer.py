"""Writes records and requests into a journal: each whole, chained, and on disk before it returns.

A record goes in only as the next of its run, and only as long as no other controller has taken the
site over. When the disk is full the reserve is given up, so that a run can still write down how it
stopped. When a server's connection is cut, the record is tried again for a while: the run holds,
and nothing of it is written twice
([decision 16](docs/decisions/0016-one-journal-for-controllers.md)).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, insert, select
from sqlalchemy.exc import DatabaseError, IntegrityError

from orchestrator import journal_lease
from orchestrator.chain import GENESIS, Row, digest
from orchestrator.errors import JournalError
from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    Event,
    GateCollected,
    Record,
    TaskStarted,
    UnknownEvent,
)
from orchestrator.holder import Holder
from orchestrator.journal_lease import Lease
from orchestrator.journal_tables import SCHEMA, records, requests

HOLD_SECONDS = 30.0  # a run waits so long for its journal's server to come back, then it stops
_AGAIN = 0.5  # seconds between two tries
_INSERT = insert(records)
T = TypeVar("T")


class Store(Protocol):
    """A journal's database: what is different between a file and a server."""

    engine: Engine
    shared: bool

    def writing(self, *, now: bool) -> AbstractContextManager[Connection]: ...  # noqa: D102
    def in_order(self, connection: Connection) -> None: ...  # noqa: D102
    def settle(self) -> None: ...  # noqa: D102
    def is_lost(self, error: DatabaseError) -> bool: ...  # noqa: D102
    def make_room(self, error: DatabaseError) -> bool: ...  # noqa: D102
    def trouble(self, error: Exception) -> JournalError: ...  # noqa: D102


class Writer:
    """Writes one journal; any thread may, one at a time is let in."""

    def __init__(self, store: Store, turn: threading.RLock) -> None:
        self._store = store
        self._turn = turn
        self._heads: dict[str, tuple[int, str]] = {}  # seq and hash, of runs this process writes
        self._lease: Lease | None = None
        self.disk_full = False

    def append(self, record: Record) -> None:
        """Put the record on disk; it is there when this returns.

        Raises:
            JournalError: `seq` is not the next of its run, another controller has taken over, or
                the disk or the server refuses: nothing is written.
        """
        detail = is_detail(record.event)
        row: dict[str, Any] = {
            "run": record.run,
            "seq": record.seq,
            "at": record.at.isoformat(),
            "elapsed": record.elapsed,
            "kind": record.event.kind,
            "event": record.event.model_dump_json(),
            "subject": _subject(record.event),
            "detail": detail,
            "schema": SCHEMA,
        }
        self.hold(lambda: self._insert(row))
        if record.seq == 1:
            self._store.settle()

    def ask(self, row: Row) -> int:
        """Put a request on disk; its id."""
        with self._turn, self._telling(), self._store.writing(now=True) as connection:
            self._store.in_order(connection)
            asked = insert(requests).values(row).returning(requests.c.id)
            return int(connection.execute(asked).scalar_one())

    def take(self, site: str, holder: Holder, *, over: Lease | None = None) -> tuple[Lease, bool]:
        """Take the site for this process: the lease that stands then, and whether it is ours.

        From then on every record carries its fence, and is refused when a later one exists.
        """
        with self._turn, self._telling(), self._store.writing(now=True) as connection:
            lease, ours = journal_lease.take(
                connection, site, holder, over=over, alone=not self._store.shared
            )
        if ours:
            self._lease = lease
        return lease, ours

    def renew(self) -> bool:
        """One more heartbeat; False when another controller has taken over."""
        assert self._lease is not None  # noqa: S101 -- it was taken
        with self._turn, self._telling(), self._store.writing(now=False) as connection:
            return journal_lease.renew(connection, self._lease)

    def give_back(self) -> None:
        """Hold the site no longer."""
        lease, self._lease = self._lease, None
        if lease is not None:
            with self._turn, self._telling(), self._store.writing(now=True) as connection:
                journal_lease.give_back(connection, lease)

    def bring_over(self, run: str, rows: Iterable[Row]) -> int:
        """Put what is new of another journal's run in, its chain as it is: how many records.

        Raises:
            JournalError: the run is here, and is another one; nothing is written.
        """
        new = 0
        with self._turn, self._telling(), self._store.writing(now=True) as connection:
            last, head = _head(connection, run)
            for row in rows:
                if row["seq"] == last and row["hash"] != head:
                    raise JournalError(
                        f"run {run} is there already, and is another one from record {last} on",
                        hint="See both: drcli journal verify, with and without DRCLI_JOURNAL",
                    )
                if row["seq"] > last:
                    connection.execute(_INSERT, {k: v for k, v in row.items() if k != "id"})
                    new += 1
        return new

    def _insert(self, row: dict[str, Any]) -> None:
        run, seq = row["run"], row["seq"]
        head = self._heads.pop(run, None)  # known again when this one is written
        with self._store.writing(now=not row["detail"]) as connection:
            if "hash" in row and self._is_there(connection, row):
                self._heads[run] = (seq, row["hash"])
                return
            self._refuse_fenced(connection)
            last, before = head or _head(connection, run)
            if seq != last + 1:
                raise _not_next(run, seq, last)
            row["fence"] = self._lease.fence if self._lease else 0
            row["hash"] = digest(before, row)
            try:
                connection.execute(_INSERT, row)
            except IntegrityError as error:
                raise _not_next(run, seq, seq) from error
        self._heads[run] = (seq, row["hash"])

    def _is_there(self, connection: Connection, row: Row) -> bool:
        """An earlier try had been written after all, and only its answer was lost."""
        mine = (records.c.run == row["run"]) & (records.c.seq == row["seq"])
        return bool(connection.scalar(select(records.c.hash).where(mine)) == row["hash"])

    def _refuse_fenced(self, connection: Connection) -> None:
        lease = self._lease
        if lease is None or journal_lease.is_ours(connection, lease):
            return
        now = journal_lease.lease_of(connection, lease.site)
        by = f" by {now.holder}" if now and now.holder else ""
        raise JournalError(
            f"{lease.site} was taken over{by}: this run writes nothing more",
            hint=f"See where it stands: drcli status --site {lease.site}",
        )

    def hold(self, work: Callable[[], T]) -> T:
        """Do it; make room once on a full disk, and hold for a server that may come back."""
        until = time.monotonic() + HOLD_SECONDS
        with self._turn:
            while True:
                try:
                    return work()
                except DatabaseError as error:
                    if self._store.make_room(error):
                        self.disk_full = True
                    elif self._store.is_lost(error) and time.monotonic() < until:
                        time.sleep(_AGAIN)
                    else:
                        raise self._store.trouble(error) from error

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as error:
            raise self._store.trouble(error) from error


def is_detail(event: Event | UnknownEvent) -> bool:
    """It decides nothing: no view of a past run needs it."""
    if isinstance(event, CheckFinished):
        return event.outcome is CheckOutcome.PASSED
    return isinstance(event, TaskStarted | GateCollected)


def _subject(event: Event | UnknownEvent) -> str:
    """The component it is about; of a run's start its site."""
    return str(getattr(event, "component", None) or getattr(event, "site", ""))


def _head(connection: Connection, run: str) -> tuple[int, str]:
    query = select(records.c.seq, records.c.hash).where(records.c.run == run)
    row = connection.execute(query.order_by(records.c.seq.desc()).limit(1)).one_or_none()
    return (row[0], row[1]) if row else (0, GENESIS)


def _not_next(run: str, seq: int, last: int) -> JournalError:
    return JournalError(
        f"record {seq} of run {run} does not follow {last}",
        hint="Another process may have written to this run: see `drcli runs`.",
    )
