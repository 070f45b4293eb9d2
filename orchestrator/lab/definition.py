"""What a lab is made of: the site's inventory and inventories/SITE/lab/lab.yml, as values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.errors import InputError, join_errors
from orchestrator.inventory import load_inventory
from orchestrator.project import site_folder
from orchestrator.yaml_file import Fault, read_document

SIZE = re.compile(r"(\d+)([KMG])")
LINK_NAME = r"^[a-z][a-z0-9-]{0,14}$"  # the kernel's own limit
MANAGEMENT = "mgmt"  # the interface of every host that the controller comes in by
CONTROLLER_NUMBER = 1  # this machine's own address in the management network
LAST_NUMBER = 254

Package = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+.-]+$")]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,40}$")]
Network = Annotated[str, Field(pattern=LINK_NAME)]
Disk = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]{0,14}$")]


class Client(BaseModel):
    """A command on a host outside: one that writes until it is ended, or one that looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name
    host: str
    command: Annotated[tuple[str, ...], Field(min_length=1)]


class AfterCut(BaseModel):
    """What a power cut leaves behind on these hosts: a shell script, run once at their boot."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    script: str


class LabFile(BaseModel):
    """lab.yml: what the lab must know beyond the inventory.

    Each of `writers` prints one JSON line for each write that the site acknowledged; `reader` is
    given all of them on its standard input and prints a line for each that the site lacks.
    `seed_writes` is how many of each writer a new lab starts with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    networks: tuple[Network, ...] = ()
    suite: Name = "bookworm"
    packages: tuple[Package, ...] = ()
    writers: tuple[Client, ...] = ()
    reader: Client | None = None
    seed_writes: int = Field(default=20, ge=0)
    after_cut: tuple[AfterCut, ...] = ()


@dataclass(frozen=True, kw_only=True)
class LabHost:
    """One host; `disks` maps a device name to its size in bytes, `number` ends its addresses.

    One that stands `outside` of the hosting room is a client of the site: its power is never cut.
    """

    name: str
    number: int
    networks: tuple[str, ...] = ()
    feed: str = "A"
    disks: Mapping[str, int]
    outside: bool = False

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A site's lab as it is written down: where, its hosts, its lab.yml.

    One that ends with a `layer` is a part of the site: the hosts of the layers above are `absent`.
    """

    project: Path
    site: str
    hosts: tuple[LabHost, ...]
    file: LabFile
    layer: str | None = None
    absent: tuple[LabHost, ...] = ()

    @property
    def own(self) -> Path:
        """The site's lab folder in the project: lab.yml, provision/."""
        return self.project / "inventories" / self.site / "lab"

    @property
    def inventory(self) -> Path:
        """The site's hosts file."""
        return self.project / "inventories" / self.site / "hosts.yml"

    @property
    def inside(self) -> tuple[LabHost, ...]:
        """The hosts of the hosting room."""
        return tuple(host for host in self.hosts if not host.outside)

    def host(self, name: str) -> LabHost:
        """The host of that name.

        Raises:
            InputError: it is of a layer above this lab.
        """
        if name in {host.name for host in self.absent}:
            raise InputError(
                f"{name} is not in this lab, which ends with the layer {self.layer}",
                hint="drcli lab up with another --name, without --layer, has every host.",
            )
        return next(host for host in self.hosts if host.name == name)

    def disks(self) -> Iterator[tuple[LabHost, str, int]]:
        """Every disk of the lab: its host, its name, its size in bytes; always in one order."""
        for host in self.hosts:
            for disk, size in host.disks.items():
                yield host, disk, size

    def select(self, pattern: str) -> tuple[LabHost, ...]:
        """The hosts whose name matches one of the comma-separated globs.

        Raises:
            InputError: no host matches.
        """
        globs = [part.strip() for part in pattern.split(",") if part.strip()]
        chosen = tuple(h for h in self.hosts if any(fnmatchcase(h.name, glob) for glob in globs))
        if not chosen:
            raise InputError(
                f"no host of {self.site} matches {pattern!r}",
                hint=f"Its hosts: {', '.join(h.name for h in self.hosts)}.",
            )
        return chosen

    def on_feed(self, feed: str) -> tuple[LabHost, ...]:
        """The hosts of the hosting room that hang on this power feed.

        Raises:
            InputError: none does.
        """
        chosen = tuple(host for host in self.inside if host.feed == feed)
        if not chosen:
            known = ", ".join(sorted({host.feed for host in self.inside}))
            raise InputError(
                f"no host of {self.site} is on a power feed {feed!r}",
                hint=f"Its feeds: {known} (the variable power_feed of hosts.yml).",
            )
        return chosen


