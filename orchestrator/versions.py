"""What drcli works with, by name and version."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

_WORKS_WITH = ("drcli", "ansible-core", "ansible-runner", "pytest", "pytest-testinfra")


def versions() -> dict[str, str]:
    """The versions of what is installed here, of Python and of the system."""
    found = {}
    for name in _WORKS_WITH:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found | {"Python": platform.python_version(), "system": platform.platform()}
