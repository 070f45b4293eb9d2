"""The journal: every record of every run, in one database, on disk before `append` returns.

It is a SQLite file in the state directory, or a PostgreSQL server that controllers share. A detail
(a check that passed, a task that started) is written before `append` returns, so the death of drcli
loses none; the disk is waited for only with the next record that is more
([decision 9](docs/decisions/0009-details-wait-for-the-next-record-of-weight.md)).
"""

from __future__ import annotations

import json
import math
import socket
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ValidationError
from sqlalchemy import ColumnElement, Connection, false, func, literal_column, select, true
from sqlalchemy.exc import DatabaseError, SQLAlchemyError

from orchestrator.chain import Checked, Row, check
from orchestrator.drills import DrillScored
from orchestrator.durations import LAST, Took, recoveries_of
from orchestrator.events import Record
from orchestrator.holder import Fate, Holder
from orchestrator.journal_file import open_file, read_file
from orchestrator.journal_lease import Lease, lease_of
from orchestrator.journal_server import named_server, open_server, read_server
from orchestrator.journal_tables import records as _records
from orchestrator.journal_tables import requests as _requests
from orchestrator.journal_writer import Store, Writer
from orchestrator.past import READ, PastRun, past_run
from orchestrator.proof import Scored
from orchestrator.state import RunState, fold

RUNS_LOOKED_AT = 50  # for how long components took: most runs of a site find it healthy
DRILLS_LOOKED_AT = 500  # runs: what was proven before them is long over
RECOVERIES = 20  # past runs that a forecast is made of; older ones say less
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_TIMED = ("gate_finished", "playbook_finished", "component_verified")