def load_definition(project: Path, site: str) -> Definition:
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
            hosts.append(host_of(name, inventory.variables(name), networks=file.networks))
        except ValueError as error:
            errors.append(InputError(f"{path}: host {name}: {error}", hint="Mend its variables."))
    errors += [InputError(f"{path}: {what}", hint="Mend it.") for what in _shared_numbers(hosts)]
    faults = [*document.faults, *_unknown_hosts(file, {host.name: host for host in hosts})]
    if faults and not errors:
        errors.append(document.error(faults))
    if errors:
        raise join_errors(errors)
    return Definition(project=project, site=site, hosts=tuple(hosts), file=file)


def host_of(name: str, values: Mapping[str, object], *, networks: Iterable[str]) -> LabHost:
    """A host from its inventory variables.

    Raises:
        ValueError: one of them is missing or wrong.
    """
    number = values.get("host_number")
    if not isinstance(number, int) or not CONTROLLER_NUMBER < number <= LAST_NUMBER:
        raise ValueError(f"host_number {number!r} is no number from 2 to {LAST_NUMBER}")
    chosen = values.get("networks", [])
    if not isinstance(chosen, list) or not set(chosen) <= set(networks):
        raise ValueError(f"networks {chosen!r} is no list of some of {', '.join(networks)}")
    disks = values.get("lab_disks", {})
    if not isinstance(disks, dict):
        raise ValueError(f"lab_disks {disks!r} is not a mapping of names to sizes")  # noqa: TRY004 -- one error for all of a host's variables
    outside = values.get("lab_outside", False)
    if not isinstance(outside, bool) or (outside and disks):
        raise ValueError("lab_outside is true or false, and such a host has no lab_disks")
    return LabHost(
        name=name,
        number=number,
        networks=tuple(chosen),
        feed=str(values.get("power_feed", "A")),
        disks={str(disk): size_of(size) for disk, size in disks.items()},
        outside=outside,
    )


def size_of(text: object) -> int:
    """Bytes of `64K`, `768M`, `2G`.

    Raises:
        ValueError: it is no size.
    """
    found = SIZE.fullmatch(str(text))
    if not found:
        raise ValueError(f"{text!r} is no size: write 64K, 768M or 2G")
    return int(found[1]) * {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[found[2]]


def explain(error: ValidationError) -> list[Fault]:
    """Pydantic's findings as faults of a file."""
    return [
        Fault(location=tuple(e["loc"]), what=e["msg"].removeprefix("Value error, "))
        for e in error.errors(include_url=False)
    ]


def _shared_numbers(hosts: Iterable[LabHost]) -> Iterator[str]:
    taken: dict[int, str] = {}
    for host in hosts:
        if host.number in taken:
            yield f"{taken[host.number]} and {host.name} share the host_number {host.number}"
        taken[host.number] = host.name


def _unknown_hosts(file: LabFile, hosts: Mapping[str, LabHost]) -> Iterator[Fault]:
    for place, writer in enumerate(file.writers):
        yield from _client_faults(writer, hosts, ("writers", place, "host"))
    if file.reader:
        yield from _client_faults(file.reader, hosts, ("reader", "host"))
    for place, left in enumerate(file.after_cut):
        for number, name in enumerate(left.hosts):
            if name not in hosts:
                location = ("after_cut", place, "hosts", number)
                yield Fault(location=location, what=f"no host {name!r}")


def _client_faults(
    client: Client, hosts: Mapping[str, LabHost], location: tuple[str | int, ...]
) -> Iterator[Fault]:
    if client.host not in hosts:
        yield Fault(location=location, what=f"no host {client.host!r}")
    elif not hosts[client.host].outside:
        what = f"{client.host} would lose its power too"
        yield Fault(location=location, what=what, todo="name a host with lab_outside: true")
