"""`drcli watch`: follows a run from the journal, on any terminal, while it goes on and after."""

from __future__ import annotations

import time
from pathlib import Path

import click

from orchestrator.cli.shared_options import json_option, state_dir_option
from orchestrator.cli.views import chosen_run, is_alive
from orchestrator.console import Console
from orchestrator.errors import InputError
from orchestrator.journal import read_journal
from orchestrator.report import exit_code
from orchestrator.state import RunState, advance
from orchestrator.state_directory import state_directory

PAUSE = 0.3  # seconds between two looks


@click.command()
@click.argument("run", required=False)
@click.option("--site", help="Without RUN: the last run of this site.")
@state_dir_option
@json_option
def watch(*, run: str | None, site: str | None, state_dir: Path | None, as_json_: bool) -> int:
    """Follow a run as its own terminal shows it, to its end; Ctrl-C ends watching, not the run.

    The exit code is the run's: 0 recovered, 1 not, 130 interrupted or killed.

    Example: drcli watch --site hosting-a
    """
    folder = state_directory(state_dir)
    state = RunState()
    with read_journal(folder) as journal:
        lines = journal.runs(site=site) if journal else ()
        if journal is None or not lines:
            of = f" of {site}" if site else ""
            begin = f"drcli recover --site {site or 'SITE'}"
            raise InputError(f"no run{of} yet", hint=f"Begin one: {begin}")
        chosen = chosen_run(lines, run)
        known = journal.state(chosen)  # whose run it is, before its first record was shown
        with Console(as_json=as_json_, may_hang=True) as console:
            while True:
                # Whether it lives is asked before its records: the last of them are not missed.
                alive = is_alive(folder, journal, state if state.started else known)
                for record in journal.records(chosen, after=state.last_seq):
                    state = advance(state, record)
                    console.show(record, state)
                if state.finished or not alive:
                    break
                time.sleep(PAUSE)
    console.finish(state)
    return exit_code(state)
