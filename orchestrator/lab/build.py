"""Brings a lab up from nothing or from half-way, and takes it down without leaving anything."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import MachineError
from orchestrator.lab.command import run
from orchestrator.lab.definition import Lab, LabHost, lab_folder
from orchestrator.lab.disks import attach, detach, detach_all, disk_file, loop_device
from orchestrator.lab.images import build_images, remove_images
from orchestrator.lab.keys import identity, make_keys
from orchestrator.lab.lasting import read_lasting
from orchestrator.lab.machine import Needs, check_machine, raise_inotify
from orchestrator.lab.network import make_networks, plugged, remove_networks
from orchestrator.lab.podman import (
    LABEL,
    containers,
    create,
    remove_containers,
    unpack,
)
from orchestrator.lab.power import power_on, running, ssh_answers
from orchestrator.lab.progress import Step, Tell, each

CAPABILITIES = "NET_ADMIN,NET_RAW,SYS_ADMIN"
BTRFS_CONTROL = Path("/dev/btrfs-control")


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """How one host of the lab stands."""

    name: str
    address: str
    feed: str
    made: bool
    on: bool
    ssh: bool
    cables: int
    networks: int


def raise_hosts(
    lab: Lab, *, origin: str, rebuild: tuple[LabHost, ...], tell: Tell
) -> tuple[str, ...]:
    """Bring every host of the lab up, bare: booted, on the networks, answering SSH.

    What is there already stays. Hosts in `rebuild` lose everything and are made anew. Returns the
    names of the hosts whose container was made from an older definition than the present one.
    """
    check_machine(lab)
    lab.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    raise_inotify(len(lab.hosts), tell)
    images, needs = build_images(lab, origin=origin, tell=tell)
    make_keys(lab)
    make_networks(lab)
    if rebuild:
        remove_containers(lab.container(host) for host in rebuild)
        for host in rebuild:
            forget_disks(lab, host)
    there = containers(lab.site)
    lasting = read_lasting(lab)
    for host in lab.hosts:
        attach(lab, host, without=lasting.out.get(host.name, ()))
    lacking = [host for host in lab.hosts if lab.container(host) not in there]
    each(
        lacking,
        lambda host: _create(lab, host, image=images[host.image], needs=needs),
        stage="hosts",
        tell=tell,
        at_once=3,
    )
    power_on(lab, lab.hosts, tell=tell)
    return tuple(
        host.name
        for host in lab.hosts
        if (container := there.get(lab.container(host))) is not None
        and host not in lacking
        and container.image != images[host.image]
    )


def _create(lab: Lab, host: LabHost, *, image: str, needs: Needs) -> None:
    name = lab.container(host)
    try:
        options = container_options(lab, host, needs=needs)
        create(name, image, options=options, everywhere=needs.everywhere)
        unpack(name, identity(lab, host))
    except BaseException:
        # Without its keys it is no host of the lab: the next `up` must make it anew.
        remove_containers([name])
        raise


def container_options(lab: Lab, host: LabHost, *, needs: Needs) -> tuple[str, ...]:
    """What podman is told about a host's container."""
    devices: list[str] = []
    for disk in host.disks:
        devices += ["--device", f"{loop_device(lab, host, disk)}:/dev/{disk}"]
    if host.disks:
        devices += ["--device", str(BTRFS_CONTROL)]
    return (
        "--hostname", host.name,
        "--label", f"{LABEL}={lab.site}",
        "--systemd=always",
        "--cap-add", CAPABILITIES,
        "--security-opt", "unmask=ALL",  # sysctl net.* of its own network namespace
        "--dns=none", "--no-hosts",
        "--network", lab.management, "--ip", host.address,
        "--sysctl", "net.ipv4.ip_forward=0",  # else every host boots with this machine's setting
        "--log-driver", "none",
        "--shm-size", "256m",
        "--restart", "no",
        *devices,
        *needs.limits,
    )  # fmt: skip


def forget_disks(lab: Lab, host: LabHost) -> None:
    """Remove a host's disks; its power must be off."""
    for disk in host.disks:
        detach(lab, host, disk)
        disk_file(lab, host, disk).unlink(missing_ok=True)


def status(lab: Lab) -> tuple[HostStatus, ...]:
    """How every host of the lab stands."""
    there, on, cables = containers(lab.site), running(lab), plugged(lab, lab.hosts)
    return tuple(
        HostStatus(
            name=host.name,
            address=host.address,
            feed=host.feed,
            made=lab.container(host) in there,
            on=host.name in on,
            ssh=host.name in on and ssh_answers(host),
            cables=cables[host.name],
            networks=len(host.networks),
        )
        for host in lab.hosts
    )


def require_made(lab: Lab, hosts: Sequence[LabHost]) -> None:
    """Refuse to go on where one of these hosts was never made: it has no power to cut or to get.

    Raises:
        MachineError: the message names what is missing.
    """
    there = containers(lab.site)
    lacking = [host.name for host in hosts if lab.container(host) not in there]
    if lacking:
        what = f"the lab of {lab.site} is not made" + (
            f" whole: there is no {', '.join(lacking)}" if there else ""
        )
        raise MachineError(what, hint=f"As root: drcli lab up --site {lab.site}")


def take_down(site: str, *, images: bool, tell: Tell) -> tuple[str, ...]:
    """Remove everything of a site's lab, whatever state it is in; return what was removed.

    Needs neither the inventory nor the lab's state: what belongs to a lab is found by its name.
    """
    folder = lab_folder(site)
    removed: list[str] = []
    end_connections(folder)
    names = sorted(containers(site))
    if names:
        tell(Step(stage="take down", total=1, note=f"{len(names)} hosts"))
        remove_containers(names)
        removed.append(f"{len(names)} hosts")
    remove_networks(site)
    disks = detach_all(folder)
    if disks:
        removed.append(f"{len(disks)} disks")
    if folder.exists():
        shutil.rmtree(folder)
        removed.append(str(folder))
    if images:
        remove_images()
        removed.append("images")
    return tuple(removed)


def end_connections(folder: Path) -> None:
    """End the shared SSH connections that Ansible has left open to the lab's hosts."""
    try:
        known = (folder / "known_hosts").read_text(encoding="ascii")
    except FileNotFoundError:
        return
    for address in sorted({line.split()[0] for line in known.splitlines() if line.strip()}):
        path = Path("~/.ansible/cp").expanduser() / "%C"
        run(["ssh", "-O", "exit", "-o", f"ControlPath={path}", f"root@{address}"], allow=True)
