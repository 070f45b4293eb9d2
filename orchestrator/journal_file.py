"""The journal's SQLite file: made, checked, opened; its troubles, and room for the end of a run.

A file that is there is never taken for a new journal: it is made whole, or not at all, under
another name. One that holds no journal, or lies beside a write-ahead log alone, has lost what it
held, and is refused.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool, StaticPool

from orchestrator.errors import JournalError
from orchestrator.journal_tables import SCHEMA, bring_up, make, version_of
from orchestrator.state_directory import make_private

FILE_NAME = "journal.db"
RESERVE_NAME = "journal.reserve"
RESERVE_BYTES = 1_048_576  # room for some hundred last events
CHECK_SECONDS = 1.0  # for some 30 MB of journal; what is longer is checked as far as that goes
BUSY_SECONDS = 10.0  # how long another process may hold the file before it counts as broken
_SMALLEST = 512  # bytes of a SQLite file: one page of the smallest size


class JournalFile:
    """A journal in a file of this machine, and how it is written."""

    shared = False

    def __init__(self, engine: Engine, path: Path) -> None:
        self.engine = engine
        self._path = path

    @contextmanager
    def writing(self, *, now: bool) -> Iterator[Connection]:
        """A transaction; its end waits for the disk `now`, or leaves that to the next that does.

        Either way it is the kernel's before it ends: the death of this process loses nothing.
        """
        with self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)  # noqa: S101 -- what this class is for
            raw.execute(f"PRAGMA synchronous={'FULL' if now else 'NORMAL'}")
            with connection.begin():
                yield connection

    def in_order(self, connection: Connection) -> None:
        """Nothing to do: one transaction at a time writes, so ids come in the order of commits."""

    def settle(self) -> None:
        """Put what is written into the file itself: it can then not be lost with the log beside."""
        with suppress(DatabaseError), self.engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert isinstance(raw, sqlite3.Connection)  # noqa: S101 -- what this class is for
            with suppress(sqlite3.Error):
                raw.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def is_lost(self, _: DatabaseError) -> bool:
        """A file has no connection that could be made again."""
        return False

    def make_room(self, error: DatabaseError) -> bool:
        """Give the reserve up when the disk is full; False when it is not, or has none left."""
        reserve = self._path.with_name(RESERVE_NAME)
        if not (_is_full(error) and reserve.exists()):
            return False
        reserve.unlink()
        return True

    def trouble(self, error: Exception) -> JournalError:
        """What a person can do about it."""
        return trouble(self._path, error)


def open_file(folder: Path) -> JournalFile:
    """The journal of a folder, for a run; made (0600, in a folder of 0700) where there is none.

    What is damaged or newer is refused untouched, what is older brought up to this schema.

    Raises:
        MachineError: the folder cannot be made.
        JournalError: it cannot be written, is damaged, or was written by a newer drcli.
    """
    make_private(folder)
    path = folder / FILE_NAME
    try:
        _make(path)
        os.close(os.open(path, os.O_RDWR))
    except (DatabaseError, OSError) as error:
        raise trouble(path, error) from error
    engine = _writer(path)
    try:
        version = _check(engine, path, thorough=True)
        if version < SCHEMA:
            with engine.begin() as connection:
                if (version := version_of(connection, str(path))) < SCHEMA:
                    bring_up(connection, version)
    except (DatabaseError, OSError) as error:
        engine.dispose()
        raise trouble(path, error) from error
    except JournalError:
        engine.dispose()
        raise
    _keep_reserve(folder)
    return JournalFile(engine, path)


@contextmanager
def read_file(folder: Path, *, chained: bool) -> Iterator[JournalFile | None]:
    """The journal of a folder, to be looked at; None where there is none.

    A copy of it is read where it has to be another: where SQLite cannot make its index beside the
    file, and for an older schema, whose records are chained there if they are to be `chained`.

    Raises:
        JournalError: it is damaged or was written by a newer drcli.
    """
    path = folder / FILE_NAME
    try:
        exists = path.exists()
    except OSError as error:
        raise trouble(path, error) from error
    _refuse_lost(path)
    if not exists:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="drcli-journal-", dir=_scratch()) as scratch:
        engine = _reader(path, Path(scratch), chained=chained)
        try:
            yield JournalFile(engine, path)
        finally:
            engine.dispose()


def _make(path: Path) -> None:
    """Make a new journal, whole and on disk when it has its name; leave one that is there."""
    _refuse_lost(path)
    if path.exists():
        return
    descriptor, name = tempfile.mkstemp(prefix=".journal-", dir=path.parent)
    os.close(descriptor)
    engine = create_engine(f"sqlite:///{name}", poolclass=NullPool)
    event.listen(engine, "connect", _on_disk)
    try:
        with engine.begin() as connection:
            make(connection)
        with suppress(FileExistsError):  # another process was faster, with the same
            os.link(name, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        engine.dispose()
        for left in path.parent.glob(f"{Path(name).name}*"):
            left.unlink()


def _refuse_lost(path: Path) -> None:
    with suppress(OSError):
        if path.exists() and (size := path.stat().st_size) < _SMALLEST:
            raise damaged(path, f"of it {size} bytes are left")  # SQLite would begin it anew
        if not path.exists() and path.with_name(path.name + "-wal").exists():
            raise damaged(path.with_name(path.name + "-wal"), "the journal beside it is gone")


def _writer(path: Path) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}", poolclass=StaticPool, connect_args={"timeout": BUSY_SECONDS}
    )
    event.listen(engine, "connect", _durable)
    event.listen(engine, "begin", _begin_writing)
    return engine


def _reader(path: Path, scratch: Path, *, chained: bool) -> Engine:
    engine = _read_only(path, "mode=ro")
    try:
        if _check(engine, path, thorough=False) == SCHEMA:
            return engine
    except DatabaseError as error:
        if not _cannot_make_files(error):
            raise trouble(path, error) from error
    except JournalError:
        engine.dispose()
        raise
    engine.dispose()
    try:
        for part in (path, path.with_name(path.name + "-wal")):
            if part.exists():
                shutil.copyfile(part, scratch / part.name)
        engine = _read_only(scratch / path.name, "mode=rw")
        if (version := _check(engine, path, thorough=False)) < SCHEMA:
            with engine.begin() as connection:
                bring_up(connection, version, chained=chained)
    except (DatabaseError, OSError) as error:
        raise trouble(path, error) from error
    return engine


def _scratch() -> str | None:
    """Memory, where there is some: the disk may be full."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 -- a fresh 0700 folder


