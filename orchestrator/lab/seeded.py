"""The seeded state of a lab: a running site with its first data, kept, and given back in seconds.

It is made once by playbooks, then kept as a snapshot: each host's files as an image, its disks as
sparse files, what its boot does not give as values, and the ledger and secrets of the controller's
side. One that is made of the same image, inventory and playbooks is found again by its hash, by
another lab or checkout too; a lab that is a part of the site takes its part of the whole site's.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import platformdirs
from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.lab.command import run
from orchestrator.lab.definition import Definition
from orchestrator.lab.image import REPOSITORY, image_name
from orchestrator.lab.instance import Instance, all_instances
from orchestrator.lab.ledger import ledger_file
from orchestrator.lab.part import Layer
from orchestrator.lab.podman import containers, execute, podman
from orchestrator.lab.progress import Tell, each
from orchestrator.lab.runtime import (
    SEEN,
    Seen,
    beyond,
    parse_seen,
    service_script,
    state_script,
    stop_script,
)
from orchestrator.lab.store import disk_folder, snapshot_folder

ALL_AT_ONCE = 16
MAKERS = [Path(__file__).with_name(f"{n}.py") for n in ("part", "provision", "runtime", "seeded")]
# What makes nothing of the site: gates only look, faults come afterwards.
PASSING = ("__pycache__", ".pyc", "/test_", "/conftest.py", "/lab/faults.yml")
CONTENT = "seeded-content"  # the file of a lab's folder that names its seeded state
CACHED = 3  # seeded states kept for later labs; each takes some 400 MB


class Snapshot(BaseModel):
    """What there is to know of a seeded state; `layers` names the hosts of each, lowest first."""

    model_config = ConfigDict(frozen=True)

    content: str
    subnet: IPv4Network
    images: Mapping[str, str]
    hosts: Mapping[str, Seen]
    layers: tuple[tuple[str, ...], ...]
    mentions: Mapping[str, tuple[str, ...]]  # files of a host that hold the lab's own subnet

    def part(self, names: Iterable[str]) -> Snapshot:
        """What of it is of these hosts."""
        chosen = set(names)
        by_host = {
            field: {name: kept for name, kept in getattr(self, field).items() if name in chosen}
            for field in ("images", "hosts", "mentions")
        }
        layers = tuple(tuple(n for n in layer if n in chosen) for layer in self.layers)
        return self.model_copy(update={**by_host, "layers": layers})


def content_hash(definition: Definition) -> str:
    """Twelve hexadecimal digits that stand for all that a seeded state is made of."""
    digest = hashlib.sha256(f"{image_name(definition.file)} {definition.layer or ''}".encode())
    for module in MAKERS:  # one that sees or gives back otherwise makes another snapshot
        digest.update(module.read_bytes() + b"\0")
    for root in (definition.inventory.parent, definition.project / "playbooks"):
        for path in sorted(p for p in root.rglob("*") if p.is_file()):
            name = path.relative_to(definition.project).as_posix()
            if not any(part in name for part in PASSING):
                digest.update(f"{name}\0".encode())
                digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def contents(definition: Definition) -> tuple[str, ...]:
    """Of which states a lab may start: its own, or the whole site's, of which it is a part."""
    return tuple(dict.fromkeys(map(content_hash, (definition, replace(definition, layer=None)))))


def image_names(content: str, hosts: Iterable[str]) -> dict[str, str]:
    """The images of one making of a seeded state: two labs made of one content are not the same."""
    making = secrets.token_hex(3)
    return {host: f"{REPOSITORY}/seeded-{content}:{host}-{making}" for host in hosts}


def look(definition: Definition, instance: Instance) -> dict[str, Seen]:
    """How every host is now."""
    names = [host.name for host in definition.hosts]
    found = _on(instance, names, lambda _: SEEN, stage="look", tell=lambda _: None)
    return {name: parse_seen(text) for name, text in zip(names, found, strict=True)}


