"""The hosts of a lab: made as containers, booted, and seen from outside."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import RecoveryError
from orchestrator.lab.access import identity
from orchestrator.lab.definition import Definition, LabHost
from orchestrator.lab.instance import Instance
from orchestrator.lab.machine import Needs
from orchestrator.lab.network import make_networks, plug
from orchestrator.lab.podman import LABEL, containers, create, podman, unpack
from orchestrator.lab.progress import Step, Tell, each
from orchestrator.lab.store import disk_device

CAPABILITIES = "NET_ADMIN,NET_RAW,SYS_ADMIN"
SSH_PATIENCE = 60.0  # seconds
SSH_PORT = 22
PAUSE = 0.05


@dataclass(frozen=True, kw_only=True)
class HostStatus:
    """How one host stands."""

    name: str
    address: str
    feed: str
    outside: bool
    made: bool
    on: bool
    ssh: bool


def create_hosts(
    definition: Definition,
    instance: Instance,
    images: Mapping[str, str],
    *,
    needs: Needs,
    tell: Tell,
) -> None:
    """Make the containers that are missing, each of its image; the disks must be attached."""
    there = containers(instance)

    def make(host: LabHost) -> None:
        name = instance.container(host.name)
        options = container_options(definition, instance, host, needs=needs)
        create(name, images[host.name], options=options, everywhere=needs.everywhere)
        try:
            unpack(name, identity(instance, host))
        except BaseException:
            # Without its keys it is no host of the lab: the next `up` must make it anew.
            podman("rm", "--force", "--time", "0", name, allow=True)
            raise

    lacking = [host for host in definition.hosts if instance.container(host.name) not in there]
    if lacking:
        each(lacking, make, stage="hosts", tell=tell, at_once=3)


def container_options(
    definition: Definition, instance: Instance, host: LabHost, *, needs: Needs
) -> tuple[str, ...]:
    """What podman is told about a host's container."""
    devices: list[str] = []
    for disk in host.disks:
        loop = disk_device(definition, instance, host.name, disk)
        devices += ["--device", f"{loop}:/dev/{disk}"]
    if host.disks:
        devices += ["--device", "/dev/btrfs-control"]
    return (
        "--hostname", host.name,
        "--label", f"{LABEL}={instance.name}",
        "--systemd=always",
        "--cap-add", CAPABILITIES,
        "--security-opt", "unmask=ALL",  # sysctl net.* of its own network namespace
        "--network", "none",  # its cables come with its boot: network.py
        "--no-hosts",
        "--sysctl", "net.ipv4.ip_forward=0",  # else every host boots with this machine's setting
        "--log-driver", "none",
        "--shm-size", "256m",
        *devices,
        *needs.limits,
    )  # fmt: skip


def boot(definition: Definition, instance: Instance, hosts: Iterable[LabHost]) -> None:
    """Start hosts that are off, all at once: their cables are in place when the first process runs.

    Raises:
        RecoveryError: one of them ended at once.
    """
    chosen = {instance.container(host.name): host for host in hosts}
    if not chosen:
        return
    make_networks(definition, instance)
    known = containers(instance)
    fresh = [name for name in chosen if not known[name].pid]
    if fresh:
        podman("init", *fresh)
    plug(instance, [(chosen[name], pid) for name, pid in _processes(chosen).items()])
    podman("start", *chosen)


def await_ssh(
    instance: Instance, hosts: Iterable[LabHost], *, tell: Tell, patience: float = SSH_PATIENCE
) -> None:
    """Wait until every host's SSH server presents itself; `patience` in seconds for all of them.

    Raises:
        RecoveryError: some did not; the message names them.
    """
    silent = list(hosts)
    total = len(silent)
    until = time.monotonic() + patience
    while silent:
        silent = [host for host in silent if not ssh_answers(instance.address(host.number))]
        tell(Step(stage="SSH", done=total - len(silent), total=total))
        if silent and time.monotonic() > until:
            names = ", ".join(host.name for host in silent)
            first = instance.container(silent[0].name)
            raise RecoveryError(
                f"no SSH after {patience:.0f} s: {names}",
                hint=f"Look inside: podman exec -it {first} journalctl -b",
            )
        time.sleep(PAUSE)


def ssh_answers(address: str) -> bool:
    """Whether an SSH server presents itself at this address."""
    try:
        with socket.create_connection((address, SSH_PORT), timeout=1.0) as connection:
            connection.settimeout(2.0)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def running(definition: Definition, instance: Instance) -> tuple[LabHost, ...]:
    """The hosts whose power is on."""
    known = containers(instance)
    return tuple(
        host
        for host in definition.hosts
        if (container := known.get(instance.container(host.name))) and container.running
    )


def status(definition: Definition, instance: Instance) -> list[HostStatus]:
    """How every host of the lab stands."""
    known = containers(instance)
    on = {host.name for host in running(definition, instance)}

    def look(host: LabHost) -> HostStatus:
        address = instance.address(host.number)
        return HostStatus(
            name=host.name,
            address=address,
            feed=host.feed,
            outside=host.outside,
            made=instance.container(host.name) in known,
            on=host.name in on,
            ssh=host.name in on and ssh_answers(address),
        )

    with ThreadPoolExecutor(max_workers=len(definition.hosts)) as pool:
        return list(pool.map(look, definition.hosts))


def _processes(names: Iterable[str]) -> dict[str, int]:
    """The first process of each of these containers."""
    found = {c["Name"]: int(c["State"]["Pid"]) for c in json.loads(podman("inspect", *names))}
    dead = [name for name, pid in found.items() if not pid or not Path(f"/proc/{pid}").exists()]
    if dead:
        raise RecoveryError(
            f"podman believes that these run, and they do not: {', '.join(dead)}",
            hint="They were killed from outside. drcli lab reset makes them anew.",
        )
    return found
