"""What this machine lacks for a recovery: room for the journal, versions that were tried."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

from orchestrator.finding import Finding, Severity

ROOM = 256 * 1024 * 1024  # bytes; a long recovery's journal and logs take a part of it
NO_ROOM = 1024 * 1024
_FEW_FILES = 100


def disk_findings(state: Path) -> Iterator[Finding]:
    """A state directory with little or no room; the folder need not be made yet."""
    folder = next(path for path in (state, *state.parents) if path.exists())
    try:
        found = os.statvfs(folder)
    except OSError as error:
        yield _disk(Severity.BLOCKS, folder, f"cannot be looked at: {error.strerror}")
        return
    free = found.f_bavail * found.f_frsize
    if found.f_files and found.f_favail < _FEW_FILES:
        yield _disk(Severity.BLOCKS, folder, f"its disk takes {found.f_favail} more files only")
    elif free < ROOM:
        severity = Severity.BLOCKS if free < NO_ROOM else Severity.WARNS
        yield _disk(severity, folder, f"{free / 1024 / 1024:.1f} MiB are free on its disk")


def version_findings(requirements: list[str] | None = None) -> Iterator[Finding]:
    """What is installed and does not fit what drcli was tried with; extras are left out."""
    try:
        wanted = requires("drcli") if requirements is None else requirements
    except PackageNotFoundError:
        return  # run from its sources
    for text in wanted or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            found = ""
        if not found or not requirement.specifier.contains(found, prereleases=True):
            yield Finding(
                name="version",
                severity=Severity.BLOCKS,
                where=requirement.name,
                what=f"{found or 'nothing'} is installed; drcli was tried with {requirement}",
                mend=f"pip install '{requirement}'",
            )


def _disk(severity: Severity, folder: Path, what: str) -> Finding:
    mend = "free space there, or name another folder: --state-dir"
    return Finding(name="disk", severity=severity, where=str(folder), what=what, mend=mend)
