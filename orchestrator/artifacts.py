"""What attempts leave behind in STATE/artifacts/RUN/, kept for a while and within a size."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

FOLDER = "artifacts"
KEEP_RUNS = 20
KEEP_DAYS = 90.0
KEEP_BYTES = 1_073_741_824

_SECONDS_A_DAY = 86_400


@dataclass(frozen=True, kw_only=True)
class _Kept:
    path: Path
    changed: float
    size: int


def prune_artifacts(  # noqa: PLR0913 -- each by name
    state_dir: Path,
    *,
    runs: Sequence[str] = (),
    keep_runs: int = KEEP_RUNS,
    keep_days: float = KEEP_DAYS,
    keep_bytes: int = KEEP_BYTES,
    spare: str = "",
    now: float | None = None,
) -> tuple[str, ...]:
    """Remove what is older than `keep_days`, then the oldest until `keep_bytes` are enough.

    `runs` are the runs in the order they were begun, as the journal has them: after a power cut no
    clock can be trusted. What is not among them is older than they are, and in the order of its
    files' times. The last `keep_runs` are kept whatever their age; the run `spare` is never
    removed. What cannot be removed is left: tidying never stops a run. Returns the runs removed,
    oldest first.
    """
    oldest = (time.time() if now is None else now) - keep_days * _SECONDS_A_DAY
    place = {run: number for number, run in enumerate(runs)}
    kept_here = sorted(
        _runs(state_dir / FOLDER),
        key=lambda kept: (place.get(kept.path.name, -1), kept.changed, kept.path.name),
    )
    last = {kept.path.name for kept in kept_here[-keep_runs:]} if keep_runs else set()
    total = sum(kept.size for kept in kept_here)
    removed = []
    for kept in kept_here:
        young = kept.changed >= oldest or kept.path.name in last
        if kept.path.name == spare or (young and total <= keep_bytes):
            continue
        shutil.rmtree(kept.path, ignore_errors=True)
        if not kept.path.exists():
            total -= kept.size
            removed.append(kept.path.name)
    return tuple(removed)


def _runs(folder: Path) -> list[_Kept]:
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_symlink() or not path.is_dir():
                continue
            with suppress(OSError):
                files = [p.lstat() for p in path.rglob("*")]
                changed = max([path.lstat().st_mtime, *(f.st_mtime for f in files)])
                found.append(_Kept(path=path, changed=changed, size=sum(f.st_size for f in files)))
    return found
