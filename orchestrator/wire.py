"""What a controller and its workers say to each other: values, and how long a lease lasts.

An attempt on a worker is told by number and pulled by the controller, so nothing overtakes anything
and nothing is lost with a message:

    controller                                   worker
    submit(token) -- the cluster picks a worker -> take(token): announces itself, waits
    begin(parcel) ------------------------------> keeps it; Begun: ready, or what it lacks
    poll(ack 0) --------------------------------> the work starts; Reply 1: events so far
    poll(ack 1) --------------------------------> Reply 2: ... the last one has the result
    finish(token) ------------------------------> forgets the attempt

Nothing starts without a first poll, so a token that runs twice works once. A poll that acknowledges
a reply renews the worker's lease, counted from when the worker SENT that reply. So the controller
knows, whatever was delayed or lost on the way: LEASE after the last reply it received, the worker's
lease is over, and ENDING later none of its processes is left.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import metadata

from orchestrator.work import (
    AnsibleOptions,
    GateRequest,
    GateResult,
    PlaybookRequest,
    PlaybookResult,
    Progress,
)

LEASE = 15.0  # seconds; longer than a network takes to come to itself, shorter than patience
ENDING = 10.0  # seconds from the end of a lease until none of its processes is left
HOLD = 1.0  # seconds a poll waits for something to tell
ASK = 10.0  # seconds until a question counts as unanswered


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """One attempt as it is sent; `repr` shows nothing of it.

    Paths in `request` are relative to the project; `options` name files by the keys of `secrets`,
    whose contents the worker keeps in memory alone.
    """

    token: str
    run: str = field(repr=False)
    site: str = field(repr=False)
    digest: str = field(repr=False)
    versions: str = field(repr=False)
    request: PlaybookRequest | GateRequest = field(repr=False)
    options: AnsibleOptions = field(repr=False)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


class Readiness(StrEnum):
    """What a worker answers when it is given a parcel."""

    READY = "ready"
    WANTS_PROJECT = "wants_project"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # it has no such token, or no longer


@dataclass(frozen=True, kw_only=True)
class Begun:
    """The answer to `begin`; `said` is why it was refused."""

    readiness: Readiness
    worker: str = ""
    said: str = ""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The answer to `poll`: what came since; the last one has `result` or `error`.

    `log` is the playbook's log as the worker kept it; `error` is a bug's traceback.
    `cut_short`: it had been asked to stop, by its controller or on the worker itself.
    """

    number: int
    events: tuple[Progress, ...] = ()
    result: PlaybookResult | GateResult | None = None
    log: bytes = field(default=b"", repr=False)
    cut_short: bool = False
    error: str = ""


def site_tag(site: str) -> str:
    """The Dask resource that a worker of this site offers, one for each of its slots."""
    return f"site:{site}"


def versions() -> str:
    """What must be the same on both sides; also a Dask resource, so that only such are chosen.

    Values go between the two as pickles, and a gate's verdict must not depend on where it ran.
    Mitogen is none of it: only the worker itself has a use for it, and knows which it takes.
    """
    names = ("drcli", "ansible-core", "ansible-runner", "pytest", "pytest-testinfra")
    found = [f"{name} {metadata.version(name)}" for name in names]
    return ", ".join([*found, "Python {}.{}".format(*sys.version_info[:2])])
