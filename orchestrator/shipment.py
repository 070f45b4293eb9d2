"""A site's project as it is sent to workers: named by its content, without any secret in clear.

A worker that has the very same files uses them; another is sent them once, and keeps them under
their hash. What goes is what a plan's hash is made of, and the collections beside it.
"""

from __future__ import annotations

import io
import math
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import InputError, MachineError
from orchestrator.kernel_lock import take_lock
from orchestrator.sources import files_below, hash_of, source_files
from orchestrator.state_directory import make_private

FOLDER = "projects"
KEPT = 5  # projects a worker keeps for the next time
LARGEST = 256 * 1024 * 1024  # bytes
_KEY = b"PRIVATE KEY-----"
_HEAD = 4096  # bytes in which a key says that it is one


def project_hash(project: Path, site: str) -> str:
    """SHA-256 of all that a worker runs for the site, in hex: its plan's files and collections.

    Raises:
        InputError: a file cannot be read, or a symbolic link leads out of the project.
    """
    return hash_of(project, _files(project, site))


def pack(project: Path, site: str, *, secrets: frozenset[Path] = frozenset()) -> bytes:
    """The project as a compressed tar; links are replaced by what they lead to.

    Raises:
        InputError: a file is one of `secrets` or holds a private key, is no plain file, or all are
            too large to send.
    """
    packed, size = io.BytesIO(), 0
    secret = {path.resolve() for path in secrets}
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=3, dereference=True) as tar:
        for path in _files(project, site):
            _refuse_secret(path, secret)
            size += path.stat().st_size
            if size > LARGEST:
                raise InputError(
                    f"{project}: more than {LARGEST // 2**20} MiB would have to be sent to workers",
                    hint="Put it there yourself: drcli worker --project FOLDER.",
                )
            tar.add(path, str(path.relative_to(project)), recursive=False)
    return packed.getvalue()


def unpack(data: bytes, digest: str, *, site: str, state_dir: Path) -> Path:
    """Unpack into STATE/projects/, whole or not at all, and prove that it is what it is called.

    Raises:
        MachineError: it is not, or the disk cannot take it.
    """
    cache = make_private(state_dir / FOLDER)
    place = cache / digest
    # Shards ask for it at the same moment, of workers that may share a state directory.
    with take_lock(state_dir / f"{FOLDER}.lock", patience=math.inf):
        if kept_project(digest, site=site, state_dir=state_dir, own=None):
            return place
        fresh = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=cache))
        try:
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as tar:
                tar.extractall(fresh, filter="data")
            if project_hash(fresh, site) != digest:
                raise MachineError(
                    "the project that came is not the one that was announced",
                    hint="It was changed while the run started: run it again.",
                )
            if place.exists():  # with other content than its name says
                shutil.rmtree(place)
            fresh.rename(place)
        except (OSError, tarfile.TarError) as error:
            raise MachineError(f"cannot unpack the project into {cache}: {error}") from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return place


def kept_project(digest: str, *, site: str, state_dir: Path, own: Path | None) -> Path | None:
    """The folder of exactly this project on this worker: its own, or one that was sent before."""
    for folder in (own, state_dir / FOLDER / digest):
        if folder is not None and folder.is_dir() and project_hash(folder, site) == digest:
            if folder != own:
                os.utime(folder)
            return folder
    return None


def prune_projects(state_dir: Path, *, spare: frozenset[Path]) -> None:
    """Remove all but the `KEPT` projects used last; never one of `spare`."""
    cache = state_dir / FOLDER
    found = [path for path in cache.glob("[0-9a-f]*") if path.is_dir()] if cache.is_dir() else []
    found.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found[KEPT:]:
        if path not in spare:
            shutil.rmtree(path, ignore_errors=True)


def _files(project: Path, site: str) -> Iterator[Path]:
    yield from source_files(project, site)
    yield from files_below(project / "collections", project=project)


def _refuse_secret(path: Path, secret: set[Path]) -> None:
    if not path.is_file():
        raise InputError(f"{path}: no plain file: it cannot be sent to workers", hint="Remove it.")
    with path.open("rb") as file:
        if path.resolve() in secret or _KEY in file.read(_HEAD):
            raise InputError(
                f"{path} holds a key or a password: it is never sent to workers",
                hint="Keep secrets out of the project, or start workers with --project: what a "
                "worker has already is not sent.",
            )
