"""The journal's tables, the same in SQLite and PostgreSQL, and how an older schema is brought up.

Schema 3: `journal_schema(version)`; `records(id, run, seq, at, elapsed, kind, event, subject,
detail, schema, fence, hash)`, where `event` is the event as JSON; `requests`, which is what people
ask of a run from other terminals; `leases`, which is who holds a site. `id` is the order of
arrival: time is never asked for order. `subject` is the component an event is about, or of a run's
start its site. `detail` marks what no view of a past run needs: a check that passed, a task that
started. `schema`, `fence` and `hash` are the record's chain (chain.py) and its writer's lease.
Indexes stand for what views ask: they read a few rows, however long the journal.

Schema 1 had neither `subject` nor `detail`, schema 2 had no chain, no requests and no leases.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    false,
    inspect,
    select,
    update,
)
from sqlalchemy.schema import CreateIndex

from orchestrator.chain import GENESIS, digest
from orchestrator.errors import JournalError

SCHEMA = 3
_PAGE = 1000  # rows brought up at once

metadata = MetaData()
schema = Table("journal_schema", metadata, Column("version", Integer, nullable=False))
records = Table(
    "records",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", String, nullable=False),
    Column("elapsed", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("event", Text, nullable=False),
    Column("subject", String, nullable=False, server_default=""),
    Column("detail", Boolean, nullable=False, server_default=false()),
    Column("schema", Integer, nullable=False, server_default=str(SCHEMA)),
    Column("fence", Integer, nullable=False, server_default="0"),
    Column("hash", String, nullable=False, server_default=""),
    UniqueConstraint("run", "seq"),
)
requests = Table(
    "requests",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String, nullable=False),
    Column("at", String, nullable=False),
    Column("by", String, nullable=False),
    Column("host", String, nullable=False),
    Column("request", Text, nullable=False),
    Index("requests_run", "run", "id"),
)
leases = Table(
    "leases",
    metadata,
    Column("site", String, primary_key=True),
    Column("fence", Integer, nullable=False),  # only grows: one more for each holder
    Column("beat", Integer, nullable=False),  # the holder's heartbeat: it counts, and tells no time
    Column("holder", Text, nullable=False),  # JSON of holder.py; empty when nobody holds the site
)
_FIRST = records.c.seq == 1
_INDEXES = (
    Index("records_outline", records.c.run, records.c.detail, records.c.seq),
    Index("records_subject", records.c.run, records.c.kind, records.c.subject, records.c.seq),
    Index("records_start", records.c.subject, sqlite_where=_FIRST, postgresql_where=_FIRST),
)
_TO_SCHEMA_2 = (
    "ALTER TABLE records ADD COLUMN subject VARCHAR DEFAULT '' NOT NULL",
    "ALTER TABLE records ADD COLUMN detail BOOLEAN DEFAULT false NOT NULL",
)
_TO_SCHEMA_3 = (
    "ALTER TABLE records ADD COLUMN schema INTEGER DEFAULT 3 NOT NULL",
    "ALTER TABLE records ADD COLUMN fence INTEGER DEFAULT 0 NOT NULL",
    "ALTER TABLE records ADD COLUMN hash VARCHAR DEFAULT '' NOT NULL",
)


def version_of(connection: Connection, place: str) -> int:
    """The schema of what is there, 0 when that is nothing.

    Raises:
        JournalError: a newer drcli wrote it; it is left untouched.
    """
    if not inspect(connection).has_table(schema.name):
        return 0
    version: int = connection.scalar(select(schema.c.version)) or SCHEMA
    if version > SCHEMA:
        raise JournalError(
            f"the journal {place} was written by a newer drcli"
            f" (schema {version}; this one knows {SCHEMA})",
            hint="Use the newer drcli, or another folder with --state-dir. It was left untouched.",
        )
    return version


def make(connection: Connection) -> None:
    """Make the tables where there are none."""
    metadata.create_all(connection)
    connection.execute(schema.insert().values(version=SCHEMA))


def bring_up(connection: Connection, version: int, *, chained: bool = True) -> None:
    """Bring an older schema up to this one, in the transaction of the connection.

    Its records are chained as they stand, some 20 s for each million of them; `chained=False`
    leaves that out, for a copy that is only looked at.
    """
    if version == 1:
        for statement in _TO_SCHEMA_2:
            connection.exec_driver_sql(statement)
    for statement in _TO_SCHEMA_3:
        connection.exec_driver_sql(statement)
    if version == 1 or chained:
        for run in connection.scalars(select(records.c.run).distinct()).all():
            _bring_up_run(connection, run, version)
    if version == 1:
        for index in _INDEXES:
            connection.execute(CreateIndex(index))
    requests.create(connection)
    leases.create(connection)
    connection.execute(update(schema).values(version=SCHEMA))


def _bring_up_run(connection: Connection, run: str, version: int) -> None:
    last, head = 0, GENESIS
    page = select(records).where(records.c.run == run).order_by(records.c.seq).limit(_PAGE)
    change = (
        update(records)
        .where(records.c.id == bindparam("row"))
        .values({name: bindparam(f"to_{name}") for name in ("subject", "detail", "schema", "hash")})
    )
    while rows := connection.execute(page.where(records.c.seq > last)).mappings().all():
        changes = []
        for old in rows:
            row = {**old, "schema": version, **(_marks(old) if version == 1 else {})}
            row["hash"] = head = digest(head, row)
            marks = {f"to_{name}": row[name] for name in ("subject", "detail", "schema", "hash")}
            changes.append({"row": row["id"], **marks})
        last = rows[-1]["seq"]
        connection.execute(change, changes)


def _marks(row: Mapping[Any, Any]) -> dict[str, object]:
    """What schema 2 added, of a row of schema 1."""
    try:
        event = json.loads(row["event"])
    except ValueError:
        event = None
    event = event if isinstance(event, dict) else {}
    passed = row["kind"] == "check_finished" and event.get("outcome") == "passed"
    return {
        "subject": str(event.get("component") or event.get("site") or ""),
        "detail": passed or row["kind"] == "task_started",
    }