def keep(
    definition: Definition,
    instance: Instance,
    layers: Iterable[Layer],
    *,
    boot: Mapping[str, Seen],
    tell: Tell,
) -> Snapshot:
    """Make a snapshot of the running site, in its store; its hosts are stopped.

    `boot` is how each host was when it had booted.
    """
    now = look(definition, instance)
    subnet = _prefix(instance.subnet)
    names = [host.name for host in definition.hosts]
    search = f"grep -rIlF {subnet} /etc || true"
    mentions = _on(instance, names, lambda _: search, stage="snapshot", tell=tell)
    content = content_hash(definition)
    snapshot = Snapshot(
        content=content,
        subnet=instance.subnet,
        images=image_names(content, names),
        hosts={name: beyond(boot[name], now[name]) for name in names},
        layers=tuple(layer.hosts for layer in layers),
        mentions={name: tuple(files.split()) for name, files in zip(names, mentions, strict=True)},
    )
    _stop(instance, snapshot, tell=tell)
    each(
        names,
        lambda name: podman("commit", "--quiet", instance.container(name), snapshot.images[name]),
        stage="snapshot",
        tell=tell,
    )
    folder = snapshot_folder(instance)
    fresh = folder.with_suffix(".new")
    _empty(fresh)
    run(["cp", "--recursive", "--reflink=always", str(disk_folder(instance)), f"{fresh}/disks"])
    shutil.copytree(instance.folder / "secrets", fresh / "secrets")
    ledger_file(instance).touch()
    shutil.copy(ledger_file(instance), fresh / "ledger.jsonl")
    (fresh / "snapshot.json").write_text(snapshot.model_dump_json(), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return snapshot


def publish(instance: Instance, snapshot: Snapshot) -> None:
    """Keep the lab's snapshot for later labs: it has been given back once, so it is good.

    Of older ones only the latest stay.
    """
    cached = cache_folder(snapshot.content)
    if _read(cached) is None:
        disks = {path.name for path in (snapshot_folder(instance) / "disks").iterdir()}
        _copy(snapshot_folder(instance), cached, disks=disks, snapshot=snapshot)
    cached.touch()
    latest_last = sorted(_caches().glob("seeded-*"), key=lambda folder: folder.stat().st_mtime)
    for folder in latest_last[:-CACHED]:
        images = podman("images", "--quiet", "--filter", f"reference={REPOSITORY}/{folder.name}")
        for image in images.split():
            podman("rmi", image, allow=True)  # one that a lab still runs stays
        shutil.rmtree(folder)


def fetch(definition: Definition, instance: Instance) -> Snapshot | None:
    """The snapshot of this very content, put into the lab's store; None when there is none.

    For a part of the site it is that part of the whole site's. None, too, while another lab runs
    from it, where hosts have disks: they would have the same UUIDs, and the kernel takes two btrfs
    mirrors of one UUID for one.
    """
    disks = {f"{host}-{disk}" for host, disk, _ in definition.disks()}
    for content in contents(definition):
        cached = cache_folder(content)
        snapshot = _read(cached)
        if snapshot is None or (disks and content in _in_use_beside(instance)):
            continue
        snapshot = snapshot.part(host.name for host in definition.hosts)
        stored = podman(
            "images", "--filter", f"reference={REPOSITORY}/seeded-{content}",
            "--format", "{{.Repository}}:{{.Tag}}",
        ).split()  # fmt: skip
        if set(snapshot.images.values()) <= set(stored):
            _copy(cached, snapshot_folder(instance), disks=disks, snapshot=snapshot)
            cached.touch()
            return snapshot
    return None


def kept(instance: Instance) -> Snapshot | None:
    """The snapshot in the lab's store; None in a bare lab, or one whose making was broken off."""
    return _read(snapshot_folder(instance))


def note_content(definition: Definition, instance: Instance, snapshot: Snapshot) -> None:
    """Note in the lab's folder of which state its disks are, for other labs that are to come."""
    if any(definition.disks()):
        (instance.folder / CONTENT).write_text(snapshot.content, encoding="utf-8")


def _in_use_beside(instance: Instance) -> set[str]:
    """The seeded states that other labs of this machine have."""
    files = [one.folder / CONTENT for one in all_instances() if one.name != instance.name]
    return {path.read_text(encoding="utf-8") for path in files if path.exists()}


def put_back(instance: Instance) -> None:
    """Give the controller's side back what it was: the ledger, the secrets."""
    folder = snapshot_folder(instance)
    shutil.copy(folder / "ledger.jsonl", ledger_file(instance))
    shutil.rmtree(instance.folder / "secrets", ignore_errors=True)
    shutil.copytree(folder / "secrets", instance.folder / "secrets")


def warm_start(instance: Instance, snapshot: Snapshot, *, tell: Tell) -> None:
    """Give freshly booted hosts what their boot does not: the site runs as it did.

    Raises:
        RecoveryError: a host has not become what it was.
    """
    old, new = _prefix(snapshot.subnet), _prefix(instance.subnet)

    def state(name: str) -> str:
        files = snapshot.mentions[name] if old != new else ()
        edit = f"s/{re.escape(old)}/{new}/g"
        edits = "".join(f"sed -i '{edit}' '{file}'\n" for file in files)
        return edits + state_script(snapshot.hosts[name]).replace(old, new)

    def services(name: str) -> str:
        return service_script(snapshot.hosts[name]).replace(old, new)

    _on(instance, list(snapshot.hosts), state, stage="networks and disks", tell=tell)
    for number, layer in enumerate(_by_layer(snapshot), start=1):
        _on(instance, layer, services, stage=f"services of layer {number}", tell=tell)


def cache_folder(content: str) -> Path:
    """Where a seeded state of that content is kept for later labs."""
    return _caches() / f"seeded-{content}"


def remove_caches() -> bool:
    """Remove every seeded state that is kept for later labs; True if there was one."""
    there = _caches().is_dir()
    shutil.rmtree(_caches(), ignore_errors=True)
    return there


def _caches() -> Path:
    return platformdirs.user_cache_path("drcli") / "lab"


def _stop(instance: Instance, snapshot: Snapshot, *, tell: Tell) -> None:
    """End everything cleanly, the highest layer first."""

    def script(name: str) -> str:
        return stop_script(snapshot.hosts[name])

    for layer in reversed(_by_layer(snapshot)):
        _on(instance, layer, script, stage="stop", tell=tell)
    names = [name for name, c in containers(instance).items() if c.running]
    podman("kill", "--signal", "KILL", *names)
    podman("wait", *names)
    run(["sync"])


def _by_layer(snapshot: Snapshot) -> list[list[str]]:
    """The hosts of each layer; one of several stands in its lowest, one of none comes last."""
    left = dict.fromkeys(snapshot.hosts)
    ordered = []
    for layer in (*snapshot.layers, tuple(left)):
        ordered.append([name for name in layer if name in left])
        left = {name: None for name in left if name not in layer}
    return [layer for layer in ordered if layer]


def _on(
    instance: Instance,
    names: Iterable[str],
    script: Callable[[str], str],
    *,
    stage: str,
    tell: Tell,
) -> list[str]:
    """Run a script of its own on each host, all at once; what each printed."""

    def work(name: str) -> str:
        return execute(instance.container(name), script(name), timeout=90)

    return each(names, work, stage=stage, tell=tell, at_once=ALL_AT_ONCE)


def _read(folder: Path) -> Snapshot | None:
    try:
        text = (folder / "snapshot.json").read_text(encoding="utf-8")
        return Snapshot.model_validate_json(text)
    except (FileNotFoundError, ValidationError):
        return None


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True)


def _copy(source: Path, target: Path, *, disks: Iterable[str], snapshot: Snapshot) -> None:
    """Copy a snapshot's folder with these disks of it, sparse and whole or not at all."""
    fresh = target.with_suffix(".new")
    _empty(fresh / "disks")
    copy = ["cp", "--archive", "--sparse=always"]
    files = [str(source / name) for name in ("secrets", "ledger.jsonl")]
    run([*copy, *files, str(fresh)])
    for disk in disks:
        run([*copy, str(source / "disks" / disk), str(fresh / "disks")], timeout=300)
    (fresh / "snapshot.json").write_text(snapshot.model_dump_json(), encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    fresh.rename(target)


def _prefix(subnet: IPv4Network) -> str:
    """The text that every address of a /24 begins with."""
    return str(subnet.network_address).removesuffix("0")
