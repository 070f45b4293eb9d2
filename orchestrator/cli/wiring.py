"""What a run is given, made of what a person typed; `verify` must not need a journal for it."""

from __future__ import annotations

import os
import secrets
import socket
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.cli.person import person
from orchestrator.errors import InputError, join_errors, noting
from orchestrator.inventory import Inventory, Passwords, load_inventory
from orchestrator.listing import plain_content
from orchestrator.plan import DEFAULT_PARALLEL, Plan, make_plan
from orchestrator.project import find_project, site_folder
from orchestrator.run import RunOptions
from orchestrator.site import Site, load_site
from orchestrator.work import AnsibleOptions


def wire(  # noqa: PLR0913 -- one for each option, by name
    name: str,
    *,
    lab: str | None,
    layers: tuple[str, ...],
    components: tuple[str, ...],
    limit: str = "",
    start: str = "",
    ansible: AnsibleOptions | None = None,
) -> tuple[Plan, RunOptions]:
    """The plan of a site or a part of it, and all else that a run of it is given.

    Where a lab is named, or where the site has one and says of no host how to reach it, the hosts
    are those of the lab.

    Raises:
        InputError: the site, its inventory or the selection is wrong.
        MachineError: it is to be the lab's, and the lab is not up.
    """
    project = find_project()
    ansible = ansible or AnsibleOptions()
    site, inventory = load(project, name, vault=ansible.vault)
    plan = make_plan(
        project,
        site,
        inventory,
        layers=layers,
        components=components,
        limit=limit,
        start=start,
    )
    hosts_file = inventory.paths[0]
    files: tuple[Path, ...] = (hosts_file,)
    lab_name = ""
    has_lab = (hosts_file.parent / "lab" / "lab.yml").is_file()
    if lab or (has_lab and not _says_how_to_reach(inventory)):
        from orchestrator.lab.instance import require_instance  # noqa: PLC0415 -- for a lab alone

        instance = require_instance(project, name, lab)
        files, lab_name = (hosts_file, instance.hosts_file), instance.name
    options = RunOptions(
        run=f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}",
        project=project,
        inventory=files,
        layers=layers,
        selected=components,
        limit=limit,
        start=start,
        lab=lab_name,
        check=ansible.check,
        max_parallel=site.max_parallel or DEFAULT_PARALLEL,
        by=person(),
        controller=socket.gethostname(),
        pid=os.getpid(),
    )
    return plan, options


def load(project: Path, name: str, *, vault: Passwords = ()) -> tuple[Site, Inventory]:
    """The site file and the site's hosts; what is wrong in both is told at once.

    Raises:
        InputError: one of them is wrong.
    """
    folder = site_folder(project, name)
    errors: list[InputError] = []
    with noting(errors):
        site = load_site(project, name)
    with noting(errors):
        inventory = load_inventory(folder / "hosts.yml", vault=vault)
        plain_content(inventory, sealed=True)  # what no gate can be given is told before a run
    if errors:
        raise join_errors(errors)
    return site, inventory


def _says_how_to_reach(inventory: Inventory) -> bool:
    """Of some host it says how: one alone is enough for a site that is real."""
    return any(
        inventory.variables(host).keys() & {"ansible_host", "ansible_connection"}
        for host in inventory.all_hosts
    )
