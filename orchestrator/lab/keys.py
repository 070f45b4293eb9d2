"""The lab's SSH keys: the controller's, and each host's, whose public half is known out of band."""

from __future__ import annotations

import io
import tarfile
import uuid
from pathlib import Path

from orchestrator.lab.command import run
from orchestrator.lab.definition import Lab, LabHost


def make_keys(lab: Lab) -> None:
    """Make what is missing, and write known_hosts from the hosts' keys (never from the network)."""
    (lab.folder / "host_keys").mkdir(mode=0o700, parents=True, exist_ok=True)
    _key(lab.folder / "id_ed25519", comment=f"drcli lab {lab.site}")
    lines = []
    for host in lab.hosts:
        path = lab.folder / "host_keys" / host.name
        _key(path, comment=host.name)
        kind, public = path.with_suffix(".pub").read_text(encoding="ascii").split()[:2]
        lines.append(f"{host.address} {kind} {public}\n")
    (lab.folder / "known_hosts").write_text("".join(lines), encoding="ascii")


def _key(path: Path, *, comment: str) -> None:
    if not path.with_suffix(".pub").exists():
        path.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def identity(lab: Lab, host: LabHost) -> bytes:
    """A tar archive of what makes a container this host: its keys, its name, its machine id."""
    key = lab.folder / "host_keys" / host.name
    public = key.with_suffix(".pub").read_bytes()
    return archive(
        {
            "etc/ssh/ssh_host_ed25519_key": (key.read_bytes(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (public, 0o644),
            "root/.ssh/authorized_keys": ((lab.folder / "id_ed25519.pub").read_bytes(), 0o600),
            "etc/hosts": (f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n".encode(), 0o644),
            "etc/hostname": (f"{host.name}\n".encode(), 0o644),
            "etc/machine-id": (f"{uuid.uuid4().hex}\n".encode(), 0o444),
        }
    )


def host_keys(lab: Lab, host: LabHost) -> bytes:
    """A tar archive of the host's SSH keys alone: the ones that known_hosts has."""
    key = lab.folder / "host_keys" / host.name
    public = key.with_suffix(".pub").read_bytes()
    return archive(
        {
            "etc/ssh/ssh_host_ed25519_key": (key.read_bytes(), 0o600),
            "etc/ssh/ssh_host_ed25519_key.pub": (public, 0o644),
        }
    )


def archive(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar archive of these files (path -> content, mode), owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()
