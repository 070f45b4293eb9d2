"""One raised copy of a lab: its name, its folder, and the addresses that are its own.

Several stand side by side, of one site or of many, from one checkout or another. All that one has
is found by its name or its short id: containers by label, links and namespaces by the id, disks
and keys by its folder.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.errors import InputError, MachineError
from orchestrator.lab.command import run
from orchestrator.lab.lab_lock import LABS, lab_lock
from orchestrator.project import is_slug

RANGE = IPv4Network("10.78.0.0/16")  # the management networks of all labs of a machine
FIRST_LOOP = 8192  # far above those that `losetup --find` hands out
LOOPS = 256  # of each instance


class Instance(BaseModel):
    """What an instance is known by; kept in instance.json of its folder.

    `layer` is the one that it ends with when it is not the whole site.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    site: str
    project: Path
    subnet: IPv4Network
    short: str  # never used before: names that a killed podman still holds do not matter
    made: datetime
    layer: str | None = None

    @property
    def folder(self) -> Path:
        """Where its keys, disks, ledger and logs are."""
        return folder_of(self.name)

    @property
    def prefix(self) -> str:
        """What the names of its containers, links and namespaces begin with."""
        return f"drcli-{self.short}"

    @property
    def hosts_file(self) -> Path:
        """The inventory that says how the controller reaches its hosts."""
        return self.folder / "hosts.yml"

    def container(self, host: str) -> str:
        """The name of a host's container."""
        return f"{self.prefix}-{host}"

    def address(self, number: int) -> str:
        """The management address of that number."""
        return str(self.subnet.network_address + number)

    def loop(self, number: int) -> Path:
        """The loop device of that number: no other instance has it, also after a reboot."""
        return Path(
            f"/dev/loop{FIRST_LOOP + self.subnet.network_address.packed[2] * LOOPS + number}"
        )


def default_name(project: Path, site: str) -> str:
    """The name of a checkout's own instance of a site."""
    return f"{site}-{hashlib.sha256(str(project.resolve()).encode()).hexdigest()[:6]}"


def folder_of(name: str) -> Path:
    """Where the instance of that name keeps its state, whether it exists or not.

    Raises:
        InputError: the name is not one an instance can have.
    """
    if not is_slug(name):
        raise InputError(
            f"{name!r} cannot be a lab's name", hint="Small letters, digits and hyphens only."
        )
    return LABS / name


def find_instance(name: str) -> Instance | None:
    """The instance of that name; None when there is none, or it was broken off at its birth."""
    try:
        text = (folder_of(name) / "instance.json").read_text(encoding="utf-8")
        return Instance.model_validate_json(text)
    except (FileNotFoundError, ValidationError):
        return None


def all_instances() -> list[Instance]:
    """Every instance of this machine, by name."""
    names = sorted(path.parent.name for path in LABS.glob("*/instance.json"))
    return [found for name in names if (found := find_instance(name))]


def require_instance(project: Path, site: str, name: str | None = None) -> Instance:
    """The instance that is up; its `hosts_file` is for Ansible, after the site's own inventory.

    Raises:
        MachineError: it is not.
        InputError: it is another site's.
    """
    wanted = name or default_name(project, site)
    found = find_instance(wanted)
    if found is None or not found.hosts_file.exists():
        named = f" --name {name}" if name else ""
        raise MachineError(
            f"the lab {wanted} is not up", hint=f"As root: drcli lab up --site {site}{named}"
        )
    if found.site != site:
        raise InputError(
            f"the lab {wanted} is one of {found.site}, not of {site}",
            hint=f"Choose another --name, or: drcli lab down --name {wanted}",
        )
    return found


def make_instance(project: Path, site: str, name: str, *, layer: str | None = None) -> Instance:
    """The instance of that name; a new one ends with `layer`, on a management network of its own.

    Raises:
        InputError: the instance of that name is another site's.
        MachineError: the range of the management networks is exhausted.
    """
    with lab_lock("_machine"):
        found = find_instance(name)
        if found is not None and found.site == site:
            return found
        if found is not None:
            raise InputError(
                f"the lab {name} is one of {found.site}, not of {site}",
                hint="Choose another --name.",
            )
        taken = [*(instance.subnet for instance in all_instances()), *_networks_here()]
        made = Instance(
            name=name,
            site=site,
            project=project.resolve(),
            subnet=free_subnet(taken),
            short=secrets.token_hex(3),
            made=datetime.now(UTC),
            layer=layer,
        )
        made.folder.mkdir(mode=0o700, exist_ok=True)
        fresh = made.folder / "instance.json.new"
        fresh.write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")
        fresh.replace(made.folder / "instance.json")
    return made


def free_subnet(taken: Iterable[IPv4Network]) -> IPv4Network:
    """The first /24 of the range that overlaps none of those taken.

    Raises:
        MachineError: there is none.
    """
    busy = list(taken)
    for subnet in RANGE.subnets(new_prefix=24):
        if not any(subnet.overlaps(other) for other in busy):
            return subnet
    raise MachineError(
        f"every management network of {RANGE} is taken", hint="drcli lab purge removes all labs."
    )


def _networks_here() -> list[IPv4Network]:
    """Every network that this machine has a route to, but for the default route."""
    routes = json.loads(run(["ip", "-4", "-json", "route", "show", "table", "all"]) or "[]")
    found = [IPv4Network(r["dst"], strict=False) for r in routes if r["dst"][:1].isdigit()]
    return [network for network in found if network.prefixlen]
