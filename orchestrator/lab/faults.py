"""The faults a site's lab can be given: a catalogue in faults.yml, read and checked as a whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from orchestrator.errors import InputError
from orchestrator.inventory import load_inventory
from orchestrator.lab.definition import Definition, Disk, Name, explain, size_of
from orchestrator.project import did_you_mean
from orchestrator.site import load_site
from orchestrator.yaml_file import Fault as FileFault
from orchestrator.yaml_file import read_document

VERBS = ("script", "power", "disk", "boot_delay", "host_key")
LONGEST_DELAY = 600  # seconds

Size = Annotated[int, BeforeValidator(size_of)]
Line = Annotated[str, Field(min_length=10, pattern=r"^[^\n]+$")]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DiskDamage(_Strict):
    """What happens to a disk while its host is off; `offset`, `length` are bytes (`corrupt`)."""

    name: Disk
    do: Literal["blank", "detach", "corrupt"]
    offset: Size = 0
    length: Size = 1 << 20


class LabFault(_Strict):
    """One named fault: what it does, where, and what drcli must make of it.

    `recovered`: a recovery ends green, and `proof` (a script) succeeds on each host then. `held`:
    it ends with `component` not verified, for `reason` (a regular expression found in what the run
    says of it), and nothing that stands on it started. `undo` is a script. `fixed` says why the
    fault makes no sense on another host.
    """

    name: Name
    explains: Line
    effect: Line
    component: Name
    expect: Literal["recovered", "held"]
    reason: str = ""
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    fixed: str = ""
    script: str | None = None
    power: Literal["stays-off"] | None = None
    disk: DiskDamage | None = None
    boot_delay: Annotated[int, Field(ge=1, le=LONGEST_DELAY)] | None = None
    host_key: Literal["new"] | None = None
    undo: str | None = None
    proof: str | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> LabFault:
        verbs = [verb for verb in VERBS if getattr(self, verb) is not None]
        if len(verbs) != 1:
            raise ValueError(f"write exactly one of {', '.join(VERBS)}; found {verbs or 'none'}")
        try:
            re.compile(self.reason)
        except re.error as error:
            raise ValueError(f"reason is no regular expression: {error}") from error
        if self.expect == "held" and not self.reason:
            raise ValueError("what is held needs a reason, found in what the run says")
        if self.expect == "recovered" and not self.proof:
            raise ValueError("what is recovered needs a proof, a script that succeeds then")
        if self.expect == "held" and not self.has_undo:
            raise ValueError("what is held needs an undo: nobody else takes it back")
        return self

    @property
    def has_undo(self) -> bool:
        """Whether `--undo` can take it back."""
        of_itself = self.power or self.host_key or self.boot_delay
        detached = self.disk is not None and self.disk.do == "detach"
        return bool(of_itself or detached or self.undo is not None)


class Catalogue(_Strict):
    """faults.yml; `prelude` is shell code that every script of it begins with."""

    prelude: str = ""
    faults: Annotated[tuple[LabFault, ...], Field(min_length=1)]

    def find(self, name: str, *, site: str) -> LabFault:
        """One fault.

        Raises:
            InputError: there is none of that name; the message has the nearest one.
        """
        known = {fault.name: fault for fault in self.faults}
        if name not in known:
            raise InputError(
                f"no fault {name!r}{did_you_mean(name, known)}",
                hint=f"drcli lab break --list --site {site}",
            )
        return known[name]


def faults_file(definition: Definition) -> Path:
    """Where a site's faults stand."""
    return definition.own / "faults.yml"


def load_faults(definition: Definition) -> Catalogue:
    """The faults of a site's lab.

    Raises:
        InputError: the file is missing or wrong; with a line for each thing that is wrong in it.
    """
    document = read_document(faults_file(definition))
    try:
        catalogue = Catalogue.model_validate(document.content)
    except ValidationError as error:
        raise document.error([*document.faults, *explain(error)]) from None
    wrong = [*document.faults, *_wrong(definition, catalogue)]
    if wrong:
        raise document.error(wrong)
    return catalogue


def elsewhere(definition: Definition, fault: LabFault, host: str) -> LabFault:
    """The same fault on another host of its component.

    Raises:
        InputError: it makes no sense there; the message says why.
    """
    of_it = component_hosts(definition)[fault.component]
    why = ""
    if host not in of_it:
        why = f"{fault.component} is not on it, but on {', '.join(of_it)}"
    elif len(fault.hosts) > 1:
        why = f"it is on {' and '.join(fault.hosts)} at once"
    elif host not in fault.hosts and fault.fixed:
        why = fault.fixed
    elif fault.disk and fault.disk.name not in definition.host(host).disks:
        why = f"{host} has no disk {fault.disk.name!r}"
    if why:
        raise InputError(
            f"the fault {fault.name} cannot be put on {host}: {why}",
            hint=f"drcli lab break {fault.name} --site {definition.site}",
        )
    return fault.model_copy(update={"hosts": (host,)})


def component_hosts(definition: Definition) -> dict[str, tuple[str, ...]]:
    """The hosts of each component of the site.

    Raises:
        InputError: site.yml is not one.
    """
    inventory = load_inventory(definition.inventory)
    site = load_site(definition.project, definition.site)
    return {one.name: inventory.hosts(one.hosts) for _, one in site.components}


def _wrong(definition: Definition, catalogue: Catalogue) -> Iterator[FileFault]:
    components = component_hosts(definition)
    names: set[str] = set()
    for place, fault in enumerate(catalogue.faults):
        if fault.name in names:
            yield FileFault(location=("faults", place, "name"), what="stands twice")
        names.add(fault.name)
        if fault.component not in components:
            what = f"no component {fault.component!r}{did_you_mean(fault.component, components)}"
            yield FileFault(location=("faults", place, "component"), what=what)
        else:
            yield from _wrong_hosts(definition, fault, place, components)


def _wrong_hosts(
    definition: Definition, fault: LabFault, place: int, components: Mapping[str, tuple[str, ...]]
) -> Iterator[FileFault]:
    of_it = components[fault.component]
    for number, name in enumerate(fault.hosts):
        location = ("faults", place, "hosts", number)
        if name not in of_it:
            what = f"{name!r} is no host of {fault.component}{did_you_mean(name, of_it)}"
            yield FileFault(location=location, what=what)
        elif fault.disk and fault.disk.name not in definition.host(name).disks:
            what = f"{name} has no disk {fault.disk.name!r}"
            yield FileFault(location=location, what=what)
