"""Removes labs, whatever state they are in, and leaves nothing of them behind.

After everything was killed at once, podman's processes too, podman believes what is not so: it says
that a container runs, the first removal of it fails, and its name stays taken in the storage. So
everything is done until a look shows that nothing is left, and by what is there, not by what was
written down.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import RecoveryError
from orchestrator.lab.instance import Instance, all_instances, find_instance, folder_of
from orchestrator.lab.lab_lock import LABS, lab_lock
from orchestrator.lab.network import bridges, end_connections, remove_networks
from orchestrator.lab.podman import podman
from orchestrator.lab.progress import Step, Tell
from orchestrator.lab.store import close_folder

OWN_NAME = re.compile(r"(drcli-[0-9a-f]{6})(-.+)?")
ROUNDS = 5
PAUSE = 0.5


def take_down(name: str, *, tell: Tell) -> list[str]:
    """Remove everything of one instance; what was removed, in words.

    Raises:
        RecoveryError: something of it would not go.
    """
    with lab_lock(name):
        instance = find_instance(name)
        removed = _remove_prefix(instance.prefix, tell=tell) if instance else []
        if instance:
            end_connections([str(instance.subnet)])
        removed += _remove_folder(folder_of(name))
    _remove_if_empty(LABS)
    return removed


def purge(*, tell: Tell) -> list[str]:
    """Remove all that any lab of this machine left, with or without a folder; nobody else's.

    Raises:
        RecoveryError: something would not go, each told on a line; all else is gone.
    """
    removed: list[str] = []
    kept: list[RecoveryError] = []
    for instance in all_instances():
        with _noting(kept):
            removed += take_down(instance.name, tell=tell)
    with _noting(kept), lab_lock("_machine"):
        there = all_instances()  # these would not go, or another command is at them
        for prefix in sorted(_prefixes() - {instance.prefix for instance in there}):
            with _noting(kept):
                removed += _remove_prefix(prefix, tell=tell)
        for folder in sorted(set(LABS.iterdir()) - {instance.folder for instance in there}):
            if folder.is_dir():
                with _noting(kept):
                    removed += _remove_folder(folder)
    _remove_if_empty(LABS)
    if kept:
        hints = dict.fromkeys(error.hint for error in kept if error.hint)
        raise RecoveryError("\n".join(error.message for error in kept), hint="\n".join(hints))
    return removed


@contextmanager
def _noting(kept: list[RecoveryError]) -> Iterator[None]:
    """Put what would not go into `kept` and go on."""
    try:
        yield
    except RecoveryError as error:
        kept.append(error)


def remove_hosts(instance: Instance) -> int:
    """Remove the containers of an instance, running or not; how many there were.

    Raises:
        RecoveryError: one of them would not go.
    """
    count = _remove_containers(instance.prefix)
    end_connections([str(instance.subnet)])
    return count


def _remove_prefix(prefix: str, *, tell: Tell) -> list[str]:
    removed = []
    tell(Step(stage="take down", note=f"taking down {prefix}"))
    count = _remove_containers(prefix)
    if count:
        removed.append(f"{count} hosts")
    if remove_networks(prefix):
        removed.append(f"the networks {prefix}")
    return removed


def _remove_containers(prefix: str) -> int:
    names = first = _containers(prefix)
    for left in range(ROUNDS, 0, -1):
        if not names:
            return len(first)
        podman("rm", "--force", "--time", "0", "--volumes", *names, allow=True)
        names = _containers(prefix)
        if names and left > 1:
            time.sleep(PAUSE)
    raise RecoveryError(
        f"these containers would not go: {', '.join(names)}",
        hint=f"podman rm --force {names[0]}; then the same command again.",
    )


def _containers(prefix: str) -> list[str]:
    """The names of a lab's containers, those too that only podman's storage still knows."""
    listed = json.loads(podman("ps", "--all", "--external", "--format", "json") or "[]")
    return [name for c in listed for name in c["Names"] if name.startswith(f"{prefix}-")]


def _prefixes() -> set[str]:
    """The prefix of everything there is that a lab made."""
    listed = json.loads(podman("ps", "--all", "--external", "--format", "json") or "[]")
    names = {name for c in listed for name in c["Names"]} | bridges()
    return {found[1] for name in names if (found := OWN_NAME.fullmatch(name))}


def _remove_folder(folder: Path) -> list[str]:
    if not folder.exists():
        return []
    close_folder(folder)
    shutil.rmtree(folder)
    return [str(folder)]


def _remove_if_empty(folder: Path) -> None:
    try:
        folder.rmdir()
        folder.parent.rmdir()
    except OSError:
        return
