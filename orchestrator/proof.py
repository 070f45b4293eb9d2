"""What drills have proven, component by component, and what has changed since. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from orchestrator.drills import DrillScored


class Standing(StrEnum):
    """How a proof stands."""

    PROVEN = "proven"
    CHANGED = "changed"  # files are others now
    EXPIRED = "expired"
    NEVER = "never"


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A drill in the journal: its run, when it was scored, and the score."""

    run: str
    at: datetime
    score: DrillScored


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A component as far as its proof goes: what it is named, and what its playbook says.

    `playbook` and `gate` are file names in the project, `text` is the playbook's content.
    """

    name: str
    layer: str
    playbook: str
    gate: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Proof:
    """The last green drill that brought a component back, and what is different now."""

    component: str
    standing: Standing
    run: str = ""
    scenario: str = ""
    at: datetime | None = None
    until: datetime | None = None
    changed: tuple[str, ...] = ()


def proofs(
    subjects: Iterable[Subject],
    drills: Iterable[Scored],
    files: Mapping[str, str],
    *,
    valid: float,
    now: datetime,
) -> tuple[Proof, ...]:
    """The proof of each component.

    `drills` have the latest first, `files` is the hash of each file as it is now, by its name;
    `valid` is how many seconds a proof stands.
    """
    subjects = tuple(subjects)
    drills = tuple(drills)
    return tuple(
        _proof(subject, subjects, drills, files, until=timedelta(seconds=valid), now=now)
        for subject in subjects
    )


def _proof(  # noqa: PLR0913 -- each by name
    subject: Subject,
    subjects: tuple[Subject, ...],
    drills: tuple[Scored, ...],
    files: Mapping[str, str],
    *,
    until: timedelta,
    now: datetime,
) -> Proof:
    last = next((d for d in drills if not d.score.broke and subject.name in d.score.proves), None)
    if last is None:
        return Proof(component=subject.name, standing=Standing.NEVER)
    then = last.score.files
    own = {each.name: _own(each, {*then, *files}) for each in subjects}
    differ = (name for name in sorted({*then, *files}) if then.get(name) != files.get(name))
    changed = tuple(name for name in differ if _concerns(name, subject, own))
    over = last.at + until
    standing = Standing.CHANGED if changed else Standing.PROVEN
    return Proof(
        component=subject.name,
        standing=Standing.EXPIRED if now >= over and not changed else standing,
        run=last.run,
        scenario=last.score.drill.scenario,
        at=last.at,
        until=over,
        changed=changed,
    )


def _own(subject: Subject, files: Collection[str]) -> frozenset[str]:
    """Its playbook, its gate, and the roles that its playbook names."""
    words = set(re.findall(r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*", subject.text))
    roles = (name for name in files if name.startswith("playbooks/roles/"))
    of_roles = {name for name in roles if name.split("/")[2] in words}
    return frozenset({subject.playbook, subject.gate} | of_roles)


def _concerns(name: str, subject: Subject, own: Mapping[str, frozenset[str]]) -> bool:
    """Whether a file is of a component: what is of no other one alone is of all of its layer."""
    if name in own[subject.name]:
        return True
    if any(name in others for others in own.values()):
        return False
    parts = name.split("/")
    layered = parts[0] == "playbooks" and len(parts) > 2 and parts[1] != "roles"  # noqa: PLR2004 -- playbooks/LAYER/FILE
    return parts[1] == subject.layer if layered else True
