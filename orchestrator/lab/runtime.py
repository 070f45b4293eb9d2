"""What a running host has beyond what its boot gives: seen once, and given back to a later boot.

Addresses, routes, settings of the kernel, firewall, mounts, who resolves names, services. A host
that is stopped cleanly and booted again is thus soon what it was, without a playbook. What a daemon
gives (a route it learned, a gateway's shared address) is not set, but waited for.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict

from orchestrator.lab.definition import MANAGEMENT

SETTINGS = (
    r"^net\.(ipv4\.ip_forward|ipv4\.conf\.[^.]+\.(rp_filter|forwarding|arp_[a-z]+)"
    r"|netfilter\.nf_conntrack_tcp_(be_liberal|loose))$"
)
FORWARD = "net.ipv4.ip_forward"  # setting it resets others: it comes first
SET_BY_HAND = {"boot", "static"}  # routes that no daemon and not the kernel itself has made
PASSING = re.compile(r"^(run-|user@|user-runtime-dir@|session-)")  # units of the moment
MOUNTED_FROM = "/dev/"
PATIENCE = 400  # tenths of a second until a host has what it had
GATEWAY_PATIENCE = 20  # tries, of a second each where it is silent

LISTENING = "ss -Hltn | awk '{print $4}'"
LEARNED = (
    """ip -4 route show | awk '{for (i = 1; i < NF; i++) if ($i == "proto") print $1, $(i + 1)}'"""
)
UNITS = "systemctl list-units --state=active --type=service,socket,timer --plain --no-legend"
# Before its boot is over, what is given to a host may be taken away again by the boot itself.
BOOTED = (
    "n=0; until systemctl is-system-running 2>/dev/null | grep -qx -e running -e degraded; do"
    " n=$((n + 1)); test $n -lt 600 || { echo 'its boot does not end' >&2; exit 1; }; sleep 0.1;"
    " done\n"
)
# In the order of the fields of `Seen`, each ended by a zero byte.
SEEN = BOOTED + "".join(
    f"{{ {command}; }} 2>/dev/null || true; printf '\\0'\n"
    for command in (
        "ip -4 -json address show",
        "ip -4 -json route show",
        LEARNED,
        f"sysctl --all --pattern '{SETTINGS}'",
        "nft list ruleset",
        "cat /proc/self/mounts",
        "cat /etc/resolv.conf",
        f"{UNITS} | cut -d ' ' -f 1",
        LISTENING,
    )
)


class Seen(BaseModel):
    """A host's runtime state; `addresses` and `routes` are words for `ip replace`."""

    model_config = ConfigDict(frozen=True)

    addresses: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    gateway: str = ""
    learned: tuple[str, ...] = ()  # PREFIX PROTOCOL
    settings: tuple[str, ...] = ()  # KEY=VALUE
    firewall: str = ""
    mounts: tuple[str, ...] = ()  # DEVICE PLACE TYPE OPTIONS
    resolver: str = ""
    units: tuple[str, ...] = ()
    listening: tuple[str, ...] = ()


def parse_seen(text: str) -> Seen:
    """What the script SEEN printed on a host."""
    (addresses, routes, learned, settings, firewall, mounts, resolver, units, listening, *_) = (
        text.split("\0")
    )
    every = json.loads(routes or "[]")
    return Seen(
        addresses=tuple(_addresses(addresses)),
        routes=tuple(
            " ".join([r["dst"], *(f"{key} {r[key]}" for key in ("dev", "metric") if key in r),
                      *([f"via {r['gateway']}"] if "gateway" in r else [])])
            for r in every
            if r.get("protocol", "boot") in SET_BY_HAND
        ),
        gateway=next((r["gateway"] for r in every if r["dst"] == "default" and "gateway" in r), ""),
        learned=tuple(
            line for line in learned.splitlines()
            if line.split()[1] not in {*SET_BY_HAND, "kernel"}
        ),
        settings=tuple(re.sub(r"\s*=\s*", "=", line, count=1) for line in settings.splitlines()),
        firewall=firewall,
        mounts=tuple(
            " ".join(line.split()[:4]) for line in mounts.splitlines()
            if line.startswith(MOUNTED_FROM)
        ),
        resolver=resolver,
        units=tuple(unit for unit in units.split() if not PASSING.match(unit)),
        listening=tuple(dict.fromkeys(listening.split())),
    )  # fmt: skip


