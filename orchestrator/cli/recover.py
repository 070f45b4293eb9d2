"""`drcli recover`: parse, wire, one loop, exit code."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from orchestrator import recovery
from orchestrator.cli.ansible_options import ansible_options, build_options
from orchestrator.cli.person import signals
from orchestrator.cli.shared_options import (
    from_option,
    json_option,
    lab_option,
    selection_options,
    state_dir_option,
    typed_place,
)
from orchestrator.cli.wiring import wire
from orchestrator.console import Console
from orchestrator.errors import InputError
from orchestrator.gate import TestinfraGates
from orchestrator.journal import open_journal
from orchestrator.plan import Plan
from orchestrator.playbook import AnsiblePlaybooks
from orchestrator.project import did_you_mean
from orchestrator.report import exit_code
from orchestrator.site_lock import site_lock
from orchestrator.state import RunState, advance
from orchestrator.state_directory import state_directory


@click.command()
@selection_options
@from_option
@click.option(
    "--approve", multiple=True, metavar="COMPONENT", help="Release a held component; repeatable."
)
@ansible_options
@lab_option
@state_dir_option
@json_option
def recover(  # noqa: PLR0913 -- one for each option
    *,
    site: str,
    layers: tuple[str, ...],
    components: tuple[str, ...],
    limit: str,
    start: str,
    approve: tuple[str, ...],
    lab: str | None,
    state_dir: Path | None,
    as_json_: bool,
    **given: Any,  # noqa: ANN401 -- those of ansible_options
) -> int:
    """Bring a site back, each component proven by its gate before what stands on it starts.

    What is healthy already is left alone. A failure blocks what stands on it and nothing else.
    Ctrl-C stops in good order; a second one kills what is still running.

    Example: drcli recover --site hosting-a
    """
    folder = state_directory(state_dir)
    ansible = build_options(site, **given)
    plan, options = wire(
        site,
        lab=lab,
        layers=layers,
        components=components,
        limit=limit,
        start=start,
        ansible=ansible,
    )
    options = replace(options, approved=_approved(plan, approve))
    state = RunState()
    with (
        site_lock(folder, site, run=options.run, since=datetime.now(UTC), by=options.by),
        open_journal(folder) as journal,
        signals(options.run) as inbox,
        Console(as_json=as_json_, place=typed_place(state_dir)) as console,
    ):
        for warning in plan.warnings:
            console.note(f"warning: {warning}")
        playbooks, gates = AnsiblePlaybooks(folder, ansible), TestinfraGates(ansible)
        events = recovery.recover(plan, playbooks, gates, options=options, inbox=inbox)
        with closing(events):
            for record in events:
                journal.append(record)  # on disk before the run goes on
                state = advance(state, record)
                console.show(record, state)
        console.finish(state)
    return exit_code(state)


def _approved(plan: Plan, names: tuple[str, ...]) -> frozenset[str]:
    known = [component.name for component in plan.components]
    for name in names:
        if name not in known:
            raise InputError(
                f"--approve {name!r}: no such component in this run{did_you_mean(name, known)}",
                hint=f"See them: drcli plan --site {plan.site.site}",
            )
    return frozenset(names)
