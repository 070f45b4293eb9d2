"""The cables of a lab's hosts: to the controller's bridge, and to bare bridges for the site's data.

The data bridges stand in a network namespace of their own, the switch room: this machine has no
address on them, its firewall does not see them, and removing the namespace removes all of it.

The management bridge is the controller's alone. Its ports are isolated from each other, at layer 2
and so for every protocol: no host finds a way around the site's routers there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from orchestrator.lab.command import run
from orchestrator.lab.definition import CONTROLLER_NUMBER, MANAGEMENT, Definition, LabHost
from orchestrator.lab.instance import Instance

LOCALLY_ADMINISTERED = 0x02  # the first byte of a hardware address that no maker has given out
NAMESPACES = Path("/run/netns")


def make_networks(definition: Definition, instance: Instance) -> None:
    """Make what is missing of the management bridge, the switch room and its bridges."""
    bridge = room = instance.prefix
    if bridge not in _links():
        _ip(
            [
                f"link add {bridge} type bridge mcast_snooping 0",
                f"link set {bridge} addrgenmode none up",
                f"address add {instance.address(CONTROLLER_NUMBER)}/24 dev {bridge}",
            ]
        )
    if not (NAMESPACES / room).exists():
        run(["ip", "netns", "add", room])
    there = _links(room)
    lacking = [network for network in definition.file.networks if network not in there]
    _ip([f"link add {network} type bridge mcast_snooping 0" for network in lacking], room)
    _ip([f"link set {network} addrgenmode none up" for network in lacking], room)


def plug(instance: Instance, hosts: Sequence[tuple[LabHost, int]]) -> None:
    """Run the cables of hosts to the first process of each: links up, no address but management's.

    The cards have the same hardware addresses after every boot, as real ones do: with new ones
    the neighbours would go on sending to the old ones for half a minute.
    """
    bridge = room = instance.prefix
    _unplug(instance, [host for host, _ in hosts])
    outer: list[str] = []
    inner: list[str] = []
    for host, pid in hosts:
        port = _port(instance, host)
        outer += [
            _cable(port, MANAGEMENT, address=_hardware(instance, host, MANAGEMENT), pid=pid),
            f"link set {port} master {bridge} addrgenmode none up",
            f"link set {port} type bridge_slave isolated on",
        ]
        for network, cable in _data_ports(host).items():
            inner += [
                _cable(cable, network, address=_hardware(instance, host, network), pid=pid),
                f"link set {cable} master {network} addrgenmode none up",
            ]
    _ip(outer)
    _ip(inner, room)
    for host, pid in hosts:
        lines = [f"link set {name} addrgenmode none up" for name in (MANAGEMENT, *host.networks)]
        lines.append(f"address add {instance.address(host.number)}/24 dev {MANAGEMENT}")
        _ip(lines, prefix=("nsenter", "--target", str(pid), "--net"))


def silence(instance: Instance, hosts: Sequence[LabHost]) -> None:
    """Take the links of these hosts down: nothing that they still say reaches anybody."""
    for ports, room in _ports(instance, hosts):
        there = _links(room)
        _ip([f"link set {port} down" for port in ports if port in there], room)


def _unplug(instance: Instance, hosts: Sequence[LabHost]) -> None:
    for ports, room in _ports(instance, hosts):
        _delete(ports, room)


def remove_networks(prefix: str) -> bool:
    """Remove the bridge and the switch room of that name; True if there was one."""
    there = prefix in _links()
    if there:
        run(["ip", "link", "delete", prefix], allow=True)
    room = (NAMESPACES / prefix).exists()
    if room:
        run(["ip", "netns", "delete", prefix], allow=True)
    # A cable whose host was killed goes with its host; one that was never plugged, with this.
    _delete([name for name in _links() if name.startswith(_port_prefix(prefix))])
    return there or room


def bridges() -> set[str]:
    """The names of all links of this machine's own and of its namespaces."""
    rooms = {path.name for path in NAMESPACES.iterdir()} if NAMESPACES.is_dir() else set()
    return _links() | rooms


def end_connections(addresses: Iterable[str]) -> None:
    """End this machine's connections to these addresses: their peers are dead and never say so.

    Whoever holds one (Ansible's shared SSH connections, a gate's) sees an error at once, instead
    of hanging on it.
    """
    peers = " or ".join(f"dst {address}" for address in addresses)
    if peers:
        run(["ss", "--kill", "--no-header", "--tcp", *peers.split()], allow=True)


def _ports(instance: Instance, hosts: Sequence[LabHost]) -> list[tuple[list[str], str]]:
    """The near ends of all cables of these hosts, and the namespace each lot is in."""
    data = [port for host in hosts for port in _data_ports(host).values()]
    return [([_port(instance, host) for host in hosts], ""), (data, instance.prefix)]


def _port(instance: Instance, host: LabHost) -> str:
    return f"{_port_prefix(instance.prefix)}{host.number}"


def _port_prefix(prefix: str) -> str:
    return f"{prefix.removeprefix('drcli-')}-"


def _data_ports(host: LabHost) -> dict[str, str]:
    return {network: f"p{host.number}-{place}" for place, network in enumerate(host.networks)}


def _cable(port: str, interface: str, *, address: str, pid: int) -> str:
    return f"link add {port} type veth peer name {interface} address {address} netns {pid}"


def _hardware(instance: Instance, host: LabHost, interface: str) -> str:
    digest = hashlib.sha256(f"{instance.name} {host.name} {interface}".encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (LOCALLY_ADMINISTERED, *digest[:5]))


def _links(room: str = "") -> set[str]:
    listed = run(["ip", *(("-n", room) if room else ()), "-json", "link", "show"])
    return {link["ifname"] for link in json.loads(listed or "[]")}


def _delete(links: Iterable[str], room: str = "") -> None:
    """Delete those of the links that are there; each may vanish meanwhile, with its host."""
    if room and not (NAMESPACES / room).exists():
        return
    there = _links(room)
    lines = [f"link delete {link}" for link in links if link in there]
    if lines:
        namespace = ("-n", room) if room else ()
        run(["ip", *namespace, "-force", "-batch", "-"], stdin=_batch(lines), allow=True)


def _ip(lines: Iterable[str], room: str = "", *, prefix: Iterable[str] = ()) -> None:
    text = _batch(lines)
    if text:
        run([*prefix, "ip", *(("-n", room) if room else ()), "-batch", "-"], stdin=text)


def _batch(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
