"""A drill gives way to a recovery at once: it is asked to end, and waited for."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from orchestrator.console import Console
from orchestrator.drills import Drill
from orchestrator.errors import InputError
from orchestrator.journal import open_journal
from orchestrator.requests import Cancel
from orchestrator.site_lock import lock_holder

PATIENCE = 120.0  # seconds for a drill to end what it has started
PAUSE = 0.2
REASON = "a drill gives way to a recovery"


def read_drill(text: str | None) -> Drill | None:
    """`lab:feed-b-lost` -> what makes a run a drill; None where it is none.

    Raises:
        InputError: it is not written so.
    """
    if text is None:
        return None
    kind, _, scenario = text.partition(":")
    try:
        return Drill.model_validate({"kind": kind, "scenario": scenario})
    except ValidationError:
        raise InputError(f"--as-drill {text!r}: not KIND:SCENARIO") from None


def end_drill(folder: Path, site: str, *, by: str) -> None:
    """Where a drill of the site is under way, have it end and wait for that; else do nothing.

    Whoever comes first afterwards has the site: it is taken by its lock, as always.
    """
    holder = lock_holder(folder, site)
    if holder is None:
        return
    with open_journal(folder) as journal:
        started = journal.state(holder.run).started
        if started is None or started.drill is None:
            return
        console = Console()
        console.note(f"{site}: the drill {holder.run} gives way")
        journal.ask(holder.run, Cancel(reason=REASON), by=by, at=datetime.now(UTC))
    deadline = time.monotonic() + PATIENCE
    while lock_holder(folder, site) == holder and time.monotonic() < deadline:
        time.sleep(PAUSE)
