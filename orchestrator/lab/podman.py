"""Podman, through its command line: the few things the lab asks of it, as typed functions.

Containers have no network of podman's: network.py gives them theirs. So podman has no addresses to
share out, and none to leak when it is killed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.lab.command import run
from orchestrator.lab.instance import Instance

LABEL = "drcli.lab"  # =NAME on every container of an instance
TIMEOUT = 60.0
TRIES = 5  # the first removal of a container whose podman was killed may fail


@dataclass(frozen=True, kw_only=True)
class Container:
    """What podman knows of one container; `pid` is 0 when it does not run."""

    name: str
    running: bool
    pid: int


def podman(
    *arguments: str, stdin: bytes | None = None, timeout: float = TIMEOUT, allow: bool = False
) -> str:
    """Run one podman command; see `command.run`."""
    return run(["podman", *arguments], stdin=stdin, timeout=timeout, allow=allow)


def containers(instance: Instance) -> dict[str, Container]:
    """Every container of an instance, by name, whatever state it is in.

    One whose process is gone does not run, whatever podman believes.
    """
    chosen = ("--filter", f"label={LABEL}={instance.name}")
    names = podman("ps", "--all", *chosen, "--format", "{{.Names}}").split()
    if not names:
        return {}
    found = {}
    for c in json.loads(podman("container", "inspect", *sorted(names))):
        pid = int(c["State"]["Pid"])
        running = c["State"]["Status"] == "running" and _lives(pid)
        found[c["Name"]] = Container(name=c["Name"], running=running, pid=pid)
    return found


def _lives(pid: int) -> bool:
    """Whether a process is there and more than a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123 -- the kernel's file
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False


def image_exists(name: str) -> bool:
    """Whether an image of that name and tag is stored here."""
    return bool(podman("images", "--quiet", "--filter", f"reference={name}").strip())


def create(
    container: str, image: str, *, options: Sequence[str], everywhere: Sequence[str] = ()
) -> None:
    """Make a container, not started; `everywhere` are podman's own options, as `--runtime`."""
    podman(*everywhere, "create", "--name", container, *options, image, "/sbin/init")


def unpack(container: str, archive: bytes) -> None:
    """Unpack a tar archive at a container's root, whether it runs or not."""
    podman("cp", "-", f"{container}:/", stdin=archive)


def execute(container: str, script: str, *, timeout: float = TIMEOUT) -> str:
    """Run a shell script as root inside a running container, past its network and SSH."""
    return podman(
        "exec", "--interactive", container, "/bin/sh", "-eu", "-s",
        stdin=script.encode(), timeout=timeout,
    )  # fmt: skip
