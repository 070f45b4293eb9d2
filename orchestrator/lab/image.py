"""The one image of a lab's hosts: Debian with every package of the site, and none of it started.

It is named by the hash of all it is made of, so it is made once and found again by its name; a
changed definition is another image. It comes from the Debian mirror of this machine's own apt.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestrator.errors import RecoveryError
from orchestrator.lab.command import missing
from orchestrator.lab.definition import LabFile
from orchestrator.lab.lab_lock import LABS, lab_lock
from orchestrator.lab.mirror import mirror_of
from orchestrator.lab.podman import image_exists, podman
from orchestrator.lab.progress import Step, Tell

WORKSHOP = LABS / ".image"
ROOTFS = Path(__file__).with_name("rootfs")
REPOSITORY = "localhost/drcli-lab"
BUILD_TIMEOUT = 900.0
STAGES = 9  # that mmdebstrap tells of, about
PACKAGES = (
    "ca-certificates",
    "curl",
    "iproute2",
    "iputils-ping",
    "openssh-server",
    "procps",
    "python3",
    "systemd",
    "systemd-sysv",
)  # fmt: skip -- what every host has
OPTIONS = (
    "--variant=minbase",
    "--dpkgopt=force-unsafe-io",  # one that breaks off half-way is made anew
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)
# All its processes and mounts end when this process does, however it ends.
BOUND = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--pid", "--fork", "--kill-child=KILL", "--mount-proc",
)  # fmt: skip
# Nothing that a package puts in place starts by itself. Sysv links, and units that a preset cannot
# reach. Each watch on a path or a bus takes inotify instances, of which a machine has few.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dbus.service",
    "dbus.socket",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "getty@.service",
    "getty.target",
    "logrotate.timer",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-logind.service",
    "systemd-networkd-wait-online.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "systemd-timesyncd.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
)
COLD_START = (
    'for script in /etc/init.d/*; do update-rc.d "${script##*/}" disable || true; done',
    "systemctl preset-all",
    f"systemctl mask {' '.join(MASKED)}",
    # A service that wants a database (orthanc) may not start the one that its package made.
    "for file in /etc/postgresql/*/*/start.conf; do [ ! -e $file ] || echo manual >$file; done",
    "mkdir -p /var/lib/lab/power-event /root/.ssh",
    "rm -f /etc/ssh/ssh_host_* /etc/machine-id /etc/resolv.conf",
)


def image_name(file: LabFile) -> str:
    """The image's full name, its tag a hash of all it is made of."""
    digest = hashlib.sha256()
    for part in (file.suite, *OPTIONS, *COLD_START, *_packages(file)):
        digest.update(part.encode() + b"\0")
    for path in sorted(p for p in ROOTFS.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(ROOTFS)}:{path.stat().st_mode & 0o777:o}".encode())
        digest.update(path.read_bytes() + b"\0")
    return f"{REPOSITORY}/host:{digest.hexdigest()[:12]}"


def make_image(file: LabFile, *, tell: Tell) -> str:
    """Make the image if it is not stored; its name.

    Raises:
        MachineError: mmdebstrap is not installed.
        RecoveryError: the image cannot be made; the message ends with what was said.
    """
    name = image_name(file)
    if image_exists(name):
        return name
    if not shutil.which("mmdebstrap"):
        raise missing("mmdebstrap")
    with lab_lock("_image", patience=BUILD_TIMEOUT), _workshop() as folder:
        if image_exists(name):  # somebody else has made it meanwhile
            return name
        archive = folder / "root.tar"
        _bootstrap(file, archive, tell=tell)
        tell(Step(stage="image", done=STAGES, total=STAGES + 1, note="into podman"))
        podman("import", "--quiet", str(archive), name, timeout=BUILD_TIMEOUT)
    tell(Step(stage="image", done=STAGES + 1, total=STAGES + 1, note=name))
    return name


@contextmanager
def _workshop() -> Iterator[Path]:
    """A folder that is gone afterwards, and empty before, whatever a killed making left in it."""
    shutil.rmtree(WORKSHOP, ignore_errors=True)
    WORKSHOP.mkdir(mode=0o755, parents=True)  # apt downloads as a user of its own
    try:
        yield WORKSHOP
    finally:
        shutil.rmtree(WORKSHOP, ignore_errors=True)


def bootstrap_command(file: LabFile, archive: Path) -> list[str]:
    """How the image's files are made."""
    include = f"--include={','.join(_packages(file))}"
    hooks = [f"--customize-hook={hook}" for hook in _hooks()]
    mirror = mirror_of(file.suite)
    return ["mmdebstrap", *OPTIONS, *hooks, include, file.suite, str(archive), *mirror]


def _packages(file: LabFile) -> list[str]:
    return sorted({*PACKAGES, *file.packages})


def _hooks() -> list[str]:
    copied = " ".join(shlex.quote(str(path)) for path in sorted(ROOTFS.iterdir()))
    lines = " && ".join(f"({line})" for line in COLD_START)
    return [f"copy-in {copied} /", f'chroot "$1" sh -euc {shlex.quote(lines)}']


def _bootstrap(file: LabFile, archive: Path, *, tell: Tell) -> None:
    """Run mmdebstrap; each line of it that tells of a stage is told."""
    command = [*BOUND, *bootstrap_command(file, archive)]
    tell(Step(stage="image", total=STAGES + 1, note=f"Debian {file.suite} and its packages"))
    with subprocess.Popen(  # noqa: S603 -- an argument list, no shell
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        text=True, errors="replace", env={**os.environ, "TMPDIR": str(archive.parent)},
    ) as process:  # fmt: skip
        timer = threading.Timer(BUILD_TIMEOUT, process.terminate)
        timer.start()
        said: list[str] = []
        stage = 0
        try:
            assert process.stderr is not None  # noqa: S101 -- a pipe was asked for
            for line in process.stderr:
                said.append(line.rstrip())
                if line.startswith("I: "):
                    stage = min(stage + 1, STAGES - 1)
                    note = line.removeprefix("I: ").strip()
                    tell(Step(stage="image", done=stage, total=STAGES + 1, note=note))
        except BaseException:
            process.terminate()
            raise
        finally:
            timer.cancel()
    if process.returncode:
        tail = "\n".join(said[-8:])
        raise RecoveryError(
            f"mmdebstrap failed ({process.returncode}): {tail}",
            hint="Does `apt-get update` work on this machine? The image comes from its mirror.",
        )


def remove_images() -> bool:
    """Remove every image that labs made; one that a container still uses stays."""
    found = podman(
        "images", "--filter", f"reference={REPOSITORY}/*", "--format", "{{.Repository}}:{{.Tag}}"
    ).split()
    # Those made from others go first.
    for name in sorted(found, key=lambda name: "/host:" in name):
        podman("rmi", name, allow=True)
    return bool(found)
