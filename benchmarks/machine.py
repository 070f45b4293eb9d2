"""What the figures were measured on and with."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PROJECT = Path(__file__).parents[1]
_PACKAGES = (
    "ansible-core",
    "ansible-runner",
    "pytest",
    "pytest-testinfra",
    "pytest-xdist",
    "sqlalchemy",
    "mitogen",
    "distributed",
)


def describe() -> dict[str, str]:
    """This machine and the versions in use, each as one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = [f"{name} {found}" for name in _PACKAGES if (found := _version(name))]
    return {
        "Machine": f"{os.cpu_count()} cores of {_processor()}, {memory:.0f} GiB of memory",
        "System": f"{_system()}, Linux {platform.release()}, {_said('ssh', '-V').split(',')[0]}, "
        + _said("podman", "--version"),
        "Versions": f"Python {platform.python_version()}, {', '.join(versions)}",
    }


def commit() -> str:
    """The commit measured, shortened; with a `+` when files differ from it."""
    found = _said("git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD")
    changed = _said("git", "-C", str(PROJECT), "status", "--porcelain", "--", "orchestrator")
    return found + "+" * bool(found and changed)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "unknown"


def _said(*command: str) -> str:
    """What a command says, on whichever stream; nothing where it is not installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=10)
    except OSError:
        return ""
    return (done.stdout or done.stderr).strip()
