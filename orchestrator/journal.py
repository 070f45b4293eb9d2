"""The journal: every record of every run, in one SQLite file, on disk before `append` returns.

STATE/journal.db has one table, `records(id, run, seq, at, elapsed, kind, site, event)`: `event` is
the event as JSON, `site` that of a run's first record, `id` the order of arrival (time is never
asked for order). `PRAGMA user_version` is the schema's number.

A file that is there is never taken for a new journal: it is made whole, or not at all, under
another name. One that holds no journal, or a write-ahead log without its file, has lost what it
held, and is refused untouched.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from pydantic import ValidationError
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    func,
    insert,
    literal,
    select,
)
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.pool import StaticPool

from orchestrator.errors import JournalError
from orchestrator.events import Record
from orchestrator.state import RunState, fold
from orchestrator.state_directory import JOURNAL, make_private

SCHEMA = 1
BUSY_SECONDS = 10.0  # how long another process may hold the file before it counts as broken
_SMALLEST = 512  # bytes of a SQLite file: one page of the smallest size
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

_metadata = MetaData()
_records = Table(
    "records",
    _metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", String, nullable=False),
    Column("elapsed", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("site", String, nullable=False),
    Column("event", Text, nullable=False),
    UniqueConstraint("run", "seq"),
)


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """A run in the journal's list; `site` is empty when its first record cannot be read."""

    run: str
    site: str
    started_at: datetime


