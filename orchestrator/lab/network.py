"""The lab's networks: podman's for management, and cables to bare bridges for the site's data.

The bridges stand in a network namespace of their own: this machine has no address on them, its
firewall does not see them, and removing the namespace removes bridges and cables together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.command import run
from orchestrator.lab.definition import Lab, LabHost
from orchestrator.lab.podman import LABEL, networks, podman

MANAGEMENT = "eth0"  # podman's name for a container's first network card
LOCALLY_ADMINISTERED = 0x02  # the first byte of a hardware address that no maker has given out
NAMESPACES = Path("/run/netns")


@dataclass(frozen=True, kw_only=True)
class Cable:
    """One cable: from a port in the lab's switch room to the interface `network` of a host."""

    host: str
    network: str
    port: str


def switch_room(site: str) -> str:
    """The network namespace that holds a lab's bridges."""
    return f"drcli-{site}"


def cables_of(lab: Lab, host: LabHost) -> tuple[Cable, ...]:
    """The cables of a host; a port is named by its number in the whole lab."""
    every = [(h.name, network) for h in lab.hosts for network in h.networks]
    return tuple(
        Cable(host=host.name, network=network, port=f"port{every.index((host.name, network))}")
        for network in host.networks
    )


def controller_address(lab: Lab) -> str:
    """This machine's address on the management network: the first one."""
    return str(lab.file.management_network.network_address + 1)


def make_networks(lab: Lab) -> None:
    """Make what is missing of the management network, the switch room and its bridges."""
    if lab.management not in networks(lab.site):
        podman(
            "network", "create", "--internal", "--disable-dns", "--label", f"{LABEL}={lab.site}",
            "--subnet", str(lab.file.management_network), "--gateway", controller_address(lab),
            lab.management,
        )  # fmt: skip
    room = switch_room(lab.site)
    if not (NAMESPACES / room).exists():
        run(["ip", "netns", "add", room])
    there = {link["ifname"] for link in _links(room)}
    for network in lab.file.networks:
        if network not in there:
            run(["ip", "-n", room, "link", "add", network, "type", "bridge", "mcast_snooping", "0"])
        run(["ip", "-n", room, "link", "set", network, "addrgenmode", "none"])
        run(["ip", "-n", room, "link", "set", network, "up"])


def hardware_address(site: str, host: str, interface: str) -> str:
    """The address of a network card: the same after every boot, as real cards' are.

    With a new one at each boot, every neighbour would go on sending to the old one for half a
    minute after a power cut.
    """
    digest = hashlib.sha256(f"{site} {host} {interface}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (LOCALLY_ADMINISTERED, *digest[:5]))


def plug(lab: Lab, host: LabHost, *, pid: int) -> None:
    """Run the host's cables to the process `pid` of its container: links up, no address."""
    room = switch_room(lab.site)
    inside = ["nsenter", "--target", str(pid), "--net", "ip", "link", "set"]
    run([*inside, MANAGEMENT, "address", hardware_address(lab.site, host.name, MANAGEMENT)])
    there = {link["ifname"] for link in _links(room)}
    for cable in cables_of(lab, host):
        if cable.port in there:
            run(["ip", "-n", room, "link", "delete", cable.port], allow=True)
        run(
            ["ip", "-n", room, "link", "add", cable.port, "alias", f"{cable.host} {cable.network}",
             "type", "veth", "peer", "name", cable.network,
             "address", hardware_address(lab.site, host.name, cable.network), "netns", str(pid)]
        )  # fmt: skip
        run(["ip", "-n", room, "link", "set", cable.port, "addrgenmode", "none",
             "master", cable.network, "up"])  # fmt: skip
        run([*inside, cable.network, "up"])


def plugged(lab: Lab, hosts: Iterable[LabHost]) -> dict[str, int]:
    """How many cables of each host are in place."""
    room = switch_room(lab.site)
    there = {link["ifname"] for link in _links(room)} if (NAMESPACES / room).exists() else set()
    return {h.name: sum(c.port in there for c in cables_of(lab, h)) for h in hosts}


def remove_networks(site: str) -> None:
    """Remove the switch room with all in it, and podman's management network."""
    room = switch_room(site)
    if (NAMESPACES / room).exists():
        run(["ip", "netns", "delete", room])
    for network in networks(site):
        podman("network", "rm", "--force", network, allow=True)


def _links(room: str) -> list[dict[str, str]]:
    listed = run(["ip", "-n", room, "-json", "link", "show"])
    links: list[dict[str, str]] = json.loads(listed) if listed.strip() else []
    return links
