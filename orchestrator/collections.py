"""Puts the few Ansible collections that the playbooks name beside them, without Ansible Galaxy.

Galaxy may be out of reach of a controller, and the whole PyPI package `ansible` takes 570 MB once
installed. Its wheel is a zip: it is downloaded once by pip (which checks its hash), and only the
folders of the collections that `playbooks/requirements.yml` names are taken out.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from orchestrator.errors import InputError, MachineError
from orchestrator.yaml_file import read_yaml

_NAME = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_MARKER = ".from-ansible"
_CORE_MINOR_TO_MAJOR = 7  # ansible-core 2.19 is the core of ansible 12, 2.20 of 13, 2.21 of 14


def wanted_series() -> str:
    """The series of PyPI's `ansible` that belongs to the installed ansible-core: `12.*`."""
    minor = int(version("ansible-core").split(".")[1])
    return f"{minor - _CORE_MINOR_TO_MAJOR}.*"


def required_collections(project: Path) -> tuple[str, ...]:
    """The names in `playbooks/requirements.yml`, none when there is no such file.

    Raises:
        InputError: the file is not YAML, or an entry has no `namespace.name`.
    """
    path = project / "playbooks" / "requirements.yml"
    if not path.exists():
        return ()
    content = read_yaml(path)
    entries = content.get("collections") if isinstance(content, dict) else None
    names = []
    for entry in entries if isinstance(entries, list) else []:
        name = entry.get("name") if isinstance(entry, dict) else entry
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise InputError(
                f"{path}: collections: {name!r} is not a collection's name",
                hint="Write `- name: namespace.collection`.",
            )
        names.append(name)
    return tuple(names)


def install_collections(project: Path) -> tuple[str, ...]:
    """Make every required collection present below `collections/`; return those newly installed.

    Raises:
        InputError: see `required_collections`, or the wheel does not hold a named collection.
        MachineError: pip could not download the wheel.
    """
    series = wanted_series()
    root = project / "collections" / "ansible_collections"
    missing = tuple(
        name for name in required_collections(project) if _installed_series(root, name) != series
    )
    if not missing:
        return ()
    with (
        tempfile.TemporaryDirectory(prefix="drcli-collections-") as scratch,
        zipfile.ZipFile(_download(series, Path(scratch))) as wheel,
    ):
        for name in missing:
            _extract(wheel, name, root, series)
    return missing


def _folder(name: str) -> PurePosixPath:
    return PurePosixPath(*name.split("."))


def _installed_series(root: Path, name: str) -> str | None:
    marker = root / _folder(name) / _MARKER
    return marker.read_text(encoding="utf-8").strip() if marker.exists() else None


def _download(series: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary=:all:", "--dest", str(folder), f"ansible=={series}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- fixed words
    wheels = sorted(folder.glob("ansible-*.whl"))
    if done.returncode or not wheels:
        raise MachineError(
            f"pip could not download ansible=={series}: {done.stderr.strip()[-500:]}",
            hint="Check the package index, or bring the collections into collections/ by hand.",
        )
    return wheels[0]


def _extract(wheel: zipfile.ZipFile, name: str, root: Path, series: str) -> None:
    prefix = f"ansible_collections/{_folder(name)}/"
    members = [m for m in wheel.namelist() if m.startswith(prefix)]
    if not members:
        raise InputError(
            f"collection {name} is not part of PyPI's ansible {series}",
            hint="Take it out of playbooks/requirements.yml and install it another way.",
        )
    wheel.extractall(root.parent, members)
    (root / _folder(name) / _MARKER).write_text(series + "\n", encoding="utf-8")
