"""The images of a lab's hosts: one base, one image for each `lab_image`, named by their content.

A tag is the hash of everything an image is made of, so an image is built once and found again by
its name; a changed definition is another image. The base comes from mmdebstrap and the configured
Debian mirror, or from a registry's debian image where one answers.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import RecoveryError, one_line
from orchestrator.lab.command import missing, run
from orchestrator.lab.definition import Lab
from orchestrator.lab.machine import Needs, probe_needs
from orchestrator.lab.mirror import mirror_of
from orchestrator.lab.podman import image_exists, podman
from orchestrator.lab.progress import Step, Tell, each

ROOTFS = Path(__file__).with_name("rootfs")
REPOSITORY = "localhost/drcli-lab"
REGISTRY = "https://registry-1.docker.io/v2/"
REGISTRY_PATIENCE = 3.0  # seconds: long enough for an answer, short enough not to be noticed
BUILD_TIMEOUT = 900.0

# What packages put in place must not start at boot: sysv links (slapd has no unit of its own),
# units that a preset cannot reach, and the console that systemd adds in a container.
MASKED = (
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "console-getty.service",
    "dpkg-db-backup.timer",
    "getty@.service",
    "systemd-networkd-wait-online.service",
    "systemd-tmpfiles-clean.timer",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
)
COLD_START = (
    'for script in /etc/init.d/*; do update-rc.d "${script##*/}" disable || true; done',
    "systemctl preset-all",
    f"systemctl mask {' '.join(MASKED)}",
)
FORGET = "rm -f /etc/ssh/ssh_host_* /etc/machine-id /var/cache/apt/archives/*.deb"


@dataclass(frozen=True, kw_only=True)
class Image:
    """An image's full name and the Containerfile that makes it."""

    name: str
    containerfile: str


def base_text(origin: str, packages: Sequence[str]) -> str:
    """The Containerfile of the base: what every host has."""
    return "\n".join(
        [
            f"FROM {origin}",
            "ENV DEBIAN_FRONTEND=noninteractive",
            "COPY rootfs/ /",
            "RUN apt-get update -q",
            f"RUN {_install(packages)} && mkdir -p /var/lib/lab/power-event /root/.ssh && {FORGET}",
            'CMD ["/sbin/init"]',
            "",
        ]
    )


def image_text(base: str, packages: Sequence[str]) -> str:
    """The Containerfile of one kind of host; with the base's package lists, or newer ones."""
    made = " && ".join([_install(packages), *COLD_START, FORGET])
    return f"FROM {base}\nENV DEBIAN_FRONTEND=noninteractive\nRUN {made}\n"


def _install(packages: Sequence[str]) -> str:
    install = " ".join(["apt-get install -q -y --no-install-recommends", *sorted(packages)])
    # A mirror drops a version once it has a newer one: lists of an old base are then renewed.
    return f"({install} || (apt-get update -q && {install}))"


def content_hash(*parts: str) -> str:
    """Twelve hexadecimal digits that stand for these texts and for every file of rootfs/."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    for path in sorted(p for p in ROOTFS.rglob("*") if p.is_file()):
        digest.update(f"{path.relative_to(ROOTFS)}:{path.stat().st_mode & 0o777:o}".encode())
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def base_image(origin: str, packages: Sequence[str]) -> Image:
    """The base made from `origin`."""
    text = base_text(origin, packages)
    return Image(name=f"{REPOSITORY}/base:{content_hash(text)}", containerfile=text)


def host_image(base: Image, kind: str, packages: Sequence[str]) -> Image:
    """The image of one kind of host."""
    text = image_text(base.name, packages)
    return Image(name=f"{REPOSITORY}/{kind}:{content_hash(text)}", containerfile=text)


def bootstrap_name(suite: str) -> str:
    """The name of what mmdebstrap makes: a smallest Debian."""
    return f"{REPOSITORY}/bootstrap:{suite}"


def registry_name(suite: str) -> str:
    """The registry's smallest Debian."""
    return f"docker.io/library/debian:{suite}-slim"


