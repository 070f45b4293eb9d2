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
from orchestrator.lab.definition import Lab
from orchestrator.lab.podman import podman
from orchestrator.lab.progress import Step, Tell

IMAGE_SPACE = 5 << 30  # bytes the images of a dozen hosts take, with what building them needs
WRITTEN_TO_A_DISK = 1 << 30  # bytes, at most: a third to a half of it was seen
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_EACH_HOST = 64  # systemd and the services of one host
CGROUPS: tuple[tuple[str, ...], ...] = ((), ("--cgroup-manager", "cgroupfs"))
COMMANDS = ("podman", "ip", "losetup", "ssh", "ssh-keygen")


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


def check_machine(lab: Lab) -> None:
    """Say now what would fail later: root, commands, kernel features, disk space.

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
    if not any(map(shutil.which, ("crun", "runc"))):
        raise missing("runc")
    _check_network_backend()
    if any(host.disks for host in lab.hosts):
        _need_kernel("loop", Path("/dev/loop-control"))
        _need_kernel("btrfs", Path("/dev/btrfs-control"))
    _check_space(lab)


def _check_network_backend() -> None:
    backend = podman("info", "--format", "{{.Host.NetworkBackend}}").strip()
    if backend != "netavark":
        raise MachineError(
            f"podman's network backend is {backend!r}: the lab needs netavark",
            hint="As root: apt-get install netavark, then podman system reset.",
        )
    if not shutil.which("iptables"):
        raise missing("iptables")


def _need_kernel(module: str, device: Path) -> None:
    if not device.exists() and shutil.which("modprobe"):
        run(["modprobe", module], allow=True)
    if not device.exists():
        raise MachineError(
            f"this kernel offers no {module}: {device} does not exist",
            hint=f"Use a kernel with {module} (modprobe {module} must work), or a larger machine.",
        )


def _check_space(lab: Lab) -> None:
    """Room for the hosts' disks and for the images; what lies on one filesystem is added up.

    The disks are sparse: each takes what is written to it, far less than its size.
    """
    disks = lab.folder / "disks"
    wanted = sum(
        min(size, WRITTEN_TO_A_DISK) for host in lab.hosts for disk, size in host.disks.items()
        if not (disks / f"{host.name}-{disk}").exists()
    )  # fmt: skip
    here = lab.folder
    while not here.exists():
        here = here.parent
    stored = podman("images", "--quiet", "--filter", "reference=localhost/drcli-lab/*").strip()
    storage = Path(podman("info", "--format", "{{.Store.GraphRoot}}").strip())
    storage = storage if storage.exists() else Path("/")
    needs: dict[int, list[tuple[Path, int, str]]] = {}
    for folder, need, what in (
        (here, wanted, "the hosts' disks"),
        (storage, 0 if stored else IMAGE_SPACE, "the images"),
    ):
        if need:
            needs.setdefault(folder.stat().st_dev, []).append((folder, need, what))
    for together in needs.values():
        folder, need = together[0][0], sum(need for _, need, _ in together)
        free = shutil.disk_usage(folder).free
        if free < need:
            what = " and ".join(what for *_, what in together)
            raise MachineError(
                f"{folder} has {free >> 20} MiB free; {what} need {need >> 20} MiB",
                hint=f"Free {(need - free) >> 20} MiB there (podman image prune may help).",
            )


def raise_inotify(hosts: int, tell: Tell) -> None:
    """Let this machine watch enough files for that many systemds; `lab down` leaves it raised."""
    need = 128 + INOTIFY_EACH_HOST * hosts
    has = int(INOTIFY.read_text(encoding="ascii"))
    if has < need:
        try:
            INOTIFY.write_text(str(need), encoding="ascii")
        except OSError as error:
            raise MachineError(
                f"fs.inotify.max_user_instances is {has}; {hosts} hosts need {need}",
                hint=f"sysctl fs.inotify.max_user_instances={need}",
            ) from error
        tell(Step(stage="machine", note=f"raised fs.inotify.max_user_instances {has} -> {need}"))


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
