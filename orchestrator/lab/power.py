"""Power: a cut (everything of a host ends in one instant) and its return (a boot, no more)."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Iterable, Sequence

from orchestrator.errors import RecoveryError
from orchestrator.lab.definition import Lab, LabHost
from orchestrator.lab.disks import attach
from orchestrator.lab.lasting import read_lasting
from orchestrator.lab.network import make_networks, plug
from orchestrator.lab.podman import containers, podman
from orchestrator.lab.progress import Tell, each

END_PATIENCE = 20.0  # seconds until podman has seen that a cut host has ended
SSH_PATIENCE = 60.0
SSH_PORT = 22
PAUSE = 0.2


def running(lab: Lab) -> frozenset[str]:
    """The names of the hosts whose power is on."""
    known = containers(lab.site)
    return frozenset(
        h.name for h in lab.hosts
        if (c := known.get(lab.container(h))) is not None and c.running
    )  # fmt: skip


def cut(lab: Lab, hosts: Sequence[LabHost]) -> tuple[LabHost, ...]:
    """Cut the power of these hosts in one instant; return those that had any.

    The first process of each container is killed; the kernel then kills every other one of it
    before anything can react. All are found first, so the kills are microseconds apart.

    Raises:
        RecoveryError: one of them did not end.
    """
    known = containers(lab.site)
    victims: list[tuple[LabHost, int]] = []
    try:
        for host in hosts:
            container = known.get(lab.container(host))
            if container is not None and container.running:
                with contextlib.suppress(ProcessLookupError):
                    victims.append((host, os.pidfd_open(container.pid)))
        for _, process in victims:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(process, signal.SIGKILL)
        _await_end([process for _, process in victims])
    finally:
        for _, process in victims:
            os.close(process)
    _await_podman(lab, [host for host, _ in victims])
    return tuple(host for host, _ in victims)


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


def _await_podman(lab: Lab, hosts: Sequence[LabHost]) -> None:
    """Wait until podman has cleaned up behind the hosts: only then can they be started again."""
    if not hosts:
        return
    names = [lab.container(host) for host in hosts]
    podman("wait", *names, timeout=END_PATIENCE)
    still = running(lab) & {host.name for host in hosts}
    if still:
        raise RecoveryError(
            f"still running after the cut: {', '.join(sorted(still))}",
            hint="Look at `podman ps`; then `drcli lab cut` again.",
        )


def power_on(
    lab: Lab, hosts: Sequence[LabHost], *, tell: Tell, late: frozenset[str] = frozenset()
) -> tuple[LabHost, ...]:
    """Boot those of the hosts that are off, plug their cables, wait for SSH; return them.

    A host that a fault keeps off stays off; hosts named in `late` are known to answer later and
    are not waited for.

    Raises:
        RecoveryError: a host did not start or its SSH did not answer in time.
    """
    on = running(lab)
    lasting = read_lasting(lab)
    dark = [host for host in hosts if host.name not in on and host.name not in lasting.off]
    make_networks(lab)
    for host in dark:
        attach(lab, host, without=lasting.out.get(host.name, ()))
    each(dark, lambda host: boot(lab, host), stage="power on", tell=tell, at_once=3)
    await_ssh([h for h in dark if h.name not in late], tell=tell)
    return tuple(dark)


def boot(lab: Lab, host: LabHost) -> None:
    """Start a host's container and plug its cables."""
    name = lab.container(host)
    podman("start", name)
    pid = containers(lab.site)[name].pid
    if not pid:
        raise RecoveryError(
            f"{host.name} ended right after its start", hint=f"Look at `podman logs {name}`."
        )
    plug(lab, host, pid=pid)


def await_ssh(hosts: Iterable[LabHost], *, tell: Tell, patience: float = SSH_PATIENCE) -> None:
    """Wait until every host's SSH server presents itself; `patience` in seconds for all of them.

    Raises:
        RecoveryError: some did not; the message names them.
    """
    deadline = time.monotonic() + patience

    def wait(host: LabHost) -> bool:
        while not (answers := ssh_answers(host)) and time.monotonic() < deadline:
            time.sleep(PAUSE)
        return answers

    waited = list(hosts)
    answered = each(waited, wait, stage="SSH", tell=tell, at_once=max(len(waited), 1))
    silent = [host.name for host, there in zip(waited, answered, strict=True) if not there]
    if silent:
        raise RecoveryError(
            f"no SSH after {patience:.0f} s: {', '.join(silent)}",
            hint="Look inside: podman exec -it drcli-SITE-HOST journalctl -b",
        )


def ssh_answers(host: LabHost) -> bool:
    """Whether an SSH server presents itself at the host's management address."""
    try:
        with socket.create_connection((host.address, SSH_PORT), timeout=1.0) as connection:
            connection.settimeout(2.0)
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
