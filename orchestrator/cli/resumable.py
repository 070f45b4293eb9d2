"""Which run can go on, and what it must be given: of `drcli resume` and `drcli recover`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from orchestrator.attempt import end_processes, processes_of
from orchestrator.cli.ansible_options import given
from orchestrator.errors import InputError, JournalError, LockedError, MachineError
from orchestrator.events import Selection
from orchestrator.journal import Journal, read_journal
from orchestrator.plan import Plan
from orchestrator.report import state_line
from orchestrator.site_lock import lock_holder
from orchestrator.state import RunState
from orchestrator.work import AnsibleOptions


def killed_run(folder: Path, site: str, *, take_over: bool) -> RunState | None:
    """The last run of a site where it has no end and no living process; dry runs do not count.

    `take_over`: a process on another machine counts as gone.
    """
    if lock_holder(folder, site) is not None:
        return None  # the lock says who is at work
    with read_journal(folder) as journal:
        if journal is None or (not take_over and journal.holder(site) is not None):
            return None
        state = _last(journal, site)
    if state is None or state.finished or (state.started and state.started.drill):
        return None  # a drill that was killed is nobody's emergency
    return state


def last_to_resume(folder: Path, site: str) -> RunState:
    """The last run of a site, which was killed or interrupted.

    Raises:
        InputError: there is none, or it came to its end.
    """
    begin = f"drcli recover --site {site}"
    with read_journal(folder) as journal:
        state = _last(journal, site) if journal else None
    if state is None:
        raise InputError(f"no run of {site} to go on with", hint=f"Begin one: {begin}")
    if not state.resumable:
        raise InputError(
            f"run {state.run} came to its end: {state_line(state, alive=False)}",
            hint=f"Begin a new one: {begin}",
        )
    return state


def agreed(killed: RunState, selection: Selection, *, as_json: bool) -> bool:
    """Ask whether the killed run shall go on; without a terminal nobody can be asked."""
    assert killed.started is not None  # noqa: S101 -- see `_last`
    if (
        selection != killed.started.selection
        or as_json
        or not (sys.stdin.isatty() and sys.stderr.isatty())
    ):
        return False
    question = f"{state_line(killed, alive=False)} (run {killed.run}). Go on with it?"
    return click.confirm(question, default=True, err=True)


def cut_short(killed: RunState) -> InputError:
    """Why no new run begins by itself over one that was killed."""
    return InputError(
        f"run {killed.run} was killed: {state_line(killed, alive=False)}",
        hint=f"Go on with it: drcli resume --site {killed.site}; or leave it as it is and begin "
        f"anew: drcli recover --site {killed.site} --new",
    )


def require_same_given(state: RunState, options: AnsibleOptions) -> None:
    """Refuse to go on with other extra variables, passwords or keys than the run was begun with.

    Raises:
        InputError: they differ, by their names; values are not kept.
    """
    assert state.started is not None  # noqa: S101 -- it was begun
    before, now = set(state.started.given), set(given(options))
    if before != now:
        words = [f"without {name}" for name in sorted(now - before)]
        words += [f"with {name}" for name in sorted(before - now)]
        raise InputError(
            f"run {state.run} was begun {', '.join(words)}",
            hint="Give it the same again: what may be secret is not kept.",
        )


def require_same_plan(state: RunState, plan: Plan) -> None:
    """Refuse to go on by other files than those the run was begun with.

    Raises:
        InputError: they differ.
    """
    if plan.hash != state.plan_hash:
        raise InputError(
            f"what recovers {state.site} has changed since run {state.run} was last at work: "
            f"its plan was {state.plan_hash[:12]}, and is {plan.hash[:12]}",
            hint=f"Put the files back, or go on by them: drcli resume --site {state.site} --replan",
        )


def require_unchanged(journal: Journal, state: RunState) -> None:
    """Refuse, holding the site's lock, when the run is not what was written, or has gone on.

    Raises:
        LockedError: another process has gone on with it meanwhile.
        JournalError: its records were changed, or the disk has changed them.
    """
    if fault := journal.check(state.run).fault:
        raise JournalError(
            f"the records of run {state.run} are not what drcli has written: {fault}",
            hint=f"Leave it as it is and begin anew: drcli recover --site {state.site} --new",
        )
    last = _last(journal, state.site)
    if last is None or (last.run, last.last_seq) != (state.run, state.last_seq):
        raise LockedError(
            f"another process has worked on {state.site} meanwhile",
            hint=f"See where it stands: drcli status --site {state.site}",
        )


def end_orphans(journal: Journal, site: str, *, tell: Callable[[str], None]) -> None:
    """End what a killed run of the site has left running: two playbooks must not meet at a host.

    We hold the site's lock, so no run of it lives.

    Raises:
        MachineError: they do not end.
    """
    for run in journal.unfinished_runs(site):
        left = processes_of(f"{run}/")
        if left:
            tell(f"run {run} was killed; ending what it left: {len(left)} processes")
            trouble = end_processes(f"{run}/")
            if trouble:
                raise MachineError(
                    f"a killed run has left processes: {'; '.join(trouble)}",
                    hint="End them before another run: two playbooks must not meet at a host.",
                )


def _last(journal: Journal, site: str) -> RunState | None:
    for line in reversed(journal.runs(site=site)):
        state = journal.state(line.run)
        if state.started is not None and not state.dry_run:
            return state
    return None
