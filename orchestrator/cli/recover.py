"""`drcli recover` and `resume`: parse, wire, one loop, exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from orchestrator import recovery
from orchestrator.artifacts import prune_artifacts
from orchestrator.cli.ansible_options import (
    ansible_options,
    build_options,
    check_option,
)
from orchestrator.cli.giving_way import end_drill, read_drill
from orchestrator.cli.person import signals
from orchestrator.cli.plan import expected_durations
from orchestrator.cli.preflight import Ignoring, first_look, ignore_options
from orchestrator.cli.resumable import (
    agreed,
    cut_short,
    end_orphans,
    killed_run,
    last_to_resume,
    require_same_given,
    require_same_plan,
    require_unchanged,
)
from orchestrator.cli.runners import runners
from orchestrator.cli.shared_options import (
    json_option,
    max_parallel_option,
    selection_options,
    state_dir_option,
)
from orchestrator.cli.views import head_line
from orchestrator.cli.wiring import loop, wire
from orchestrator.console import Console
from orchestrator.drills import Drill
from orchestrator.errors import InputError, JournalError
from orchestrator.events import Selection
from orchestrator.forecast_words import forecast_against
from orchestrator.foretell import Forecaster
from orchestrator.journal import Journal, open_journal
from orchestrator.listener import listening
from orchestrator.mitogen_way import fast_way
from orchestrator.notices import Notifier, rules_of, send_through_apprise
from orchestrator.past import basis_of
from orchestrator.plan import Plan
from orchestrator.report import exit_code
from orchestrator.run import RunOptions
from orchestrator.site_lease import site_lease
from orchestrator.site_lock import site_lock
from orchestrator.state import RunState
from orchestrator.state_directory import state_directory
from orchestrator.work import AnsibleOptions

_approve = click.option(
    "--approve", multiple=True, metavar="COMPONENT", help="Release a held component."
)
_wait = click.option(
    "--wait/--no-wait",
    default=None,
    help="Stay when all else is done and a component asks for approval. [default: on a terminal]",
)
_as_drill = click.option("--as-drill", metavar="KIND:SCENARIO", hidden=True)
_take_over = click.option(
    "--take-over", is_flag=True, help="Take the site from a silent controller known to be off."
)


@click.command()
@selection_options
@max_parallel_option
@click.option("--from", "start_from", help="Only this component or layer and what comes after.")
@ansible_options
@check_option
@ignore_options
@_approve
@_wait
@click.option("--new", is_flag=True, help="Begin anew where a killed run could go on.")
@_as_drill
@_take_over
@state_dir_option
@json_option
def recover(  # noqa: PLR0913 -- one for each option
    *,
    site: str,
    limit: str | None,
    layers: tuple[str, ...],
    components: tuple[str, ...],
    start_from: str | None,
    max_parallel: int | None,
    approve: tuple[str, ...],
    ignoring: Ignoring,
    wait: bool | None,
    new: bool,
    as_drill: str | None = None,
    take_over: bool,
    state_dir: Path | None,
    as_json_: bool,
    **ansible: Any,  # noqa: ANN401 -- the options of ansible_options.py
) -> int:
    """Bring a site back, each component proven by its gate before what stands on it starts.

    What is healthy already is left alone. A failure blocks what stands on it and nothing else.
    A drill that is under way gives way. Ctrl-C stops in good order; a second one kills what is
    still running. Where the last run was killed, that one goes on (you are asked first), unless you
    want a new one.

    Example: drcli recover --site hosting-a
    """
    folder = state_directory(state_dir)
    options = build_options(**ansible)
    selection = Selection(limit=limit, layers=layers, components=components, start_from=start_from)
    killed = None if new or options.check else killed_run(folder, site, take_over=take_over)
    if killed is not None:
        if not agreed(killed, selection, as_json=as_json_):
            raise cut_short(killed)
        require_same_given(killed, options)
    return _bring_back(
        site,
        options,
        selection,
        state=killed or RunState(),
        max_parallel=max_parallel,
        approve=approve,
        ignoring=ignoring,
        wait=wait,
        take_over=take_over,
        folder=folder,
        as_json=as_json_,
        drill=read_drill(as_drill),
    )


@click.command()
@click.option("--site", required=True, help="The site, a folder of inventories/.")
@max_parallel_option
@ansible_options
@ignore_options
@_approve
@_wait
@click.option("--replan", is_flag=True, help="Go on though the site's files are others now.")
@_take_over
@state_dir_option
@json_option
def resume(  # noqa: PLR0913 -- one for each option
    *,
    site: str,
    max_parallel: int | None,
    approve: tuple[str, ...],
    ignoring: Ignoring,
    wait: bool | None,
    replan: bool,
    take_over: bool,
    state_dir: Path | None,
    as_json_: bool,
    **ansible: Any,  # noqa: ANN401 -- the options of ansible_options.py
) -> int:
    """Go on with the last run of a site that was killed or interrupted.

    Every component is looked at again: what is up is left alone, what was under way counts as
    unknown. Extra variables, passwords and keys are not kept: give them again.

    Example: drcli resume --site hosting-a
    """
    folder = state_directory(state_dir)
    options = build_options(**ansible)
    state = last_to_resume(folder, site)
    assert state.started is not None  # noqa: S101 -- it was begun
    require_same_given(state, options)
    return _bring_back(
        site,
        options,
        state.started.selection,
        state=state,
        max_parallel=max_parallel,
        approve=approve,
        ignoring=ignoring,
        wait=wait,
        replan=replan,
        take_over=take_over,
        folder=folder,
        as_json=as_json_,
    )


def _bring_back(  # noqa: PLR0913 -- all that two commands have in common
    site: str,
    ansible: AnsibleOptions,
    selection: Selection,
    *,
    state: RunState,
    max_parallel: int | None,
    approve: tuple[str, ...],
    ignoring: Ignoring,
    wait: bool | None,
    folder: Path,
    as_json: bool,
    take_over: bool,
    replan: bool = False,
    drill: Drill | None = None,
) -> int:
    with wire(
        site,
        ansible,
        selection,
        run=state.run,
        max_parallel=max_parallel,
        expected=expected_durations(folder, site),
    ) as wired:
        if state.started is not None and not replan:
            require_same_plan(state, wired.plan)
        approved = _approved(wired.plan, approve) | state.approved
        ignored = first_look(
            wired.plan, wired.hosts, ansible, ignoring, state_dir=folder, by=wired.options.by
        )
        if wait is None:
            wait = sys.stdin.isatty() and sys.stderr.isatty()
        options = replace(wired.options, approved=approved, ignored=ignored, wait=wait, drill=drill)
        if drill is None and not ansible.check:
            end_drill(folder, site, by=options.by)
        whose: Any = {"run": options.run, "since": datetime.now(UTC), "by": options.by}
        with (
            site_lock(folder, site, **whose),
            open_journal(folder) as journal,
            signals(options.run, outlives_terminal=True) as inbox,
            Console(as_json=as_json, may_hang=True) as console,
            site_lease(
                journal,
                site,
                **whose,
                lost=inbox.request_stop,
                tell=console.note,
                take_over=take_over,
            ),
            runners(site, options, state_dir=folder, local=wired.gates) as (playbooks, gates),
        ):
            if state.started is not None:
                require_unchanged(journal, state)
            for warning in wired.plan.warnings:
                console.note(f"warning: {warning}")
            slow = fast_way(wired.options.project / "ansible.cfg").why_not
            if slow and wired.gates is not None:  # each worker of a cluster says it for itself
                console.note(slow)
            end_orphans(journal, site, tell=console.note)
            begun = [line.run for line in journal.runs()]
            prune_artifacts(folder, runs=begun, spare=options.run)
            assert playbooks is not None  # noqa: S101 -- there is a state_dir
            if not ansible.check:
                forecaster = _forecaster(wired.plan, journal, options, tell=console.note)
                options = replace(options, foretell=forecaster)
            records = recovery.recover(
                wired.plan, state, playbooks, gates, options=options, inbox=inbox
            )
            rules = rules_of(wired.plan.site, environ=os.environ, tell=console.note)
            with (
                Notifier(
                    () if ansible.check else rules, send=send_through_apprise, tell=console.note
                ) as notifier,
                listening(
                    inbox,
                    lambda last: journal.asked(options.run, after=last),
                    after=state.decided.last_request,
                ),
            ):
                state = loop(
                    records, console, inbox, state=state, journal=journal, also=notifier.show
                )
            if against := forecast_against(state):
                console.note(against)
            console.note(head_line(journal, state.run))
    console.finish(state)
    if journal.disk_full:
        raise JournalError(
            f"the disk under {folder} is full: the run was stopped",
            hint=f"Free space, then: drcli resume --site {site}",
        )
    return exit_code(state)


def _forecaster(
    plan: Plan, journal: Journal, options: RunOptions, *, tell: Callable[[str], object]
) -> Forecaster | None:
    """What says when the run will be over, by the runs before it; None where none can be read."""
    try:
        runs = tuple(past for past in journal.past_runs(plan.site.site) if past.run != options.run)
    except JournalError as error:
        tell(f"no forecast: {error.message}")
        return None
    basis = basis_of(runs, {c.name: len(c.hosts) for c in plan.components})
    most = options.max_parallel
    return Forecaster(plan, basis, max_parallel=most, runs=len(runs), tell=tell)


def _approved(plan: Plan, names: tuple[str, ...]) -> frozenset[str]:
    known = {component.name: component for component in plan.components}
    for name in names:
        if name not in known:
            raise InputError(
                f"--approve {name}: no such component in this run",
                hint=f"Its components: {', '.join(known)}",
            )
        if known[name].by_another:
            raise InputError(
                f"--approve {name}: whoever starts the run may not approve it",
                hint=f"Start with --wait; then another person: drcli approve {name}",
            )
    return frozenset(names)
