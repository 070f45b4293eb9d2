"""Who holds a site, as a row of the journal's database: taken, renewed and given back.

The row of a site is never deleted and its `fence` only grows, by one for each new holder. Whoever
writes for a run looks, in the same transaction, whether the fence is still its own: a controller
that was paused while another took over can write nothing more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import ValidationError
from sqlalchemy import Connection, bindparam, func, select, text, update

from orchestrator.holder import Fate, Holder
from orchestrator.journal_tables import leases, records

_ENTER = text(
    "INSERT INTO leases (site, fence, beat, holder) VALUES (:site, 0, 0, '')"
    " ON CONFLICT (site) DO NOTHING"
)
_FENCE = select(leases.c.fence).where(leases.c.site == bindparam("site")).with_for_update(read=True)


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A site's row: `holder` is None when nobody holds the site, or its holder's run is over."""

    site: str
    fence: int
    beat: int
    holder: Holder | None


def lease_of(connection: Connection, site: str, *, locked: bool = False) -> Lease | None:
    """The row of a site; `locked`: nobody may change it before this transaction is over."""
    query = select(leases).where(leases.c.site == site)
    row = connection.execute(query.with_for_update() if locked else query).mappings().one_or_none()
    if row is None:
        return None
    holder = _holder(row["holder"]) if row["holder"] else None
    if holder is not None and _is_over(connection, holder.run, row["fence"]):
        holder = None
    return Lease(site=site, fence=row["fence"], beat=row["beat"], holder=holder)


def take(
    connection: Connection, site: str, holder: Holder, *, over: Lease | None, alone: bool
) -> tuple[Lease, bool]:
    """Take the site, if it is free, or nothing has moved since `over` was seen.

    `alone`: nobody on another machine can hold it, as the journal is a file of this one. Returns
    the lease that then stands, and whether it is ours.
    """
    connection.execute(_ENTER, {"site": site})
    found = lease_of(connection, site, locked=True)
    assert found is not None  # noqa: S101 -- it was entered
    fate = found.holder.fate if found.holder else Fate.DEAD
    free = fate is Fate.DEAD or (alone and fate is Fate.FAR) or found == over
    if not free:
        return found, False
    fence = found.fence + 1
    mine = {"fence": fence, "beat": 0, "holder": holder.model_dump_json()}
    connection.execute(update(leases).where(leases.c.site == site).values(mine))
    return Lease(site=site, fence=fence, beat=0, holder=holder), True


def renew(connection: Connection, lease: Lease) -> bool:
    """One more heartbeat; False when another has taken over."""
    mine = (leases.c.site == lease.site) & (leases.c.fence == lease.fence)
    beaten = update(leases).where(mine).values(beat=leases.c.beat + 1)
    return bool(connection.execute(beaten).rowcount)


def give_back(connection: Connection, lease: Lease) -> None:
    """Nobody holds the site now, unless another has taken over."""
    mine = (leases.c.site == lease.site) & (leases.c.fence == lease.fence)
    connection.execute(update(leases).where(mine).values(holder=""))


def is_ours(connection: Connection, lease: Lease) -> bool:
    """No later fence exists, and none will before this transaction is over."""
    return connection.scalar(_FENCE, {"site": lease.site}) == lease.fence


def _holder(text_: str) -> Holder:
    try:
        return Holder.model_validate_json(text_)
    except ValidationError:  # of another drcli: it holds the site, whoever it is
        never = datetime.min.replace(tzinfo=UTC)
        return Holder(run="?", by="?", since=never, pid=0, boot_id="?", process_began=0)


def _is_over(connection: Connection, run: str, fence: int) -> bool:
    """The last word of this very holder is its run's end: it has nothing left to do."""
    last = select(func.max(records.c.seq)).where(records.c.run == run).scalar_subquery()
    query = select(records.c.kind).where(records.c.run == run, records.c.seq == last)
    return connection.scalar(query.where(records.c.fence == fence)) == "run_finished"
