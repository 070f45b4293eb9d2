"""A plan on paper: who stands on what, and what to type by hand when nothing else works. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from orchestrator.durations import Expected
from orchestrator.plan import Component, Plan
from orchestrator.reach import Reach
from orchestrator.report import clean
from orchestrator.schedule import Outlook


@dataclass(frozen=True, kw_only=True)
class PaperHost:
    """A host, its address out of band, and the command that gets there; empty where not known."""

    host: str
    address: str
    command: str


@dataclass(frozen=True, kw_only=True)
class PaperStep:
    """A component on paper; `step` is its place in the order, `seconds` None without a basis."""

    step: int
    component: str
    layer: str
    hosts: tuple[PaperHost, ...]
    needs: tuple[str, ...]
    stands_on: tuple[str, ...]
    carries: tuple[str, ...]
    playbook: str
    gate: str
    minimum_checks: int
    quorum: int | None
    approval: str
    seconds: float | None
    critical: bool
    look_command: str
    recover_command: str


@dataclass(frozen=True, kw_only=True)
class Runbook:
    """A site's plan on paper. Seconds are None where nothing was recovered before."""

    site: str
    order: str
    rto: float | None
    layers: Mapping[str, float | None]
    steps: tuple[PaperStep, ...]
    stages: tuple[tuple[str, ...], ...]
    critical_path: tuple[str, ...]
    seconds: float | None
    hash: str
    warnings: tuple[str, ...]
    made_at: datetime


def runbook(  # noqa: PLR0913 -- each by name
    plan: Plan,
    *,
    project: Path,
    inventory: Path,
    reaches: Mapping[str, Reach],
    expected: Mapping[str, Expected],
    outlook: Outlook,
    at: datetime,
) -> Runbook:
    """The plan as it is printed; hosts that are not in `reaches` have no address there."""
    step = {name: number for number, names in enumerate(plan.stages, 1) for name in names}
    place = inventory.relative_to(project).as_posix()
    site = plan.site
    return Runbook(
        site=site.site,
        order=site.order,
        rto=site.rto.total_seconds() if site.rto else None,
        layers={
            layer.name: layer.rto.total_seconds() if layer.rto else None for layer in site.layers
        },
        steps=tuple(
            _step(
                component,
                plan,
                step=step[component.name],
                hosts=tuple(_host(host, reaches.get(host)) for host in component.hosts),
                commands=_by_hand(component, project, place),
                project=project,
                expected=expected.get(component.name),
            )
            for component in plan.components
        ),
        stages=plan.stages,
        critical_path=plan.critical_path,
        seconds=outlook.seconds if any(c.name in expected for c in plan.components) else None,
        hash=plan.hash,
        warnings=plan.warnings,
        made_at=at,
    )


def _step(  # noqa: PLR0913 -- each by name
    component: Component,
    plan: Plan,
    *,
    step: int,
    hosts: tuple[PaperHost, ...],
    commands: tuple[str, str],
    project: Path,
    expected: Expected | None,
) -> PaperStep:
    look, recover = commands
    return PaperStep(
        step=step,
        component=component.name,
        layer=component.layer,
        hosts=hosts,
        needs=component.needs,
        stands_on=plan.graph[component.name],
        carries=tuple(name for name, below in plan.graph.items() if component.name in below),
        playbook=component.playbook.relative_to(project).as_posix(),
        gate=component.gate.relative_to(project).as_posix(),
        minimum_checks=component.minimum_checks,
        quorum=component.quorum,
        approval=clean(component.approval or ""),
        seconds=expected.seconds if expected else None,
        critical=component.name in plan.critical_path,
        look_command=look,
        recover_command=recover,
    )


def _by_hand(component: Component, project: Path, inventory: str) -> tuple[str, str]:
    """The gate and the playbook without drcli, typed in the project's folder."""
    hosts = ",".join(f"ansible://{host}" for host in component.hosts)
    gate = component.gate.relative_to(project).as_posix()
    playbook = component.playbook.relative_to(project).as_posix()
    look = ["pytest", f"--hosts={hosts}", f"--ansible-inventory={inventory}", gate]
    recover = ["ansible-playbook", "-i", inventory, "-l", ",".join(component.hosts), playbook]
    return shlex.join(look), shlex.join(recover)


def _host(host: str, reach: Reach | None) -> PaperHost:
    if reach is None or reach.address is None:
        return PaperHost(host=host, address="", command="")
    words = ["ssh"]
    words += ["-p", reach.port] if reach.port else []
    words += ["-l", reach.user] if reach.user else []
    words += ["-i", str(reach.key)] if reach.key else []
    command = shlex.join([*words, *reach.arguments, reach.address])
    usable = reach.over_ssh and not reach.refused
    return PaperHost(
        host=host, address=clean(reach.address), command=clean(command) if usable else ""
    )