class Journal:
    """A journal. Make it with `open_journal` or `read_journal`; use it as a context."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._path = path

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(DatabaseError):  # every record is on disk already
            self._engine.dispose()

    def append(self, record: Record) -> None:
        """Put the record on disk; it is there when this returns.

        Raises:
            JournalError: `seq` is not the next of its run (another process writes to it), or the
                disk refuses: nothing is written.
        """
        event = record.event
        row: dict[str, Any] = {
            "run": record.run,
            "seq": record.seq,
            "at": record.at.isoformat(),
            "elapsed": record.elapsed,
            "kind": event.kind,
            "site": str(getattr(event, "site", "")),
            "event": event.model_dump_json(),
        }
        # One statement looks and writes, so no other process can come between.
        last = select(func.coalesce(func.max(_records.c.seq), 0)).where(
            _records.c.run == record.run
        )
        follows = last.scalar_subquery() == record.seq - 1
        values = select(*(literal(value) for value in row.values())).where(follows)
        try:
            with self._telling(), self._engine.begin() as connection:
                written = connection.execute(insert(_records).from_select(list(row), values))
        except IntegrityError:
            written = None
        if written is None or written.rowcount != 1:
            raise JournalError(
                f"record {record.seq} of run {record.run} is not its next one",
                hint="Another process writes to this run: see `drcli runs`.",
            )

    def runs(self, site: str | None = None) -> tuple[RunLine, ...]:
        """Every run, the latest begun last; of one site when it is named."""
        query = select(_records.c.run, _records.c.site, _records.c.at).where(_records.c.seq == 1)
        if site is not None:
            query = query.where(_records.c.site == site)
        with self._telling(), self._engine.connect() as connection:
            rows = connection.execute(query.order_by(_records.c.id)).all()
        return tuple(RunLine(run=run, site=of, started_at=_when(at)) for run, of, at in rows)

    def records(self, run: str) -> tuple[Record, ...]:
        """The records of a run in order; none of an unknown run."""
        query = select(_records).where(_records.c.run == run).order_by(_records.c.seq)
        with self._telling(), self._engine.connect() as connection:
            return tuple(_record(row) for row in connection.execute(query).mappings())

    def state(self, run: str) -> RunState:
        """Where a run stands."""
        return fold(self.records(run))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError:
            raise
        except DatabaseError as error:
            raise _trouble(self._path, error) from error


def open_journal(state_dir: Path) -> Journal:
    """The journal of a state directory, for a run; made (0600) where there is none.

    Raises:
        MachineError: the folder cannot be made or is not this user's.
        JournalError: it cannot be written, is damaged, or was written by a newer drcli.
    """
    path = make_private(state_dir) / JOURNAL
    try:
        _refuse_lost(path)
        if not path.exists():
            _make(path)
        _require_writable(path)
        engine = _engine(lambda: _connect(path, "rw"), path)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("PRAGMA synchronous=FULL")
            found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    except (DatabaseError, sqlite3.Error, OSError) as error:
        raise _trouble(path, error) from error
    if found != "ok":
        raise _damaged(path, str(found))
    return Journal(engine, path)


def read_journal(state_dir: Path) -> Journal | None:
    """The journal of a state directory, to be looked at; None where there is none.

    It takes no lock and writes nothing, while a run goes on as well as on a read-only disk.

    Raises:
        JournalError: it is damaged, cannot be read, or was written by a newer drcli.
    """
    path = state_dir / JOURNAL
    try:
        _refuse_lost(path)
        if not path.exists():
            return None
        try:
            return Journal(_engine(lambda: _connect(path, "ro"), path), path)
        except DatabaseError as error:
            if not _is_read_only(str(error.orig)):
                raise
        # SQLite cannot make its index beside the file: read a copy, kept in memory.
        copy = _in_memory(path)
        return Journal(_engine(lambda: copy, path), path)
    except (DatabaseError, sqlite3.Error, OSError) as error:
        raise _trouble(path, error) from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    address = f"file:{quote(str(path))}?mode={mode}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, check_same_thread=False)


def _engine(creator: Any, path: Path) -> Engine:  # noqa: ANN401 -- SQLAlchemy's own type is wider
    """An engine on one connection, to a journal that this version knows."""
    engine = create_engine("sqlite://", creator=creator, poolclass=StaticPool)
    try:
        with engine.connect() as connection:
            _require_known(connection, path)
    except BaseException:
        engine.dispose()
        raise
    return engine


def _require_known(connection: Connection, path: Path) -> None:
    version = connection.exec_driver_sql("PRAGMA user_version").scalar() or 0
    if version > SCHEMA:
        raise JournalError(
            f"the journal {path} was written by a newer drcli"
            f" (schema {version}; this one knows {SCHEMA})",
            hint="Use the newer drcli, or another folder with --state-dir. It was left untouched.",
        )
    if version == 0:
        raise _damaged(path, "it holds no journal")


def _make(path: Path) -> None:
    """Make a new journal: whole and on disk when it has its name."""
    descriptor, name = tempfile.mkstemp(prefix=".journal-", dir=path.parent)
    os.close(descriptor)
    engine = create_engine(f"sqlite:///{name}")
    try:
        with engine.begin() as connection:
            _metadata.create_all(connection)
            connection.exec_driver_sql(f"PRAGMA user_version={SCHEMA}")
        with suppress(FileExistsError):  # another process was faster, with the same
            os.link(name, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        engine.dispose()
        Path(name).unlink()


def _require_writable(path: Path) -> None:
    """SQLite would say so only at the first record."""
    if not os.access(path, os.W_OK):
        raise PermissionError("it may only be read")


def _refuse_lost(path: Path) -> None:
    """What SQLite would begin anew without a word."""
    log = path.with_name(f"{path.name}-wal")
    if path.exists():
        if (size := path.stat().st_size) < _SMALLEST:
            raise _damaged(path, f"of it {size} bytes are left")
    elif log.exists():
        raise _damaged(log, "the journal beside it is gone")


def _in_memory(path: Path) -> sqlite3.Connection:
    """A copy of the journal with what its write-ahead log holds."""
    with tempfile.TemporaryDirectory(prefix="drcli-journal-") as scratch:
        for part in (path, path.with_name(f"{path.name}-wal")):
            if part.exists():
                shutil.copyfile(part, Path(scratch, part.name))
        copy = sqlite3.connect(":memory:", check_same_thread=False)
        whole = _connect(Path(scratch, path.name), "rw")
        try:
            whole.backup(copy)
        finally:
            whole.close()
    return copy


def _record(row: Any) -> Record:  # noqa: ANN401 -- a row's mapping
    """A row as a record; one that this version cannot read is an unknown event, never refused."""
    text = str(row["event"])
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        content = {"text": text}
    known = {name: row[name] for name in ("run", "seq", "elapsed")} | {"at": _when(row["at"])}
    try:
        return Record.model_validate({**known, "event": {"kind": row["kind"], **content}})
    except ValidationError:
        return Record.model_validate({**known, "event": {"kind": "unreadable", "text": text}})


def _when(at: str) -> datetime:
    """A time as the journal has it; the beginning of time where that is none."""
    try:
        found = datetime.fromisoformat(at)
    except ValueError:
        return _NEVER
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _is_read_only(text: str) -> bool:
    return "unable to open" in text or "readonly" in text or "disk I/O error" in text


def _trouble(path: Path, error: Exception) -> JournalError:
    """What is wrong with the file, and what a person can do about it."""
    text = str(error.orig if isinstance(error, DatabaseError) else error)
    if "not a database" in text or "malformed" in text or "no such table" in text:
        return _damaged(path, text)
    if "locked" in text:
        return JournalError(
            f"the journal {path} is held by another process: {text}",
            hint="See who with `drcli runs`; try again.",
        )
    if "full" in text or "No space left" in text:
        mend = f"Free space below {path.parent}"
    else:
        mend = f"Make {path.parent} a folder on a sound disk that can be written"
    return JournalError(
        f"the journal {path} cannot be used: {text}",
        hint=f"{mend}, or name another with --state-dir.",
    )


def _damaged(path: Path, text: str) -> JournalError:
    return JournalError(
        f"the journal {path} is damaged: {text}",
        hint=f"Keep it and start a new one: mv {path} {path}.damaged",
    )