@dataclass(frozen=True, kw_only=True)
class RunLine:
    """A run in the journal's list; `site` is empty when its first record cannot be read."""

    run: str
    site: str
    started_at: datetime


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a person asks of a run: `request` is JSON; `host` is where it was typed."""

    id: int
    run: str
    at: datetime
    by: str
    host: str
    request: str


class Journal:
    """A journal. Make it with `open_journal` or `read_journal`.

    Any thread may use it: one at a time is let in.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._engine = store.engine
        self._turn = threading.RLock()  # SQLite has one connection here, and so one transaction
        self._writer = Writer(store, self._turn)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; every record is on disk already."""
        with suppress(SQLAlchemyError):
            self._engine.dispose()

    @property
    def disk_full(self) -> bool:
        """The reserve of the disk was spent: the run has to stop."""
        return self._writer.disk_full

    @property
    def shared(self) -> bool:
        """Other controllers may write to it too."""
        return self._store.shared

    def append(self, record: Record) -> None:
        """Put the record on disk; it is there when this returns.

        Raises:
            JournalError: `seq` is not the next of its run, another controller has taken over, or
                the disk or the server refuses: nothing is written.
        """
        self._writer.append(record)

    def ask(self, run: str, request: BaseModel | str, *, by: str, at: datetime) -> int:
        """Put what a person asks of a run on disk, for the process that runs it; return its id.

        Ids grow with the order of arrival. Any process may ask, also while the run appends.

        Raises:
            JournalError: the disk refuses, or another process does not give way: nothing is asked.
        """
        row = {
            "run": run,
            "at": at.isoformat(),
            "by": by,
            "host": socket.gethostname(),
            "request": request if isinstance(request, str) else request.model_dump_json(),
        }
        return self._writer.ask(row)

    def asked(self, run: str, *, after: int) -> tuple[Asked, ...]:
        """What people have asked of a run since the request `after` (0: ever), in that order."""
        wanted = (_requests.c.run == run) & (_requests.c.id > after)
        query = select(_requests).where(wanted).order_by(_requests.c.id)

        def read() -> tuple[Asked, ...]:
            with self._engine.connect() as connection:
                rows = connection.execute(query).mappings().all()
            return tuple(Asked(**{**row, "at": datetime.fromisoformat(row["at"])}) for row in rows)

        return self._writer.hold(read)

    def take(self, site: str, holder: Holder, *, over: Lease | None = None) -> tuple[Lease, bool]:
        """Take the site for this process: the lease that stands then, and whether it is ours.

        `over` is a lease of another that was seen before: the site is taken although it holds it,
        if nothing has moved since. From then on each record carries this lease's fence, and is
        refused when a later one exists.
        """
        return self._writer.take(site, holder, over=over)

    def renew(self) -> bool:
        """One more heartbeat of the site that was taken; False when another has taken over."""
        return self._writer.renew()

    def give_back(self) -> None:
        """Hold the site no longer."""
        self._writer.give_back()

    def lease(self, site: str) -> Lease | None:
        """Who holds a site, by its row; None when nobody ever did."""
        with self._reading() as connection:
            return lease_of(connection, site)

    def holder(self, site: str) -> Holder | None:
        """Who holds a site, unless it is certain that it is dead."""
        lease = self.lease(site)
        if lease is None or lease.holder is None:
            return None
        gone = {Fate.DEAD} if self.shared else {Fate.DEAD, Fate.FAR}  # a file is of this machine
        return None if lease.holder.fate in gone else lease.holder

    def check(self, run: str) -> Checked:
        """Whether a run's records are what was written, as far as their chain can tell."""
        with self._rows(run) as rows:
            return check(run, rows)

    def head(self, run: str) -> tuple[int, str]:
        """The number of a run's last record, and its hash; 0 and nothing of an unknown run."""
        query = select(_records.c.seq, _records.c.hash).where(_records.c.run == run)
        with self._reading() as connection:
            row = connection.execute(query.order_by(_records.c.seq.desc()).limit(1)).one_or_none()
        return (row[0], row[1]) if row else (0, "")

    def rows(self, run: str) -> Iterator[Row]:
        """The rows of a run as they stand, in order, for an export."""
        with self._rows(run) as rows:
            yield from rows

    def bring_over(self, run: str, rows: Iterable[Row]) -> int:
        """Put what is new of another journal's run in, its chain as it is: how many records.

        Raises:
            JournalError: the run is here, and is another one; nothing is written.
        """
        return self._writer.bring_over(run, rows)

    def records(self, run: str, *, after: int = 0) -> tuple[Record, ...]:
        """The records of a run in order, those after `seq` alone; none of an unknown run."""
        return self._select((_records.c.run == run) & (_records.c.seq > after))

    def state(self, run: str) -> RunState:
        """Where a run stands: the fold of its records, of which only those that decide are read.

        A check that passed and a task that started are counted or looked up where they matter.
        """
        of_run = _records.c.run == run
        last = select(func.max(_records.c.seq)).where(of_run).scalar_subquery()
        decisive = self._select(of_run & (_records.c.detail == false()))
        ended = self._select(of_run & (_records.c.seq == last))
        state = fold(decisive if decisive[-1:] == ended else (*decisive, *ended))
        components = {**state.components}
        for name, component in components.items():
            if component.playing:
                components[name] = replace(component, task=self._task(run, name))
            elif component.checking:
                components[name] = replace(component, passed=self._passed(run, name))
        return replace(state, components=components)

    def runs(self, *, site: str | None = None) -> tuple[RunLine, ...]:
        """Every run, the latest begun last; of one site when it is named."""
        first = _records.c.seq == literal_column(
            "1"
        )  # written out: it is the index's own condition
        query = select(_records.c.id, _records.c.run, _records.c.subject, _records.c.at)
        if site is not None:
            first &= _records.c.subject == site
        with self._reading() as connection:
            rows = sorted(connection.execute(query.where(first)).all())
        return tuple(
            RunLine(run=str(run), site=str(subject), started_at=_when(at))
            for _, run, subject, at in rows
        )

    def all_runs(self) -> tuple[str, ...]:
        """Every run that has a record, also one that has lost its first."""
        query = select(_records.c.run).group_by(_records.c.run).order_by(func.min(_records.c.id))
        with self._reading() as connection:
            return tuple(connection.scalars(query))

    def recoveries(self, site: str) -> Iterator[Took]:
        """What recoveries of a site's components took, each component's latest first."""
        runs = [line.run for line in self.runs(site=site)[-RUNS_LOOKED_AT:]]
        query = select(_records.c.run, _records.c.subject)
        verified = _records.c.run.in_(runs) & (_records.c.kind == "component_verified")
        of_run: dict[str, list[str]] = {run: [] for run in reversed(runs)}
        with self._reading() as connection:
            for run, component in connection.execute(query.where(verified)):
                of_run[run].append(component)
        seen: dict[str, int] = {}
        for run, components in of_run.items():
            wanted = [name for name in components if seen.get(name, 0) < LAST]
            seen |= {name: seen.get(name, 0) + 1 for name in wanted}
            if wanted:
                timed = (_records.c.run == run) & _records.c.kind.in_(_TIMED)
                yield from recoveries_of(self._select(timed, subjects=frozenset(wanted)))

    def past_runs(self, site: str) -> Iterator[PastRun]:
        """What a site's last runs say of the next, the latest first; rehearsals say nothing."""
        brought_back = 0
        for line in reversed(self.runs(site=site)[-RUNS_LOOKED_AT:]):
            read = (_records.c.run == line.run) & _records.c.kind.in_(READ)
            if found := past_run(self._select(read)):
                yield found
                brought_back += bool(found.recovered)
            if brought_back == RECOVERIES:
                return

    def drills(self, site: str) -> Iterator[Scored]:
        """The scored drills of a site, the latest first."""
        for line in reversed(self.runs(site=site)[-DRILLS_LOOKED_AT:]):
            of_run = _records.c.run == line.run
            last = select(func.max(_records.c.seq)).where(of_run).scalar_subquery()
            for record in self._select(of_run & (_records.c.seq == last)):
                if isinstance(record.event, DrillScored):
                    yield Scored(run=line.run, at=record.at, score=record.event)

    def unfinished_runs(self, site: str) -> tuple[str, ...]:
        """The runs of a site that have no end here: one of them may be under way."""
        runs = [line.run for line in self.runs(site=site)]
        finished = _records.c.run.in_(runs) & (_records.c.kind == "run_finished")
        with self._reading() as connection:
            ended = set(connection.scalars(select(_records.c.run).where(finished)))
        return tuple(run for run in runs if run not in ended)

    def last_run(self, site: str | None = None) -> str | None:
        """The run that was begun last; None when there is none."""
        runs = self.runs(site=site)
        return runs[-1].run if runs else None

    def _task(self, run: str, component: str) -> str:
        """The task that its playbook started last."""
        of_run, begun = _records.c.run == run, _latest(run, component, "playbook_started")
        task = _latest(run, component, "task_started")
        found = self._select(of_run & (_records.c.seq == task) & (_records.c.seq > begun))
        return next((str(getattr(record.event, "task", "")) for record in found), "")

    def _passed(self, run: str, component: str) -> int:
        """How many checks its last gate has passed."""
        passed = (_records.c.run == run) & (_records.c.kind == "check_finished")
        passed &= (_records.c.subject == component) & (_records.c.detail == true())
        passed &= _records.c.seq > _latest(run, component, "gate_started")
        with self._reading() as connection:
            return connection.scalar(select(func.count()).where(passed)) or 0

    def _select(
        self, wanted: ColumnElement[bool], *, subjects: frozenset[str] | None = None
    ) -> tuple[Record, ...]:
        query = select(_records).where(wanted).order_by(_records.c.seq)
        with self._reading() as connection:
            return tuple(
                _record(row)
                for row in connection.execute(query).mappings()
                if subjects is None or row["subject"] in subjects
            )

    @contextmanager
    def _rows(self, run: str) -> Iterator[Iterator[Row]]:
        query = select(_records).where(_records.c.run == run).order_by(_records.c.seq)
        with self._reading() as connection:
            rows = connection.execution_options(yield_per=1000).execute(query)
            yield ({**row} for row in rows.mappings())

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._turn, self._engine.connect() as connection:
                yield connection
        except DatabaseError as error:
            raise self._store.trouble(error) from error