def beyond(boot: Seen, now: Seen) -> Seen:
    """What `now` has that the host's boot gave it not."""

    def new(was: Iterable[str], has: Iterable[str]) -> tuple[str, ...]:
        old = set(was)
        return tuple(item for item in has if item not in old)

    return now.model_copy(
        update={
            name: new(getattr(boot, name), getattr(now, name))
            for name in ("addresses", "routes", "learned", "settings", "mounts", "units",
                         "listening")
        }
    )  # fmt: skip


def state_script(seen: Seen) -> str:
    """A shell script that gives a freshly booted host its network, settings and mounts back."""
    lines = [BOOTED.rstrip()]
    lines += [f"ip address replace {address}" for address in seen.addresses]
    lines += [f"ip route replace {route}" for route in seen.routes]
    if seen.firewall.strip():
        lines += ["nft -f - <<'RULES'", "flush ruleset", seen.firewall.rstrip(), "RULES"]
    settings = sorted(seen.settings, key=lambda setting: not setting.startswith(FORWARD))
    if settings:
        lines.append(shlex.join(["sysctl", "--quiet", "--write", *settings]))
    if seen.resolver:
        lines.append(f"printf %s {shlex.quote(seen.resolver)} >/etc/resolv.conf")
    for mount in seen.mounts:
        device, place, kind, options = mount.split()
        if kind == "btrfs":
            lines.append("btrfs device scan --all-devices >/dev/null")
        words = ["mount", "-t", kind, "-o", options, device, place]
        lines += [f"mkdir -p {shlex.quote(place)}", shlex.join(words)]
    return "\n".join(lines) + "\n"


def service_script(seen: Seen) -> str:
    """A shell script that starts a host's services, and waits until they are what they were."""
    lines = []
    if seen.gateway:
        ping = f"ping -c 1 -W 1 {seen.gateway} >/dev/null 2>&1"
        lines.append(_until(ping, GATEWAY_PATIENCE, f"the gateway {seen.gateway} does not answer"))
    if seen.units:
        lines.append(shlex.join(["systemctl", "start", *seen.units]))
    wanted = (*seen.listening, *seen.learned)
    if wanted:
        found = f"wanted=$(printf '%s\\n' {shlex.join(wanted)})"
        lacks = f"{{ {LISTENING}; {LEARNED}; }} >/run/lab-has"
        lacks += "; printf '%s\\n' \"$wanted\" | grep -vxFf /run/lab-has >/run/lab-lacks"
        complaint = "still lacking: $(cat /run/lab-lacks)"
        lines += [found, f"lacks() {{ {lacks}; }}", _until("! lacks", PATIENCE, complaint)]
    return "\n".join(lines) + "\n"


def stop_script(seen: Seen) -> str:
    """A shell script that ends a host's services in order, and writes all to its disks."""
    lines = [shlex.join(["systemctl", "stop", *seen.units])] if seen.units else []
    lines += [f"umount {shlex.quote(mount.split()[1])}" for mount in reversed(seen.mounts)]
    return "\n".join([*lines, "sync"]) + "\n"


def _addresses(text: str) -> Iterable[str]:
    """Those of the host itself: not the controller's network, and no shared (secondary) address."""
    for link in json.loads(text or "[]"):
        if link["ifname"] == MANAGEMENT:
            continue
        for address in link["addr_info"]:
            if address.get("family") == "inet" and not address.get("secondary"):
                yield f"{address['local']}/{address['prefixlen']} dev {link['ifname']}"


def _until(condition: str, tenths: int, complaint: str) -> str:
    return (
        f"n=0; until {condition}; do n=$((n + 1)); "
        f'test $n -lt {tenths} || {{ echo "{complaint}" >&2; exit 1; }}; sleep 0.1; done'
    )
