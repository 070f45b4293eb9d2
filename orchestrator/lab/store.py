"""The disks of a lab's hosts: loop devices on files of one XFS file system that is the lab's own.

XFS gives two things: a power cut that loses what was not flushed, on all disks at once, and copies
of whole disks in no time (reflinks).
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from orchestrator.errors import MachineError, RecoveryError
from orchestrator.lab.broken import read_broken
from orchestrator.lab.command import mounts_below, run
from orchestrator.lab.definition import Definition
from orchestrator.lab.instance import Instance
from orchestrator.lab.lab_lock import LABS

GOING_DOWN = 0x8004587D  # FS_IOC_GOINGDOWN of linux/fs.h: XFS answers nothing any more
WITHOUT_FLUSH = b"\x02\x00\x00\x00"  # XFS_FSOP_GOING_FLAGS_NOLOGFLUSH
LOOP_REMOVE = 0x4C81  # LOOP_CTL_REMOVE of linux/loop.h
MEBIBYTE = 1 << 20
SMALLEST = 1 << 30  # bytes of a store; mkfs.xfs refuses less than 300 MB
COPIES = 3  # of every disk there is room for: itself, its snapshot, and what changed
LET_GO = 30.0  # seconds for the kernel to end the file systems of hosts that were killed
PAUSE = 0.05


def store_of(instance: Instance) -> Path:
    """Where the store is mounted."""
    return instance.folder / "store"


def disk_folder(instance: Instance) -> Path:
    """Where the files behind the disks are."""
    return store_of(instance) / "disks"


def snapshot_folder(instance: Instance) -> Path:
    """Where the seeded state of the lab is kept, its disks in `disks` as well."""
    return store_of(instance) / "seeded"


def disk_file(instance: Instance, host: str, disk: str) -> Path:
    """The file behind a host's disk."""
    return disk_folder(instance) / f"{host}-{disk}"


def make_store(definition: Definition, instance: Instance) -> None:
    """Make and mount what is missing of the store."""
    image = instance.folder / "store.img"
    if not image.exists():
        fresh = image.with_suffix(".new")
        with fresh.open("wb") as file:
            file.truncate(SMALLEST + COPIES * sum(size for *_, size in definition.disks()))
        run(["mkfs.xfs", "-q", "-f", str(fresh)])
        fresh.replace(image)
    _mount(instance)


def attach(definition: Definition, instance: Instance) -> None:
    """Make the disks that are not there, and attach all that are in to their loop devices."""
    there = attached()
    out = read_broken(instance).out
    disk_folder(instance).mkdir(mode=0o700, exist_ok=True)
    for host, disk, size in definition.disks():
        path = disk_file(instance, host.name, disk)
        if not path.exists():
            with path.open("wb") as file:
                file.truncate(size)  # sparse: it takes what is written
        device = disk_device(definition, instance, host.name, disk)
        if there.get(device) != str(path) and disk not in out.get(host.name, ()):
            _attach(device, path, behind=there.get(device))


def disk_device(definition: Definition, instance: Instance, host: str, disk: str) -> Path:
    """The loop device of a host's disk: always the same one."""
    every = [(h.name, d) for h, d, _ in definition.disks()]
    return instance.loop(1 + every.index((host, disk)))


def take_out(definition: Definition, instance: Instance, host: str, disk: str) -> None:
    """Detach a disk of a host that is off, once the kernel has written what it still had for it.

    Raises:
        RecoveryError: something still uses it.
    """
    device = disk_device(definition, instance, host, disk)
    until = time.monotonic() + LET_GO
    while device in attached():
        run(["losetup", "--detach", str(device)], allow=True)
        if time.monotonic() > until:
            raise RecoveryError(
                f"{device} is still in use after {LET_GO:.0f} s", hint=f"fuser -vm {device}"
            )
        time.sleep(PAUSE)


def overwrite(path: Path, *, offset: int, length: int) -> None:
    """Write noise over a range of a disk's file, in bytes: what a failing medium gives back."""
    with path.open("r+b") as file:
        end = min(offset + length, os.fstat(file.fileno()).st_size)
        file.seek(offset)
        while (left := end - file.tell()) > 0:
            file.write(os.urandom(min(left, MEBIBYTE)))


def blank(path: Path) -> None:
    """Make a disk what a new one is: as large, and nothing on it."""
    with path.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        file.truncate(0)
        file.truncate(size)


