"""What a lab is made of: the site's inventory and inventories/SITE/lab/lab.yml, as values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from orchestrator.errors import InputError, join_errors
from orchestrator.inventory import load_inventory
from orchestrator.project import is_slug, site_folder
from orchestrator.yaml_file import Fault, read_document

LAB_ROOT = Path("/var/lib/drcli/lab")
SIZE = re.compile(r"(\d+)([KMG])")


def size_of(text: object) -> int:
    """Bytes of `64K`, `768M`, `2G`.

    Raises:
        ValueError: it is no size.
    """
    found = SIZE.fullmatch(str(text))
    if not found:
        raise ValueError(f"{text!r} is no size: write 64K, 768M or 2G")
    return int(found[1]) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[found[2]]


Package = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
Size = Annotated[int, BeforeValidator(size_of)]


class Writer(BaseModel):
    """A client on `host`: one that writes until it is ended, or one that looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    host: str
    command: Annotated[tuple[str, ...], Field(min_length=1)]


class LabFile(BaseModel):
    """lab.yml: what the lab must know beyond the inventory.

    Each of `writers` prints one JSON line for each write that the site acknowledged; `reader` is
    given all of them on its standard input and prints a line for each that the site lacks.
    `seed_writes` are the writes of each writer that a new lab starts with; `after_cut` names the
    faults of faults.yml that every power cut leaves behind on the hosts it hits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    management_network: IPv4Network
    networks: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,14}$")], ...]
    suite: Name = "bookworm"
    base_packages: tuple[Package, ...]
    images: dict[Name, tuple[Package, ...]]
    writers: tuple[Writer, ...] = ()
    reader: Writer | None = None
    seed_writes: int = Field(default=20, ge=0)
    after_cut: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LabHost:
    """One host of the lab; `disks` maps a device name to its size in bytes."""

    name: str
    address: str
    image: str
    networks: tuple[str, ...]
    feed: str
    disks: dict[str, int]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A site's lab: its hosts, its lab.yml, and the folder of its keys, disks and ledger."""

    site: str
    project: Path
    hosts: tuple[LabHost, ...]
    file: LabFile
    folder: Path

    @property
    def inventory(self) -> Path:
        """The site's hosts file."""
        return self.project / "inventories" / self.site / "hosts.yml"

    @property
    def own(self) -> Path:
        """The site's lab folder in the project: lab.yml, faults.yml, provision/, seed.yml."""
        return self.project / "inventories" / self.site / "lab"

    @property
    def management(self) -> str:
        """The name of podman's management network, prefix of every container's name."""
        return f"drcli-{self.site}-mgmt"

    def container(self, host: LabHost) -> str:
        """The name of a host's container."""
        return f"drcli-{self.site}-{host.name}"

    def host(self, name: str) -> LabHost:
        """The host of that name.

        Raises:
            InputError: there is none.
        """
        return self.select(name)[0]

    def select(self, pattern: str | None = None, *, feed: str | None = None) -> tuple[LabHost, ...]:
        """The hosts whose name matches one of the comma-separated globs, on that power feed.

        Raises:
            InputError: no host matches.
        """
        globs = [part.strip() for part in (pattern or "*").split(",") if part.strip()]
        chosen = tuple(
            h
            for h in self.hosts
            if any(fnmatchcase(h.name, glob) for glob in globs) and feed in (None, h.feed)
        )
        if not chosen:
            fed = f" on feed {feed}" if feed else ""
            raise InputError(
                f"no host of {self.site} matches {pattern or '*'!r}{fed}",
                hint=f"Its hosts: {', '.join(h.name for h in self.hosts)}.",
            )
        return chosen


def lab_folder(site: str) -> Path:
    """Where the lab of a site keeps its state, also when the project's files are gone.

    Raises:
        InputError: the name is not one a site can have.
    """
    if not is_slug(site):
        raise InputError(
            f"{site!r} cannot be a site's name", hint="Small letters, digits and hyphens only."
        )
    return LAB_ROOT / site


def load_lab(project: Path, site: str) -> Lab:
    """Read a site's inventory and lab.yml.

    Raises:
        InputError: the site, its lab.yml or a lab variable of a host is missing or wrong; the
            message has one line for each fault.
    """
    folder = site_folder(project, site)
    path = folder / "hosts.yml"
    document = read_document(folder / "lab" / "lab.yml")
    try:
        file = LabFile.model_validate(document.content)
    except ValidationError as error:
        raise document.error([*document.faults, *explain(error)]) from None
    inventory = load_inventory(path)
    errors: list[InputError] = []
    hosts: list[LabHost] = []
    for name in inventory.all_hosts:
        try:
            hosts.append(_host(name, inventory.variables(name), file=file))
        except ValueError as error:
            errors.append(
                InputError(f"{path}: host {name}: {error}", hint="Mend the host's variables.")
            )
    faults = [*document.faults, *_cross_faults(file, hosts)]
    if faults:
        errors.append(document.error(faults))
    if errors:
        raise join_errors(errors)
    return Lab(site=site, project=project, hosts=tuple(hosts), file=file, folder=lab_folder(site))


def explain(error: ValidationError) -> list[Fault]:
    """Pydantic's findings as faults of a file."""
    return [
        Fault(location=tuple(e["loc"]), what=e["msg"].removeprefix("Value error, "))
        for e in error.errors(include_url=False)
    ]


def _host(name: str, values: Mapping[str, object], *, file: LabFile) -> LabHost:
    address = str(values.get("ansible_host", ""))
    network = file.management_network
    first = network.network_address + 2  # the one before is the controller's
    if not first <= IPv4Address(address) < network.broadcast_address:
        raise ValueError(f"ansible_host {address} is not free in {file.management_network}")
    image = str(values.get("lab_image", ""))
    if image not in file.images:
        raise ValueError(f"lab_image {image!r} is not one of {', '.join(file.images)}")
    networks = values.get("networks", [])
    if not isinstance(networks, list) or not set(networks) <= set(file.networks):
        raise ValueError(f"networks {networks!r} is no list of some of {', '.join(file.networks)}")
    disks = values.get("lab_disks", {})
    if not isinstance(disks, dict):
        raise ValueError(f"lab_disks {disks!r} is not a mapping of names to sizes")  # noqa: TRY004 -- one error for all of a host's variables
    return LabHost(
        name=name,
        address=address,
        image=image,
        networks=tuple(networks),
        feed=str(values.get("power_feed", "A")),
        disks={str(disk): size_of(size) for disk, size in disks.items()},
    )


def _cross_faults(file: LabFile, hosts: list[LabHost]) -> Iterator[Fault]:
    taken: dict[str, str] = {}
    for host in hosts:
        if host.address in taken:
            what = f"{host.name} and {taken[host.address]} share the address {host.address}"
            yield Fault(location=("management_network",), what=what)
        taken[host.address] = host.name
    names = {host.name for host in hosts}
    for place, writer in enumerate(file.writers):
        if writer.host not in names:
            yield Fault(location=("writers", place, "host"), what=f"no host {writer.host!r}")
    if file.reader and file.reader.host not in names:
        yield Fault(location=("reader", "host"), what=f"no host {file.reader.host!r}")
