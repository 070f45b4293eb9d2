"""The faults a site's lab can be given: a catalogue in faults.yml, read and checked as a whole."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from orchestrator.errors import InputError
from orchestrator.lab.definition import Lab, Name, Size, explain
from orchestrator.project import did_you_mean
from orchestrator.yaml_file import Fault as FileFault
from orchestrator.yaml_file import read_document

VERBS = ("script", "power", "disk", "boot_delay", "host_key")
LEFT_BEHIND = ("script", "disk", "boot_delay")  # the verbs of what `after_cut` may name


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DiskDamage(_Strict):
    """What happens to a disk while its host is off; `offset` and `length` are bytes (`corrupt`)."""

    name: Name
    do: Literal["blank", "detach", "corrupt"]
    offset: Size = 0
    length: Size = 1 << 20


class LabFault(_Strict):
    """One named fault: what it does, where, and what drcli must make of it.

    `recovered`: a recovery ends green, and `proof` (a script) succeeds in each host then. `held`:
    it ends with `component` not verified, for `reason` (a regular expression found in what the run
    says of it), and nothing that stands on it started.
    """

    name: Name
    explains: Annotated[str, Field(min_length=20, pattern=r"^[^\n]+$")]
    component: Name
    expect: Literal["recovered", "held"]
    reason: str = ""
    hosts: Annotated[tuple[str, ...], Field(min_length=1)]
    script: str | None = None
    power: Literal["stays-off"] | None = None
    disk: DiskDamage | None = None
    boot_delay: Annotated[int, BeforeValidator(int), Field(ge=1, le=600)] | None = None
    host_key: Literal["new"] | None = None
    undo: str | None = None
    proof: str | None = None

    @model_validator(mode="after")
    def _one_verb(self) -> LabFault:
        verbs = [verb for verb in VERBS if getattr(self, verb) is not None]
        if len(verbs) != 1:
            raise ValueError(f"write exactly one of {', '.join(VERBS)}; found {verbs or 'none'}")
        try:
            re.compile(self.reason)
        except re.error as error:
            raise ValueError(f"reason is no regular expression: {error}") from error
        return self

    @property
    def verb(self) -> str:
        """Which of the verbs it is made with."""
        return next(verb for verb in VERBS if getattr(self, verb) is not None)


class Catalogue(_Strict):
    """faults.yml as it is written."""

    faults: tuple[LabFault, ...]


def faults_file(lab: Lab) -> Path:
    """Where a site's faults stand."""
    return lab.own / "faults.yml"


def load_faults(lab: Lab) -> dict[str, LabFault]:
    """The faults of a site's lab, by name, in the file's order.

    Raises:
        InputError: with a line for each thing that is wrong in the file.
    """
    document = read_document(faults_file(lab))
    wrong = list(document.faults)
    try:
        catalogue = Catalogue.model_validate(document.content)
    except ValidationError as error:
        raise document.error([*wrong, *explain(error)]) from None
    hosts = {host.name: host for host in lab.hosts}
    names = [fault.name for fault in catalogue.faults]
    for place, fault in enumerate(catalogue.faults):
        if fault.name in names[:place]:
            wrong.append(FileFault(location=("faults", place, "name"), what="stands twice"))
        for number, name in enumerate(fault.hosts):
            location = ("faults", place, "hosts", number)
            if name not in hosts:
                near = did_you_mean(name, hosts)
                wrong.append(FileFault(location=location, what=f"no host {name!r}{near}"))
            elif fault.disk and fault.disk.name not in hosts[name].disks:
                what = f"{name} has no disk {fault.disk.name!r}"
                wrong.append(FileFault(location=location, what=what))
    if wrong:
        raise document.error(wrong)
    return {fault.name: fault for fault in catalogue.faults}


def faults_after_cut(lab: Lab) -> tuple[LabFault, ...]:
    """What lab.yml says that every cut leaves behind, in its order.

    Raises:
        InputError: a name of `after_cut` is no fault of the catalogue, or one that a cut cannot
            leave behind; the message has a line for each.
    """
    if not lab.file.after_cut:
        return ()
    known = load_faults(lab)
    wrong = []
    for place, name in enumerate(lab.file.after_cut):
        location = ("after_cut", place)
        if name not in known:
            what = f"no fault {name!r}{did_you_mean(name, known)}"
            wrong.append(FileFault(location=location, what=what))
        elif known[name].verb not in LEFT_BEHIND:
            what = f"a cut leaves {', '.join(LEFT_BEHIND)} behind; {name} is {known[name].verb}"
            wrong.append(FileFault(location=location, what=what))
    if wrong:
        raise read_document(lab.own / "lab.yml").error(wrong)
    return tuple(known[name] for name in lab.file.after_cut)


def find_fault(lab: Lab, name: str) -> LabFault:
    """One fault of the catalogue.

    Raises:
        InputError: there is none of that name; the message has the nearest one.
    """
    known = load_faults(lab)
    if name not in known:
        raise InputError(
            f"no fault {name!r}{did_you_mean(name, known)}",
            hint=f"drcli lab break --list --site {lab.site}",
        )
    return known[name]
