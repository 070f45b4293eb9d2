"""What past runs of a site say about how long its components take, and how often they fail. Pure.

Where `durations.py` keeps one typical figure, this keeps each: a range is made of how they differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orchestrator.events import (
    ComponentFailed,
    ComponentVerified,
    GateFinished,
    GatePurpose,
    PlaybookStarted,
    Record,
    RunFinished,
    RunOutcome,
    RunResumed,
    RunStarted,
)

ENOUGH = 3  # real recoveries of a component: a lab is another machine, and says less
READ = (  # the kinds of events that this reads
    "run_started",
    "run_resumed",
    "gate_finished",
    "playbook_started",
    "component_verified",
    "component_failed",
    "run_finished",
)


@dataclass(frozen=True, kw_only=True)
class Recovered:
    """One recovery of a component: `seconds` of its look, last playbook and gate with all waits.

    `retry` are the seconds from its first playbook to its last: failed attempts, and the people
    that were waited for between them.
    """

    component: str
    hosts: int
    seconds: float
    retry: float = 0.0
    drill: bool = False


@dataclass(frozen=True, kw_only=True)
class PastRun:
    """One recovery of a site; `seconds` only when it came to its end recovered, and in one go.

    What was recovered in a drill on a lab is marked as such.
    """

    run: str
    seconds: float | None
    recovered: tuple[Recovered, ...]
    failed: tuple[str, ...]


def past_run(records: Iterable[Record]) -> PastRun | None:
    """What a run says of the next; None of a rehearsal, or of gates alone."""
    run, seconds, resumed, of_lab = "", None, False, False
    hosts: dict[str, int] = {}
    looked: dict[str, float] = {}
    first: dict[str, float] = {}
    last: dict[str, float] = {}
    recovered, failed = [], []
    for record in records:
        match record.event:
            case RunStarted(dry_run=dry_run, gates_only=gates_only, components=components) as told:
                if dry_run or gates_only:
                    return None
                of_lab = told.drill is not None and told.drill.on_lab
                run = record.run
                hosts = {c.name: len(c.hosts) for c in components}
            case RunResumed():
                resumed = True
                first, last = {}, {}  # what was under way then has no end to be measured by
            case GateFinished(component=name, purpose=GatePurpose.OBSERVE, seconds=took):
                looked[name] = took
            case PlaybookStarted(component=name):
                first.setdefault(name, record.elapsed)
                last[name] = record.elapsed
            case ComponentVerified(component=name) if name in last:
                begun = last.pop(name)
                again = Recovered(
                    component=name,
                    hosts=hosts.get(name, 0),
                    seconds=looked.get(name, 0.0) + record.elapsed - begun,
                    retry=begun - first.pop(name),
                    drill=of_lab,
                )
                recovered.append(again)
            case ComponentFailed(component=name):
                failed.append(name)
            case RunFinished(outcome=RunOutcome.RECOVERED, seconds=took) if not resumed:
                seconds = took
            case _:
                pass
    return PastRun(run=run, seconds=seconds, recovered=tuple(recovered), failed=tuple(failed))


@dataclass(frozen=True, kw_only=True)
class Basis:
    """What is known of one component: `seconds` each, latest first; `retries` of those that needed.

    `other_hosts`: all of it was seen on another number of hosts. `failed` counts its failures,
    `drills` how many of `seconds` come from drills on a lab.
    """

    seconds: tuple[float, ...]
    retries: tuple[float, ...] = ()
    failed: int = 0
    other_hosts: bool = False
    drills: int = 0

    @property
    def longest(self) -> float:
        """The longest ever seen."""
        return max(self.seconds)


def basis_of(runs: Iterable[PastRun], hosts: dict[str, int] | None = None) -> dict[str, Basis]:
    """What past runs, the latest first, say of each component: on as many `hosts`, where seen so.

    Once enough real recoveries of a component are known, those of drills on a lab count no more.
    A component that none of them brought back has no basis, and does not stand in the answer.
    """
    runs = tuple(runs)
    known: dict[str, list[Recovered]] = {}
    for recovered in (each for run in runs for each in run.recovered):
        known.setdefault(recovered.component, []).append(recovered)
    found = {}
    for name, several in known.items():
        wanted = (hosts or {}).get(name)
        alike = [each for each in several if wanted in {None, each.hosts}]
        chosen = alike or several
        real = [each for each in chosen if not each.drill]
        chosen = real if len(real) >= ENOUGH else chosen
        found[name] = Basis(
            seconds=tuple(each.seconds for each in chosen),
            retries=tuple(each.retry for each in chosen if each.retry > 0),
            failed=sum(run.failed.count(name) for run in runs),
            other_hosts=not alike,
            drills=sum(each.drill for each in chosen),
        )
    return found