def _read_only(path: Path, mode: str) -> Engine:
    return create_engine(
        f"sqlite:///file:{quote(str(path))}?{mode}&uri=true",
        poolclass=NullPool,
        connect_args={"timeout": BUSY_SECONDS},
    )


def _check(engine: Engine, path: Path, *, thorough: bool) -> int:
    """Refuse what is damaged or newer; the version of what is there."""
    with engine.connect() as connection:
        found = _found(connection) if thorough else "ok"
        if found != "ok":
            raise damaged(path, str(found))
        version = version_of(connection, str(path))
    if version == 0:
        raise damaged(path, "it holds no journal")
    return version


def _found(connection: Connection) -> str:
    """What SQLite finds wrong within some time, else `ok`: a recovery does not wait for more."""
    raw = connection.connection.driver_connection
    if not isinstance(raw, sqlite3.Connection):
        return "ok"
    deadline = time.monotonic() + CHECK_SECONDS
    raw.set_progress_handler(lambda: time.monotonic() > deadline, 1_000)
    try:
        return str(raw.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.OperationalError as error:
        if "interrupted" not in str(error):
            raise OperationalError(None, None, error) from error
        return "ok"
    except sqlite3.DatabaseError as error:
        raise DatabaseError(None, None, error) from error
    finally:
        raw.set_progress_handler(None, 0)


def _on_disk(connection: sqlite3.Connection, _: object) -> None:
    connection.execute("PRAGMA synchronous=FULL")


def _durable(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # SQLAlchemy's `begin` says when a transaction starts
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _begin_writing(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _keep_reserve(folder: Path) -> None:
    """Set room aside for the end of a run; without any to spare, the run starts without."""
    path = folder / RESERVE_NAME
    with suppress(OSError):
        if path.exists() and path.stat().st_size == RESERVE_BYTES:
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, RESERVE_BYTES)
        except OSError:
            path.unlink()
            raise
        finally:
            os.close(descriptor)


def _is_full(error: DatabaseError) -> bool:
    """The disk has no room, by SQLite's words."""
    return "full" in str(error.orig) or "disk I/O error" in str(error.orig)


def _cannot_make_files(error: DatabaseError) -> bool:
    text = str(error.orig)
    return any(part in text for part in ("unable to open", "readonly", "disk I/O error", "full"))


def trouble(path: Path, error: Exception) -> JournalError:
    """What a person can do about it."""
    text = str(error.orig if isinstance(error, DatabaseError) else error)
    if "not a database" in text or "malformed" in text:
        return damaged(path, text)
    if "full" in text or "No space left" in text or "disk I/O error" in text:
        why = "the disk fails" if "disk I/O error" in text and _free(path) else "the disk is full"
        return JournalError(
            f"the journal {path} cannot be written: {why} ({text})",
            hint=f"Free space below {path.parent}, or name another folder with --state-dir.",
        )
    if "readonly" in text or "unable to open" in text or "Read-only" in text or "denied" in text:
        return JournalError(
            f"the journal {path} cannot be written: {text}",
            hint="Make its folder writable, or name another with --state-dir.",
        )
    if "locked" in text:
        return JournalError(
            f"the journal {path} is held by another process: {text}",
            hint="See who with `drcli runs`; try again.",
        )
    return JournalError(f"the journal {path}: {text}", hint="Name another folder with --state-dir.")


def _free(path: Path) -> bool:
    """Its disk has room for more than a few records."""
    with suppress(OSError):
        return shutil.disk_usage(path.parent).free > RESERVE_BYTES
    return False


def damaged(path: Path, text: str) -> JournalError:
    """The file is not what SQLite has written."""
    return JournalError(
        f"the journal {path} is damaged: {text}",
        hint=f"Keep it and start a new one: mv {path} {path}.damaged",
    )
