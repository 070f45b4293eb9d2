"""Brings a lab up: bare machines, or a running and seeded site; and back to its seeded state."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path

from orchestrator.errors import MachineError, RecoveryError
from orchestrator.lab import seeded
from orchestrator.lab.access import make_access
from orchestrator.lab.broken import forget_broken
from orchestrator.lab.definition import Definition
from orchestrator.lab.hosts import await_ssh, boot, create_hosts, running
from orchestrator.lab.image import make_image
from orchestrator.lab.instance import Instance
from orchestrator.lab.ledger import await_writes, writing
from orchestrator.lab.machine import check_machine, probe_needs
from orchestrator.lab.part import Layer, layers_of
from orchestrator.lab.power import power_on
from orchestrator.lab.progress import Step, Tell
from orchestrator.lab.provision import provision
from orchestrator.lab.removal import remove_hosts
from orchestrator.lab.store import attach, make_store, remake_disks, roll_back

PROOF_PATIENCE = 60.0  # seconds until a site that was given back takes writes again


class Origin(Enum):
    """Where a lab that is up came from."""

    KEPT = "it was there"
    SNAPSHOT = "from the seeded snapshot"
    PLAYBOOKS = "made by its playbooks, and kept as a snapshot"


def raise_bare(definition: Definition, instance: Instance, *, tell: Tell) -> None:
    """Bring every host up, bare: booted, on the networks, answering SSH; what is there stays."""
    forget_broken(instance)
    image = _prepare(definition, instance, tell=tell)
    attach(definition, instance)
    images = dict.fromkeys((host.name for host in definition.hosts), image)
    create_hosts(definition, instance, images, needs=probe_needs(image), tell=tell)
    on = running(definition, instance)
    boot(definition, instance, [host for host in definition.hosts if host not in on])
    await_ssh(instance, definition.hosts, tell=tell)


def raise_seeded(definition: Definition, instance: Instance, *, tell: Tell) -> Origin:
    """Bring the running, seeded site up; one that is there stays as it is, its power on.

    What a broken-off `up` left, and a bare lab, is made anew.
    """
    layers = layers_of(definition)
    _prepare(definition, instance, tell=tell)
    snapshot = seeded.kept(instance)
    if snapshot is not None and _whole(instance).exists() and running(definition, instance):
        if snapshot.content not in seeded.contents(definition):
            tell(Step(stage="machine", note="made of older playbooks; anew: lab down, lab up"))
        power_on(definition, instance, definition.hosts, tell=tell)
        return Origin.KEPT
    snapshot = snapshot or seeded.fetch(definition, instance)
    origin = Origin.SNAPSHOT if snapshot else Origin.PLAYBOOKS
    if snapshot is None:
        snapshot = _make_seeded(definition, instance, layers, tell=tell)
    seeded.note_content(definition, instance, snapshot)
    reset(definition, instance, tell=tell)
    if snapshot.content == seeded.content_hash(definition):  # not a part of another's
        seeded.publish(instance, snapshot)
    return origin


def _make_seeded(
    definition: Definition, instance: Instance, layers: tuple[Layer, ...], *, tell: Tell
) -> seeded.Snapshot:
    """Make the site by its playbooks, whatever there was of it; its snapshot."""
    remove_hosts(instance)
    remake_disks(instance)
    raise_bare(definition, instance, tell=tell)
    fresh = seeded.look(definition, instance)
    provision(definition, instance, layers, tell=tell)
    return seeded.keep(definition, instance, layers, boot=fresh, tell=tell)


def reset(definition: Definition, instance: Instance, *, tell: Tell) -> None:
    """Give the lab its seeded state back: files, disks, runtime, ledger.

    Raises:
        MachineError: it has none.
        RecoveryError: the site does not work as it did.
    """
    snapshot = seeded.kept(instance)
    if snapshot is None:
        raise MachineError(
            f"the lab {instance.name} has no seeded state: it is bare, or half made",
            hint=f"drcli lab up --site {instance.site} --name {instance.name}",
        )
    if set(snapshot.images) != {host.name for host in definition.hosts}:
        raise MachineError(
            f"the lab {instance.name} was made of another inventory",
            hint=f"drcli lab down --name {instance.name}; then up again.",
        )
    _whole(instance).unlink(missing_ok=True)
    remove_hosts(instance)
    forget_broken(instance)
    roll_back(definition, instance)
    seeded.put_back(instance)
    needs = probe_needs(next(iter(snapshot.images.values())))
    create_hosts(definition, instance, snapshot.images, needs=needs, tell=tell)
    boot(definition, instance, definition.hosts)
    seeded.warm_start(instance, snapshot, tell=tell)
    await_ssh(instance, definition.hosts, tell=tell)
    _prove(definition, instance, tell=tell)
    _whole(instance).touch()


def _whole(instance: Instance) -> Path:
    """The file that is there when the seeded state was given back whole."""
    return instance.folder / "whole"


def _prepare(definition: Definition, instance: Instance, *, tell: Tell) -> str:
    check_machine(definition, instance, tell=tell)
    image = make_image(definition.file, tell=tell)
    make_access(definition, instance)
    make_store(definition, instance)
    return image


def _prove(definition: Definition, instance: Instance, *, tell: Tell) -> None:
    """The site works when each client has had a write acknowledged."""
    until = time.monotonic() + PROOF_PATIENCE
    while definition.file.writers:
        try:
            with writing(definition, instance) as state:
                await_writes(state, 1, tell=tell)
        except RecoveryError:
            if time.monotonic() > until:
                raise
        else:
            return
