"""Preflight: what will stop a recovery before it starts. Gathers facts, and judges them.

Nothing of the project is run here. Hosts are looked at side by side, within a short time, while the
files are read; a host that does not answer is no reason not to start.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from orchestrator.bootstrap import (
    Owners,
    asked_findings,
    name_findings,
    needs_dns,
    passage_findings,
    reliance_findings,
)
from orchestrator.controller import Controller, local_names, local_user, reliances
from orchestrator.errors import InputError
from orchestrator.finding import NAMES, Finding, Severity
from orchestrator.gate_sources import gate_findings
from orchestrator.inventory import Inventory
from orchestrator.machine_findings import disk_findings, version_findings
from orchestrator.plan import Plan
from orchestrator.playbook_sources import Sources, vault_findings
from orchestrator.project import project_settings
from orchestrator.reach import Reach, is_address, reach_of
from orchestrator.ssh_findings import host_findings, key_findings, passages
from orchestrator.ssh_look import LIMIT, Look, look_at

_ORDER = {name: place for place, name in enumerate(NAMES)}


def preflight(  # noqa: PLR0913 -- each by name
    plan: Plan,
    inventory: Inventory,
    controller: Controller,
    *,
    private_key: Path | None = None,
    ssh_config: Path | None = None,
    limit: float = LIMIT,
) -> tuple[Finding, ...]:
    """What stands against recovering this plan from this controller, what blocks first.

    `private_key` is that of the command line, `ssh_config` takes the place of the user's, `limit`
    are the seconds that hosts are given to answer, all of them together.
    """
    found: list[Finding] = []
    reaches = list(_reaches(plan, inventory, controller, private_key, found))
    with ThreadPoolExecutor(1, thread_name_prefix="drcli-preflight") as thread:
        # With workers it is they who reach the hosts, with keys of their own.
        reached = [] if controller.environ.get("DRCLI_CLUSTER") else reaches
        looking = thread.submit(look_at, reached, limit=limit, config=ssh_config)
        found += gate_findings(controller.project, plan.components)
        found += Sources(controller.project, inventory, plan.components).findings()
        found += vault_findings(controller, plan.site.site)
        found += disk_findings(controller.state)
        found += version_findings()
        looks = looking.result()
    found += asked_findings(inventory.asked, inventory.path)
    found += _ways(plan, controller, reaches, looks)
    found += key_findings(reached, looks)
    found += host_findings(looks)
    return tuple(sorted(dict.fromkeys(found), key=_rank))


def _rank(finding: Finding) -> tuple[bool, int, str]:
    return finding.severity is Severity.WARNS, _ORDER[finding.name], finding.where


def _reaches(
    plan: Plan,
    inventory: Inventory,
    controller: Controller,
    private_key: Path | None,
    found: list[Finding],
) -> Iterator[Reach]:
    """How each host of the plan is reached; what cannot be known of it is put into `found`."""
    settings = project_settings(controller.project / "ansible.cfg")
    for host in dict.fromkeys(host for component in plan.components for host in component.hosts):
        try:
            reach = reach_of(
                host,
                inventory.readable(host),
                itself=inventory.itself(host),
                settings=settings,
                private_key=private_key,
            )
        except InputError as error:
            mend = error.hint or "correct it"
            found.append(_unknown(host, error.message, mend, Severity.BLOCKS))
            continue
        if reach.over_ssh and reach.address is None:
            what = "its address is a template that only a run of Ansible evaluates"
            found.append(_unknown(host, what, "write `ansible_host: ADDRESS`", Severity.WARNS))
        if reach.over_ssh and reach.refused:
            what = f"`{reach.refused}` may run a command here: it was not spoken to"
            mend = "put such settings into your own ssh_config"
            found.append(_unknown(host, what, mend, Severity.WARNS))
        yield reach


def _unknown(host: str, what: str, mend: str, severity: Severity) -> Finding:
    return Finding(name="inventory", severity=severity, where=host, what=what, mend=mend)


def _ways(
    plan: Plan, controller: Controller, reaches: list[Reach], looks: tuple[Look, ...]
) -> Iterator[Finding]:
    """Bootstrap loops, with what ssh's configuration says of where hosts are."""
    names = local_names(controller)
    settings = {look.host: look.settings for look in looks}
    for reach in reaches:
        # ssh_config may give a name an address of its own.
        said = settings.get(reach.host, {}).get("hostname", ())
        if reach.address and said and is_address(said[0]) and not is_address(reach.address):
            names.setdefault(reach.address.lower(), said[0])
    owners = Owners(plan, reaches, names)
    relied = reliances(controller)
    unresolved = any(
        reach.over_ssh and reach.address and needs_dns(reach.address, names) for reach in reaches
    )
    yield from reliance_findings(
        relied, owners, needs_names=unresolved, local_user=local_user(controller)
    )
    try:
        routes = (controller.proc / "net/route").read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        routes = ""
    yield from passage_findings(passages(reaches, looks, routes), owners, plan)
    yield from name_findings(reaches, names, relied, owners)
