"""Brings a lab up: from nothing, from half-way, or from a seeded snapshot."""

from __future__ import annotations

from orchestrator.lab.access import make_access
from orchestrator.lab.definition import Definition
from orchestrator.lab.hosts import await_ssh, boot, create_hosts, running
from orchestrator.lab.image import make_image
from orchestrator.lab.instance import Instance
from orchestrator.lab.machine import check_machine, probe_needs
from orchestrator.lab.network import make_networks
from orchestrator.lab.progress import Tell
from orchestrator.lab.store import attach, make_store


def raise_bare(definition: Definition, instance: Instance, *, tell: Tell) -> None:
    """Bring every host up, bare: booted, on the networks, answering SSH; what is there stays."""
    check_machine(definition, instance, tell=tell)
    image = make_image(definition.file, tell=tell)
    make_access(definition, instance)
    make_store(definition, instance)
    attach(definition, instance)
    make_networks(definition, instance)
    images = dict.fromkeys((host.name for host in definition.hosts), image)
    create_hosts(definition, instance, images, needs=probe_needs(image), tell=tell)
    on = running(definition, instance)
    boot(definition, instance, [host for host in definition.hosts if host not in on])
    await_ssh(instance, definition.hosts, tell=tell)