def lose_unflushed(instance: Instance) -> None:
    """Cut the power of all disks in one instant: what was not flushed is lost."""
    folder = os.open(store_of(instance), os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(folder, GOING_DOWN, WITHOUT_FLUSH)
    finally:
        os.close(folder)


def restart(definition: Definition, instance: Instance) -> None:
    """Give the disks their power back; no host that has one may run."""
    close_store(instance)
    _mount(instance)
    attach(definition, instance)


def remake_disks(instance: Instance) -> None:
    """Remove every disk and snapshot; no host may run."""
    close_store(instance)
    _mount(instance)
    run(["rm", "-rf", str(disk_folder(instance)), str(snapshot_folder(instance))])


def roll_back(definition: Definition, instance: Instance) -> None:
    """Make all disks what they were at the snapshot; no host may run."""
    close_store(instance)
    _mount(instance)
    disks = disk_folder(instance)
    run(["rm", "-rf", str(disks)])
    run(
        [
            "cp",
            "--recursive",
            "--reflink=always",
            str(snapshot_folder(instance) / "disks"),
            str(disks),
        ]
    )
    attach(definition, instance)


def close_store(instance: Instance) -> bool:
    """Detach the disks and unmount the store, whatever state they are in; True if one was there.

    Raises:
        RecoveryError: something still uses them.
    """
    return close_folder(instance.folder)


def close_folder(folder: Path) -> bool:
    """The same for every store in a folder; see `close_store`."""
    until = time.monotonic() + LET_GO
    closed: set[Path] = set()
    while True:
        devices = [d for d, file in attached().items() if file.startswith(f"{folder}/")]
        mounted = mounts_below(folder)
        if not devices and not mounted:
            _forget(closed)
            return bool(closed)
        closed.update(devices)
        for device in devices:
            run(["losetup", "--detach", str(device)], allow=True)
        for path in mounted:
            run(["umount", str(path)], allow=True)
        if not mounted:
            _unmount_elsewhere(folder)
        if time.monotonic() > until:
            raise RecoveryError(
                f"still in use after {LET_GO:.0f} s: {', '.join(map(str, [*devices, *mounted]))}",
                hint=f"fuser -vm {folder}",
            )
        time.sleep(PAUSE)


def attached() -> dict[Path, str]:
    """Loop device -> the file behind it, with ` (deleted)` after it when it is gone."""
    listed = run(["losetup", "--list", "--json", "--output", "NAME,BACK-FILE"])
    devices = json.loads(listed)["loopdevices"] if listed.strip() else []
    return {Path(d["name"]): str(d["back-file"] or "") for d in devices}


def _attach(device: Path, path: Path, *, behind: str | None) -> None:
    if behind is not None and not behind.startswith(f"{LABS}/"):
        raise MachineError(
            f"{device}, meant for {path}, is attached to {behind}",
            hint=f"losetup --detach {device}",
        )
    if behind is not None:  # of a lab that is gone
        run(["losetup", "--detach", str(device)])
    run(["losetup", str(device), str(path)])


def _mount(instance: Instance) -> None:
    store = store_of(instance)
    store.mkdir(mode=0o700, exist_ok=True)
    if mounts_below(store):
        return
    device, image = instance.loop(0), instance.folder / "store.img"
    behind = attached().get(device)
    if behind != str(image):
        _attach(device, image, behind=behind)
    # Two labs made from one snapshot would have file systems of one identity: XFS minds.
    run(["mount", "-t", "xfs", "-o", "nouuid", str(device), str(store)])


def _unmount_elsewhere(folder: Path) -> None:
    """Unmount a folder's stores in other mount namespaces.

    A process that was given one of its own while a store was mounted (as each playbook is) has a
    copy of the mount, and with it the file system stays until the process ends.
    """
    seen = {Path("/proc/self/ns/mnt").stat().st_ino}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            namespace = (process / "ns" / "mnt").stat().st_ino
            if namespace in seen:
                continue
            seen.add(namespace)
            lines = (process / "mountinfo").read_text(encoding="utf-8").splitlines()
        except OSError:
            continue  # it has ended
        places = [Path(line.split()[4]) for line in lines]
        for place in (place for place in places if place.is_relative_to(folder)):
            enter = ["nsenter", "--target", process.name, "--mount"]
            run([*enter, "umount", str(place)], allow=True)


def _forget(devices: Iterable[Path]) -> None:
    """Give the numbers of loop devices back to the kernel; one that is still open keeps its own."""
    with open("/dev/loop-control", "rb") as control:  # noqa: PTH123 -- a device
        for device in devices:
            try:
                fcntl.ioctl(control, LOOP_REMOVE, int(device.name.removeprefix("loop")))
            except OSError:
                continue
