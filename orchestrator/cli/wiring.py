"""What a run is given, and the loop that every run is; a run that keeps no journal imports none."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.cli.ansible_options import given
from orchestrator.cli.person import person
from orchestrator.cli.runners import local_gates
from orchestrator.console import Console
from orchestrator.durations import Expected
from orchestrator.errors import InputError
from orchestrator.events import CheckFinished, Record, Selection
from orchestrator.gate import TestinfraGates
from orchestrator.inbox import Inbox
from orchestrator.inventory import Inventory, load_inventory, may_be_asked
from orchestrator.plan import DEFAULT_PARALLEL, Plan, make_plan
from orchestrator.project import find_project
from orchestrator.run import RunOptions
from orchestrator.scheduler_address import VARIABLE as CLUSTER
from orchestrator.site import load_site
from orchestrator.state import RunState, advance
from orchestrator.versions import versions
from orchestrator.work import AnsibleOptions

if TYPE_CHECKING:
    from orchestrator.journal import Journal


@dataclass(frozen=True, kw_only=True)
class Wired:
    """All that a run is given; `gates` is None where a cluster runs them."""

    plan: Plan
    hosts: Inventory
    gates: TestinfraGates | None
    options: RunOptions


@contextmanager
def wire(  # noqa: PLR0913 -- each by name
    name: str,
    ansible: AnsibleOptions,
    selection: Selection,
    *,
    max_parallel: int | None,
    run: str = "",
    expected: Mapping[str, Expected] | None = None,
) -> Iterator[Wired]:
    """Make all that a run is given. What its gates need is loaded while the plan is made.

    Raises:
        InputError: the site, its inventory or the selection is wrong; or an inventory would be
            asked for a cluster.
    """
    project = find_project(None)
    site = load_site(project, name)
    inventory = project / "inventories" / name / "hosts.yml"
    trusted = ansible.trust_inventory
    if trusted and os.environ.get(CLUSTER):
        raise InputError(
            f"--trust-inventory: workers ({CLUSTER}) are not made to ask an inventory",
            hint=f"Unset {CLUSTER}, or write the hosts themselves into hosts.yml.",
        )
    if not trusted and may_be_asked(inventory):
        load_inventory(inventory)  # refused here, before the gates' own reading asks it
    run = run or f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    with local_gates(run, ansible, project=project, inventory=inventory) as gates:
        hosts = load_inventory(inventory, trusted=trusted)
        plan = make_plan(project, site, hosts, **dict(selection), expected=expected)
        options = RunOptions(
            run=run,
            project=project,
            inventory=inventory,
            ansible=ansible,
            selection=selection,
            given=given(ansible),
            max_parallel=max_parallel or plan.site.max_parallel or DEFAULT_PARALLEL,
            by=person(),
            controller=socket.gethostname(),
            pid=os.getpid(),
            versions=versions(),
        )
        yield Wired(plan=plan, hosts=hosts, gates=gates, options=options)


def loop(  # noqa: PLR0913 -- each by name
    records: Generator[Record, None, None],
    console: Console,
    inbox: Inbox,
    *,
    state: RunState | None = None,
    journal: Journal | None = None,
    checks: list[CheckFinished] | None = None,
    also: Callable[[Record, RunState], object] | None = None,
) -> RunState:
    """The heart: each record on disk, then shown, and only then does the run go on.

    `also` is given each record with the state after it, and returns at once.

    `checks` is given every check, where somebody wants them all.
    """
    state = state or RunState()
    with closing(records):
        for record in records:
            if journal:
                journal.append(record)
                if journal.disk_full:
                    inbox.request_stop("the disk under the journal is full")
            if checks is not None and isinstance(record.event, CheckFinished):
                checks.append(record.event)
            state = advance(state, record)
            console.show(record, state)
            if also:
                also(record, state)
    return state
