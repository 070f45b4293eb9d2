"""How the controller gets into a lab's hosts: keys, known host keys, and an inventory of the lab.

The site's own hosts.yml says nothing of where its hosts are reached: a lab's does. Both are given
to Ansible, this one last.
"""

from __future__ import annotations

import io
import json
import tarfile
import uuid

from orchestrator.lab.command import run
from orchestrator.lab.definition import Definition, LabHost
from orchestrator.lab.instance import Instance


def make_access(definition: Definition, instance: Instance) -> None:
    """Make the keys that are missing; write known_hosts (never from the network) and hosts.yml."""
    folder = instance.folder
    (folder / "host_keys").mkdir(mode=0o700, exist_ok=True)
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    _key(instance, "id_ed25519", comment=f"drcli lab {instance.name}")
    lines = []
    for host in (*definition.hosts, *definition.absent):
        public = _key(instance, f"host_keys/{host.name}", comment=host.name)
        kind, key = public.decode().split()[:2]
        lines.append(f"{instance.address(host.number)} {kind} {key}\n")
    (folder / "known_hosts").write_text("".join(lines), encoding="ascii")
    instance.hosts_file.write_text(overlay_text(definition, instance), encoding="utf-8")


def overlay_text(definition: Definition, instance: Instance) -> str:
    """The lab's inventory; JSON is YAML, too.

    What holds for all stands at each host as well, else a group_vars/all of the site would win. An
    absent host has an address here, too, where nobody is: nothing may reach for the real one.
    """
    known = instance.folder / "known_hosts"
    shared = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(instance.folder / "id_ed25519"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={known} -o StrictHostKeyChecking=yes",
        "management_network": str(instance.subnet),
        "site_secrets": str(instance.folder / "secrets"),
    }
    hosts = {
        host.name: {"ansible_host": instance.address(host.number), **shared}
        for host in (*definition.hosts, *definition.absent)
    }
    return json.dumps({"all": {"vars": shared, "hosts": hosts}}, indent=2) + "\n"


def identity(instance: Instance, host: LabHost) -> bytes:
    """A tar archive of what makes a container this host: its keys, its name, its machine id."""
    public = instance.folder / "id_ed25519.pub"
    return archive(
        {
            **host_keys(instance, host),
            "etc/ssh/ssh_known_hosts": (_each_other(instance), 0o644),
            "root/.ssh/authorized_keys": (public.read_bytes(), 0o600),
            "etc/hosts": (f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n".encode(), 0o644),
            "etc/hostname": (f"{host.name}\n".encode(), 0o644),
            "etc/machine-id": (f"{uuid.uuid4().hex}\n".encode(), 0o444),
        }
    )


def host_keys(instance: Instance, host: LabHost) -> dict[str, tuple[bytes, int]]:
    """The files of the key that known_hosts has for this host: path -> content, mode."""
    key = instance.folder / "host_keys" / host.name
    return {
        "etc/ssh/ssh_host_ed25519_key": (key.read_bytes(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (key.with_suffix(".pub").read_bytes(), 0o644),
    }


def _each_other(instance: Instance) -> bytes:
    """The host keys of the whole lab, for its hosts: one made of another lab's state has new ones.

    By whatever address one of them is asked for, it may have any of these keys and no other.
    """
    found = sorted((instance.folder / "host_keys").glob("*.pub"))
    lines = (b"* " + b" ".join(path.read_bytes().split()[:2]) + b"\n" for path in found)
    return b"".join(lines)


def archive(files: dict[str, tuple[bytes, int]]) -> bytes:
    """A tar archive of these files (path -> content, mode), owned by root."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, (content, mode) in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), mode
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _key(instance: Instance, name: str, *, comment: str) -> bytes:
    """Make a key if need be; its public half."""
    path = instance.folder / name
    public = path.with_suffix(".pub")
    if not public.exists():
        path.unlink(missing_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])
    return public.read_bytes()
