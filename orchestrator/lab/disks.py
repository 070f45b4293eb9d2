"""The disks of a lab's hosts: loop devices on files in the lab's folder, and damage to them."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.lab.command import run
from orchestrator.lab.definition import Lab, LabHost

# Numbers far above those that `losetup --find` hands out: a lab finds its own again after a reboot.
FIRST_LOOP = 8192
LOOPS_OF_A_SITE = 256
SITES = 64


def disk_file(lab: Lab, host: LabHost, disk: str) -> Path:
    """The file behind a host's disk."""
    return lab.folder / "disks" / f"{host.name}-{disk}"


def loop_device(lab: Lab, host: LabHost, disk: str) -> Path:
    """The loop device of a host's disk: always the same one, told by site and place in it."""
    site = zlib.crc32(lab.site.encode()) % SITES
    every = [(h.name, d) for h in lab.hosts for d in h.disks]
    return Path(f"/dev/loop{FIRST_LOOP + site * LOOPS_OF_A_SITE + every.index((host.name, disk))}")


def attach(lab: Lab, host: LabHost, *, without: Collection[str] = ()) -> None:
    """Make the host's disks if they are not there, and attach them but for those `without`.

    Raises:
        MachineError: a loop device is in use for something else.
    """
    attached = attached_files()
    for disk, size in host.disks.items():
        if disk in without:
            continue
        path, device = disk_file(lab, host, disk), loop_device(lab, host, disk)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(size)  # sparse: it takes what is written
        behind = attached.get(str(device))
        if behind == str(path):
            continue
        if behind is not None and behind.startswith(f"{path} "):  # of a lab that was removed
            detach(lab, host, disk)
        elif behind is not None:
            raise MachineError(
                f"{device}, meant for disk {disk} of {host.name}, is attached to {behind}",
                hint=f"losetup --detach {device}",
            )
        run(["losetup", str(device), str(path)])


def detach(lab: Lab, host: LabHost, disk: str) -> None:
    """Take a disk out of a host whose power is off."""
    run(["losetup", "--detach", str(loop_device(lab, host, disk))], allow=True)


def detach_all(folder: Path) -> list[str]:
    """Detach every loop device on a file of this lab's folder; return those that were attached."""
    mine = [d for d, f in attached_files().items() if f.startswith(f"{folder}/")]
    for device in mine:
        run(["losetup", "--detach", device], allow=True)
    return mine


def attached_files() -> dict[str, str]:
    """Loop device -> the file behind it, with ` (deleted)` after it when it is gone."""
    listed = run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"])
    devices = json.loads(listed)["loopdevices"] if listed.strip() else []
    return {d["name"]: str(d["back-file"] or "") for d in devices}


def overwrite(path: Path, *, offset: int, length: int) -> None:
    """Write noise over a range of a disk's file, in bytes: what a failing medium gives back."""
    with path.open("r+b") as file:
        end = min(offset + length, os.fstat(file.fileno()).st_size)
        file.seek(offset)
        for size in _pieces(end - offset):
            file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())


def blank(path: Path) -> None:
    """Make a disk what a new one is: as large, and nothing on it."""
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.truncate(0)
        file.truncate(size)
        os.fsync(file.fileno())


def _pieces(total: int, size: int = 1 << 20) -> Iterator[int]:
    while total > 0:
        yield min(size, total)
        total -= size
