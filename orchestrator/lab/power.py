"""Power: a cut (everything of a host ends in one instant) and its return (a boot, no more)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Sequence

from orchestrator.errors import MachineError, RecoveryError
from orchestrator.lab.access import archive
from orchestrator.lab.broken import read_broken
from orchestrator.lab.definition import Definition, LabHost
from orchestrator.lab.hosts import await_ssh, boot, running
from orchestrator.lab.instance import Instance
from orchestrator.lab.network import end_connections, silence
from orchestrator.lab.podman import containers, podman, unpack
from orchestrator.lab.progress import Tell
from orchestrator.lab.store import lose_unflushed, restart

END_PATIENCE = 20.0  # seconds until podman has seen that a cut host has ended
POWER_EVENT = "var/lib/lab/power-event"  # in a host: what is run there once, at its next boot


def cut_room(definition: Definition, instance: Instance) -> tuple[LabHost, ...]:
    """Cut the power of the whole hosting room in one instant; return the hosts that had any.

    The links go first, so that nobody is told of an end. Then the disks: what was not flushed is
    lost. Then every first process is killed, and with it all others of its host.

    Raises:
        RecoveryError: one of them did not end.
    """
    return _cut(definition, instance, definition.inside, with_disks=True)


def cut_hosts(
    definition: Definition, instance: Instance, hosts: Sequence[LabHost]
) -> tuple[LabHost, ...]:
    """Cut the power of some hosts: their disks keep what they were given, as others' go on.

    Raises:
        RecoveryError: one of them did not end.
    """
    return _cut(definition, instance, hosts, with_disks=False)


def power_on(
    definition: Definition, instance: Instance, hosts: Sequence[LabHost], *, tell: Tell
) -> tuple[LabHost, ...]:
    """Boot those of the hosts that are off, wait for SSH; return them.

    One that a fault keeps off stays off.

    Raises:
        RecoveryError: a host did not start or its SSH did not answer in time.
    """
    require_made(definition, instance)
    on = running(definition, instance)
    kept_off = read_broken(instance).off
    dark = tuple(host for host in hosts if host not in on and host.name not in kept_off)
    if dark and not any(host.disks for host in on):
        restart(definition, instance)
    boot(definition, instance, dark)
    await_ssh(instance, dark, tell=tell)
    return dark


def require_made(definition: Definition, instance: Instance) -> None:
    """Refuse to go on where a host was never made: it has no power to cut or to get.

    Raises:
        MachineError: the message names what is missing.
    """
    there = containers(instance)
    lacking = [h.name for h in definition.hosts if instance.container(h.name) not in there]
    if lacking:
        raise MachineError(
            f"the lab {instance.name} is not made whole: there is no {', '.join(lacking)}",
            hint=f"drcli lab up --site {instance.site} --name {instance.name}",
        )


def _cut(
    definition: Definition, instance: Instance, hosts: Sequence[LabHost], *, with_disks: bool
) -> tuple[LabHost, ...]:
    known = containers(instance)
    victims: list[tuple[LabHost, int]] = []
    try:
        for host in hosts:
            container = known.get(instance.container(host.name))
            if container is not None and container.running:
                with contextlib.suppress(ProcessLookupError):
                    victims.append((host, os.pidfd_open(container.pid)))
        silence(instance, [host for host, _ in victims])
        if with_disks and any(host.disks for host, _ in victims):
            lose_unflushed(instance)
        for _, process in victims:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        _await_end([process for _, process in victims])
    finally:
        for _, process in victims:
            os.close(process)
    dark = tuple(host for host, _ in victims)
    _await_podman(definition, instance, dark)
    end_connections([instance.address(host.number) for host in dark])
    _leave_behind(definition, instance, dark)
    return dark


def _await_end(processes: Sequence[int]) -> None:
    waiting = select.poll()
    for process in processes:
        waiting.register(process, select.POLLIN)
    left = set(processes)
    deadline = time.monotonic() + END_PATIENCE
    while left and time.monotonic() < deadline:
        for process, _ in waiting.poll(1000):
            waiting.unregister(process)
            left.discard(process)


def _await_podman(definition: Definition, instance: Instance, hosts: Sequence[LabHost]) -> None:
    """Wait until podman has cleaned up behind the hosts: only then can they be started again."""
    if not hosts:
        return
    podman("wait", *(instance.container(host.name) for host in hosts), timeout=END_PATIENCE)
    still = [host.name for host in running(definition, instance) if host in hosts]
    if still:
        raise RecoveryError(
            f"still running after the cut: {', '.join(still)}",
            hint="Look at `podman ps`; then `drcli lab cut` again.",
        )


def _leave_behind(definition: Definition, instance: Instance, hosts: Sequence[LabHost]) -> None:
    """Lay down what the cut leaves behind on these hosts, to be run at their next boot."""
    for host in hosts:
        scripts = [left.script for left in definition.file.after_cut if host.name in left.hosts]
        files = {
            f"{POWER_EVENT}/{number:02}": (script.encode(), 0o600)
            for number, script in enumerate(scripts)
        }
        if files:
            unpack(instance.container(host.name), archive(files))