def build_images(lab: Lab, *, origin: str, tell: Tell) -> tuple[dict[str, str], Needs]:
    """Make every image the lab's hosts need that is not stored; return kind -> name, and needs.

    `origin` is `auto`, `mmdebstrap` or the name of an image that a registry answers for.
    """
    chosen = _choose_origin(lab, origin=origin, tell=tell)
    needs = probe_needs(chosen)
    base = base_image(chosen, lab.file.base_packages)
    if not image_exists(base.name):
        tell(Step(stage="base image", total=1))
        _build(base, needs=needs)
        tell(Step(stage="base image", done=1, total=1))
    images = {
        kind: host_image(base, kind, lab.file.images[kind])
        for kind in sorted({host.image for host in lab.hosts})
    }
    lacking = {kind: image for kind, image in images.items() if not image_exists(image.name)}
    if lacking:
        each(
            lacking,
            lambda kind: _build(lacking[kind], needs=needs),
            stage="images",
            tell=tell,
            at_once=2,
        )
    return {kind: image.name for kind, image in images.items()}, needs


def _choose_origin(lab: Lab, *, origin: str, tell: Tell) -> str:
    """The image the base is made from, pulled or made if it is not here yet."""
    suite = lab.file.suite
    made, pulled = bootstrap_name(suite), registry_name(suite)
    if origin not in ("auto", "mmdebstrap"):
        if not image_exists(origin):
            _pull(origin)
        return origin
    if image_exists(made):
        return made
    if origin == "auto":
        if image_exists(pulled):
            return pulled
        if not _registry_answers():
            why = "no container registry answers"
        elif not (why := _try_to_pull(pulled, tell=tell)):
            return pulled
        tell(Step(stage="machine", note=f"{why}: base from mmdebstrap"))
    _bootstrap(suite, made, tell=tell)
    return made


def _registry_answers() -> bool:
    try:
        with urllib.request.urlopen(REGISTRY, timeout=REGISTRY_PATIENCE):
            return True
    except urllib.error.HTTPError as error:
        return error.code == 401  # noqa: PLR2004 -- it asks who we are: it is there
    except OSError:
        return False


def _try_to_pull(image: str, *, tell: Tell) -> str:
    """Pull it; why that was not possible, empty when it was."""
    tell(Step(stage="machine", note=f"base from {image}"))
    try:
        _pull(image)
    except RecoveryError as error:  # a registry that answers may still refuse, or be too slow
        return f"{image} cannot be pulled ({one_line(error.message)[-200:]})"
    return ""


def _pull(image: str) -> None:
    podman("pull", "--quiet", image, timeout=BUILD_TIMEOUT)


def _bootstrap(suite: str, name: str, *, tell: Tell) -> None:
    if not shutil.which("mmdebstrap"):
        raise missing("mmdebstrap")
    tell(Step(stage="bootstrap Debian", total=1))
    with tempfile.TemporaryDirectory(prefix="drcli-lab-") as folder:
        archive = Path(folder) / "root.tar"
        run(bootstrap_command(suite, archive, mirror_of(suite)), timeout=BUILD_TIMEOUT)
        podman("import", "--quiet", str(archive), name, timeout=BUILD_TIMEOUT)
    tell(Step(stage="bootstrap Debian", done=1, total=1))


def bootstrap_command(suite: str, archive: Path, mirror: Sequence[str]) -> list[str]:
    """How the smallest Debian is made; what apt is told of the mirror there is in it as well."""
    # Inside, apt cannot speak to a mirror over TLS before it has certificates to believe.
    tls = ["--include=ca-certificates"] if any(" https://" in line for line in mirror) else []
    return [
        "mmdebstrap", "--quiet", "--variant=minbase", *tls, suite, str(archive), *mirror
    ]  # fmt: skip


def _build(image: Image, *, needs: Needs) -> None:
    with tempfile.TemporaryDirectory(prefix="drcli-lab-") as folder:
        context = Path(folder)
        shutil.copytree(ROOTFS, context / "rootfs")
        (context / "Containerfile").write_text(image.containerfile, encoding="utf-8")
        podman(
            *needs.everywhere, "build", "--quiet", "--pull=never", "--network=host", *needs.limits,
            "--tag", image.name, "--file", str(context / "Containerfile"), str(context),
            timeout=BUILD_TIMEOUT,
        )  # fmt: skip


def remove_images() -> None:
    """Remove every image the lab made; one that a container still uses stays."""
    found = podman(
        "images", "--filter", f"reference={REPOSITORY}/*", "--format", "{{.Repository}}:{{.Tag}}"
    )
    # Those made from others go first.
    names = sorted(found.split(), key=lambda n: ("/bootstrap:" in n, "/base:" in n))
    for name in names:
        podman("rmi", name, allow=True)
