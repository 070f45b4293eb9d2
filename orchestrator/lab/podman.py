"""Podman, through its command line: the few things the lab asks of it, as typed functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from orchestrator.lab.command import run

LABEL = "drcli.lab"  # =SITE on every container and network of a lab


@dataclass(frozen=True, kw_only=True)
class Container:
    """What podman knows of one container; `pid` is 0 when it does not run."""

    name: str
    running: bool
    pid: int
    image: str


def podman(
    *arguments: str, stdin: bytes | None = None, timeout: float = 120.0, allow: bool = False
) -> str:
    """Run one podman command; see `command.run`."""
    return run(["podman", *arguments], stdin=stdin, timeout=timeout, allow=allow)


def containers(site: str) -> dict[str, Container]:
    """Every container of a site's lab, by name; found by label or name, whatever state it is in."""
    names: set[str] = set()
    for chosen in (f"label={LABEL}={site}", f"name=^drcli-{site}-"):
        names.update(podman("ps", "--all", "--filter", chosen, "--format", "{{.Names}}").split())
    if not names:
        return {}
    inspected = json.loads(podman("container", "inspect", *sorted(names)))
    return {
        c["Name"]: Container(
            name=c["Name"],
            running=bool(c["State"]["Running"]),
            pid=int(c["State"]["Pid"]),
            image=str(c["ImageName"]),
        )
        for c in inspected
    }


def image_exists(name: str) -> bool:
    """Whether an image of that name and tag is stored here."""
    return bool(podman("images", "--quiet", "--filter", f"reference={name}").strip())


def networks(site: str) -> list[str]:
    """Podman's networks that belong to a site's lab."""
    found = podman("network", "ls", "--filter", f"name=^drcli-{site}-", "--format", "{{.Name}}")
    return found.split()


def remove_containers(names: Iterable[str]) -> None:
    """End and remove containers, at once; those that are gone already do not matter."""
    chosen = list(names)
    if chosen:
        podman("rm", "--force", "--time", "0", "--volumes", *chosen, timeout=300, allow=True)


def execute(container: str, script: str, *, timeout: float = 60.0) -> str:
    """Run a shell script as root inside a running container, past its network and SSH."""
    return podman("exec", "--interactive", container, "/bin/sh", "-eu", "-s",
                  stdin=script.encode(), timeout=timeout)  # fmt: skip


def unpack(container: str, archive: bytes) -> None:
    """Unpack a tar archive at a container's root, whether it runs or not."""
    podman("cp", "-", f"{container}:/", stdin=archive)


def create(
    container: str, image: str, *, options: Sequence[str], everywhere: Sequence[str] = ()
) -> None:
    """Make a container, not started; `everywhere` are podman's own options, as `--runtime`."""
    podman(*everywhere, "create", "--name", container, *options, image, "/sbin/init")
