"""The journal in PostgreSQL, shared by controllers: DRCLI_JOURNAL=postgresql+psycopg://...

Its password stands in ~/.pgpass (or PGPASSFILE), else in the address; it is never shown. The
schema is the file's. A transaction waits for the server's disk, or for a detail leaves that to the
next that does. A connection that gives no sign of life for some 15 s counts as cut.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, OperationalError
from sqlalchemy.pool import NullPool

from orchestrator.errors import InputError, JournalError
from orchestrator.journal_tables import SCHEMA, bring_up, make, version_of

VARIABLE = "DRCLI_JOURNAL"
_FORM = "postgresql+psycopg://USER@HOST:5432/DATABASE"
_ONE_AT_A_TIME = (
    0x6472636C69  # the number of the advisory lock under which tables are made: "drcli"
)
_GIVES_NO_WAY = {"55P03"}  # lock_not_available
_GOES_AWAY = {"57P01", "57P02", "57P03", "25P03"}  # shutting down, crashed, starting up, too idle
_DURABLE = {"on", "remote_apply"}
_LIVELY: Mapping[str, Any] = {
    "connect_timeout": 10,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
    "application_name": "drcli",
}
# A controller that is paused in the middle of a transaction must not hold up the one after it.
_SESSION = "-c lock_timeout=20s -c idle_in_transaction_session_timeout=10s"


class JournalServer:
    """A journal on a server, and how it is written."""

    shared = True

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @contextmanager
    def writing(self, *, now: bool) -> Iterator[Connection]:
        """A transaction; its end waits for the server's disk `now`, or leaves that to the next."""
        with self.engine.begin() as connection:
            if not now:
                connection.exec_driver_sql("SET LOCAL synchronous_commit TO off")
            yield connection

    def in_order(self, connection: Connection) -> None:
        """Let nobody else ask before this transaction is over: ids come in the order of commits."""
        connection.exec_driver_sql("LOCK TABLE requests IN SHARE ROW EXCLUSIVE MODE")

    def settle(self) -> None:
        """Nothing to do: what is written is the server's."""

    def is_lost(self, error: DatabaseError) -> bool:
        """The connection was cut, or the server is away: it may come back."""
        state = getattr(error.orig, "sqlstate", None)
        if isinstance(error, InterfaceError) or error.connection_invalidated or state in _GOES_AWAY:
            return True
        return isinstance(error, OperationalError) and (state is None or state.startswith("08"))

    def make_room(self, _: DatabaseError) -> bool:
        """The server's disk is not ours to make room on."""
        return False

    def trouble(self, error: Exception) -> JournalError:
        """What a person can do about it, without the password."""
        return _trouble(self.engine.url, error)


def named_server() -> str | None:
    """The address in DRCLI_JOURNAL; None when that is not set, or empty."""
    return os.environ.get(VARIABLE) or None


def open_server(address: str) -> JournalServer:
    """The journal at an address, for a run; its tables are made where there are none.

    Raises:
        InputError: the address is none, nobody answers there or lets us in, psycopg is missing.
        JournalError: it was written by a newer drcli, or the server refuses.
    """
    engine = _engine(address, _SESSION)
    event.listen(engine, "connect", _durable)
    try:
        with _at_the_door(engine), engine.begin() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})"))
            version = version_of(connection, _shown(engine.url))
            if version == 0:
                make(connection)
            elif version < SCHEMA:
                bring_up(connection, version)
    except BaseException:
        engine.dispose()
        raise
    return JournalServer(engine)


@contextmanager
def read_server(address: str) -> Iterator[JournalServer | None]:
    """The journal at an address, to be looked at; None where there is none yet.

    Raises:
        InputError: as for `open_server`.
        JournalError: it was written by a newer or an older drcli.
    """
    engine = _engine(address, "-c default_transaction_read_only=on", poolclass=NullPool)
    try:
        with _at_the_door(engine), engine.connect() as connection:
            version = version_of(connection, _shown(engine.url))
        if 0 < version < SCHEMA:
            raise JournalError(
                f"{_shown(engine.url)} was written by an older drcli (schema {version})",
                hint="The next `drcli recover` or `resume` brings it up; nothing of it is lost.",
            )
        yield JournalServer(engine) if version else None
    finally:
        engine.dispose()


def _engine(address: str, session: str, **how: Any) -> Engine:  # noqa: ANN401 -- SQLAlchemy's
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        raise _no_address("it is no address") from None  # the cause would show the password
    if url.drivername != "postgresql+psycopg":
        raise _no_address(f"it begins with {url.drivername}://")
    try:
        return create_engine(
            url,
            isolation_level="READ COMMITTED",
            connect_args={**_LIVELY, "options": session},
            hide_parameters=True,
            **how,
        )
    except ModuleNotFoundError:
        raise InputError(
            f"{VARIABLE} names a PostgreSQL journal, and psycopg is not installed",
            hint="Install it beside drcli: pip install 'drcli[postgres]'; "
            f"or unset {VARIABLE}: the journal is then the file of this controller.",
        ) from None


def _no_address(why: str) -> InputError:
    return InputError(f"{VARIABLE}: {why}", hint=f"Write it as {_FORM}")


@contextmanager
def _at_the_door(engine: Engine) -> Iterator[None]:
    """What goes wrong before anything was read is a matter of the address, or of the server."""
    try:
        yield
    except DatabaseError as error:
        trouble = _trouble(engine.url, error)
        state = getattr(error.orig, "sqlstate", None)
        if isinstance(error, OperationalError) and (state is None or state in _GOES_AWAY):
            hint = (
                f"See to its server, the network, user and password (in ~/.pgpass), and {VARIABLE}."
                " To go on without it, in the file of this controller, while no other one recovers"
                f" the site: unset {VARIABLE}; afterwards `drcli journal merge` brings it over."
            )
            raise InputError(trouble.message, hint=hint) from error
        raise trouble from error
    except UnicodeError as error:
        raise _no_address("it is no address") from error


def _durable(connection: Any, _: object) -> None:  # noqa: ANN401 -- psycopg's connection
    """What is committed is on the server's disk, whatever its defaults say."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone()[0] not in _DURABLE:
            cursor.execute("SET synchronous_commit TO on")
    connection.commit()


def _shown(url: URL) -> str:
    """The address without its password, wherever that may stand in it."""
    plain = URL.create(
        url.drivername, username=url.username, host=url.host, port=url.port, database=url.database
    )
    return plain.render_as_string()


def _trouble(url: URL, error: Exception) -> JournalError:
    said = str(error.orig if isinstance(error, DatabaseError) else error)
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    words = "; ".join(dict.fromkeys(lines))
    if url.password:
        words = words.replace(str(url.password), "***")
    place = f"the journal {_shown(url)}"
    if state in _GIVES_NO_WAY:
        return JournalError(
            f"{place} is held by another process: {words}",
            hint="See who with `drcli runs`; try again.",
        )
    return JournalError(
        f"{place}: {words}",
        hint="When its server is back: drcli resume. What was recorded before is there.",
    )
