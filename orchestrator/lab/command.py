"""Runs this machine's own commands for the lab: bounded, and with an error that names the mend."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from orchestrator.errors import MachineError, RecoveryError

# What Debian calls the package of a command the lab needs.
PACKAGES = {
    "ansible-playbook": "ansible-core",
    "ip": "iproute2",
    "losetup": "mount",
    "mkfs.xfs": "xfsprogs",
    "mmdebstrap": "mmdebstrap",
    "nsenter": "util-linux",
    "podman": "podman",
    "runc": "runc",
    "ss": "iproute2",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
}


def run(
    argv: Sequence[str], *, stdin: bytes | None = None, timeout: float = 120.0, allow: bool = False
) -> str:
    """Run a command to its end and return its standard output; `timeout` in seconds.

    With `allow`, a command that fails gives its output all the same: for removing what may be gone.

    Raises:
        MachineError: the command is not installed here.
        RecoveryError: it failed or took too long; the message ends with what it said.
    """
    shown = shlex.join(argv[:6]) + (" …" if len(argv) > 6 else "")  # noqa: PLR2004 -- enough to see
    try:
        done = subprocess.run(  # noqa: S603 -- an argument list, no shell
            argv, input=stdin, capture_output=True, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise missing(argv[0]) from error
    except subprocess.TimeoutExpired as error:
        raise RecoveryError(
            f"`{shown}` did not end within {timeout:.0f} s",
            hint="Is the machine overloaded? Try again; `drcli lab down` clears a half-made lab.",
        ) from error
    if done.returncode and not allow:
        said = done.stderr.decode(errors="replace").strip() or done.stdout.decode(errors="replace")
        tail = "\n".join(said.strip().splitlines()[-8:])
        raise RecoveryError(f"`{shown}` failed ({done.returncode}): {tail}")
    return done.stdout.decode(errors="replace")


def missing(command: str) -> MachineError:
    """The error that says a command is not installed, and how it gets here."""
    package = PACKAGES.get(command, command)
    return MachineError(
        f"the lab needs the command `{command}`, which is not installed",
        hint=f"As root: apt-get install --no-install-recommends {package}",
    )


def mounts_below(folder: Path) -> list[Path]:
    """What is mounted at a folder or below it on this machine, the innermost first."""
    with open("/proc/self/mounts", encoding="utf-8") as file:  # noqa: PTH123 -- the kernel's file
        places = [Path(line.split()[1]) for line in file]
    return [place for place in reversed(places) if place.is_relative_to(folder)]
