"""What this machine has, lacks and needs for a lab; podman's needs are tried, not imposed."""

from __future__ import annotations

import os
import resource
import shutil
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from orchestrator.errors import MachineError, RecoveryError
from orchestrator.lab.command import missing, run
from orchestrator.lab.definition import Definition
from orchestrator.lab.image import REPOSITORY
from orchestrator.lab.instance import Instance
from orchestrator.lab.podman import podman
from orchestrator.lab.progress import Step, Tell

IMAGE_SPACE = 4 << 30  # bytes the image takes, with what making it needs
WRITTEN_TO_A_DISK = 1 << 30  # bytes, at most: a third to a half of it was seen
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_NEEDED = 4096  # one host takes three to six, near the limit a boot freezes in silence
CGROUPS: tuple[tuple[str, ...], ...] = ((), ("--cgroup-manager", "cgroupfs"))
COMMANDS = ("podman", "ip", "ss", "losetup", "mkfs.xfs", "ssh", "ssh-keygen")


@dataclass(frozen=True, kw_only=True)
class Needs:
    """The options podman must be given on this machine, for `run` and `create` and for `build`."""

    runtime: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()

    @property
    def everywhere(self) -> tuple[str, ...]:
        """Options that stand before podman's command; a container keeps them from its making on."""
        return self.runtime + self.cgroups


def check_root() -> None:
    """Refuse to go on where labs cannot be made or found at all.

    Raises:
        MachineError: with the mend in its hint.
    """
    if os.geteuid() != 0:
        raise MachineError(
            "the lab needs root: it makes containers, bridges and loop devices",
            hint="Run the same command with sudo.",
        )
    for command in COMMANDS:
        if not shutil.which(command):
            raise missing(command)


def check_machine(definition: Definition, instance: Instance, *, tell: Tell) -> None:
    """Say now what would fail later: commands, kernel features, disk space, inotify instances.

    Raises:
        MachineError: with the mend in its hint.
    """
    if not any(map(shutil.which, ("crun", "runc"))):
        raise missing("runc")
    _need_kernel("loop", Path("/dev/loop-control"))
    disks = sum(len(host.disks) for host in definition.hosts)
    if disks:
        _need_kernel("btrfs", Path("/dev/btrfs-control"))
    _check_space(instance, disks)
    raise_inotify(tell)


def _need_kernel(module: str, device: Path) -> None:
    if not device.exists() and shutil.which("modprobe"):
        run(["modprobe", module], allow=True)
    if not device.exists():
        raise MachineError(
            f"this kernel offers no {module}: {device} does not exist",
            hint=f"Use a kernel with {module} (modprobe {module} must work), or a larger machine.",
        )


def _check_space(instance: Instance, disks: int) -> None:
    """Room for the hosts' disks and for the image; what lies on one file system is added up.

    The disks are sparse: each takes what is written to it, far less than its size.
    """
    storage = Path(podman("info", "--format", "{{.Store.GraphRoot}}").strip())
    image = podman("images", "--quiet", "--filter", f"reference={REPOSITORY}/*").strip()
    store = (instance.folder / "store.img").exists()
    needs: dict[int, tuple[Path, int]] = {}
    for folder, need in (
        (instance.folder, 0 if store else disks * WRITTEN_TO_A_DISK),
        (storage if storage.exists() else Path("/"), 0 if image else IMAGE_SPACE),
    ):
        device = folder.stat().st_dev
        needs[device] = (folder, need + needs.get(device, (folder, 0))[1])
    for folder, need in needs.values():
        free = shutil.disk_usage(folder).free
        if free < need:
            raise MachineError(
                f"{folder} has {free >> 20} MiB free; the lab needs {need >> 20} MiB",
                hint=f"Free {(need - free) >> 20} MiB there (podman image prune may help).",
            )


def raise_inotify(tell: Tell) -> None:
    """Let this machine watch enough files for every systemd; it stays raised when a lab goes down.

    Others may count on it by then.
    """
    has = int(INOTIFY.read_text(encoding="ascii"))
    if has >= INOTIFY_NEEDED:
        return
    try:
        INOTIFY.write_text(str(INOTIFY_NEEDED), encoding="ascii")
    except OSError as error:
        raise MachineError(
            f"fs.inotify.max_user_instances is {has}: too few for a lab's systemds",
            hint=f"As root: sysctl fs.inotify.max_user_instances={INOTIFY_NEEDED}",
        ) from error
    tell(Step(stage="machine", note=f"fs.inotify.max_user_instances {has} -> {INOTIFY_NEEDED}"))


def probe_needs(image: str) -> Needs:
    """Start trivial containers of `image` until one runs; return what that one was given.

    Podman's defaults come first, so nothing is imposed on a machine that needs nothing. Some
    sandboxes forbid raising resource limits, which podman does by default; some podmans name a
    runtime that is not installed; some machines have no systemd that would make the cgroups.

    Raises:
        MachineError: no combination runs; the message is podman's last one.
    """
    runtimes: list[tuple[str, ...]] = [()]
    runtimes += [("--runtime", found) for found in map(shutil.which, ("crun", "runc")) if found]
    last = ""
    for cgroups, runtime, limits in product(CGROUPS, runtimes, _limits()):
        needs = Needs(runtime=runtime, cgroups=cgroups, limits=limits)
        options = (*needs.everywhere, "run", "--rm", "--network", "none", "--systemd=always")
        try:
            podman(*options, *limits, image, "/bin/true", timeout=60)
        except RecoveryError as error:
            last = error.message
            continue
        return needs
    raise MachineError(
        f"podman cannot start a container on this machine: {last}",
        hint="Does `podman run --rm IMAGE true` work as root? The lab needs that first.",
    )


def _limits() -> list[tuple[str, ...]]:
    """Candidates, from podman's default over what this process may have to what anyone may."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    chosen = [(files, processes), (min(files, 16384), 16384), (1024, 1024)]
    return [()] + [
        ("--ulimit", f"nofile={f}:{f}", "--ulimit", f"nproc={p}:{p}")
        for f, p in chosen
        if f > 0 and p > 0
    ]
