"""One run a site at a time on this controller, and who holds its lock.

STATE/locks/SITE.lock is the lock; STATE/locks/SITE.holder says who holds it. Beside it a lease in
the journal keeps controllers apart that share one: site_lease.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pydantic import ValidationError

from orchestrator.errors import LockedError, MachineError
from orchestrator.holder import Holder, this_process
from orchestrator.kernel_lock import take_lock
from orchestrator.state_directory import make_private, write_private


@contextmanager
def site_lock(state_dir: Path, site: str, *, run: str, since: datetime, by: str) -> Iterator[None]:
    """Hold the site's lock, as this process, for as long as the block runs.

    Raises:
        LockedError: another run of the site is under way.
        MachineError: the state directory cannot be written.
    """
    folder = make_private(state_dir) / "locks"
    make_private(folder)
    try:
        lock = take_lock(folder / f"{site}.lock")
    except TimeoutError as error:
        raise _locked(state_dir, site) from error
    except OSError as error:
        raise MachineError(
            f"cannot take the lock {folder / site}.lock: {error.strerror or error}",
            hint="Make the state directory writable, or name another with --state-dir.",
        ) from error
    try:
        holder = this_process(run=run, by=by, since=since)
        with suppress(OSError):  # without it the lock still holds; it only cannot say who holds it
            write_private(_holder_file(state_dir, site), holder.model_dump_json())
        yield
    finally:
        with suppress(OSError):
            _holder_file(state_dir, site).unlink()
        lock.close()


def lock_holder(state_dir: Path, site: str) -> Holder | None:
    """The living process that holds the site's lock; None when there is none."""
    try:
        text = _holder_file(state_dir, site).read_text(encoding="utf-8")
        holder = Holder.model_validate_json(text)
    except (OSError, ValidationError):
        return None
    return holder if holder.alive else None


def _holder_file(state_dir: Path, site: str) -> Path:
    return state_dir / "locks" / f"{site}.holder"


def _locked(state_dir: Path, site: str) -> LockedError:
    holder = lock_holder(state_dir, site)
    who = str(holder) if holder else "another process"
    return LockedError(
        f"{site} is being recovered already: {who}",
        hint=f"Follow it: drcli watch --site {site}",
    )