def open_journal(folder: Path) -> Journal:
    """Open the journal for a run: the server in DRCLI_JOURNAL, else the file of this folder.

    It is made where there is none: a file of mode 0600, in a folder of 0700.

    Raises:
        InputError: DRCLI_JOURNAL names no server that lets us in.
        MachineError: the folder cannot be made.
        JournalError: it cannot be written, is damaged, or was written by a newer drcli.
    """
    address = named_server()
    return Journal(open_server(address) if address else open_file(folder))


@contextmanager
def read_journal(folder: Path, *, chained: bool = False) -> Iterator[Journal | None]:
    """The journal for a view: nothing is written, no lock is waited for; None where there is none.

    A file is read while a run goes on, from a read-only directory and on a full disk. Where the
    view is of the chain itself (`chained`), an older journal's copy is chained first.

    Raises:
        InputError: DRCLI_JOURNAL names no server that lets us in.
        JournalError: it is damaged or was written by a newer drcli.
    """
    address = named_server()
    with read_server(address) if address else read_file(folder, chained=chained) as store:
        yield Journal(store) if store else None


def _latest(run: str, component: str, kind: str) -> ColumnElement[int]:
    mine = (_records.c.run == run) & (_records.c.subject == component)
    return select(func.max(_records.c.seq)).where(mine, _records.c.kind == kind).scalar_subquery()


def _record(row: Any) -> Record:  # noqa: ANN401 -- a row's mapping
    """A row as a record; one whose event this version cannot read is kept as it was written.

    What no drcli writes (a time that is none, bytes that are no text) is taken for nothing known:
    in a crisis a view never fails on its own journal.
    """
    text = str(row["event"])
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = {"text": text}
    if not isinstance(content, dict):
        content = {"text": text}
    seq, elapsed = row["seq"], row["elapsed"]
    known = {
        "run": str(row["run"]),
        "seq": seq if isinstance(seq, int) else 0,
        "at": _when(row["at"]),
        "elapsed": elapsed if isinstance(elapsed, float) and math.isfinite(elapsed) else 0.0,
    }
    try:
        return Record.model_validate({**known, "event": {"kind": row["kind"], **content}})
    except ValidationError:
        return Record.model_validate({**known, "event": {"kind": "unreadable", "text": text}})


def _when(at: object) -> datetime:
    """A time as the journal has it; the beginning of time where that is none."""
    try:
        found = datetime.fromisoformat(str(at))
    except ValueError:
        return _NEVER
    return found if found.tzinfo else found.replace(tzinfo=UTC)
