"""`drcli preflight`, and its first look before a recovery: what would stop it, with its mend."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.cli.ansible_options import access_options, build_options
from orchestrator.cli.proof import proofs_of, stale_words
from orchestrator.cli.shared_options import json_option, selection_options, state_dir_option
from orchestrator.console import Console
from orchestrator.controller import Controller
from orchestrator.errors import InputError, JournalError, RecoveryError
from orchestrator.events import FindingIgnored
from orchestrator.finding import NAMES, Finding, Severity
from orchestrator.inventory import Inventory, load_inventory
from orchestrator.journal import read_journal
from orchestrator.plan import Plan, make_plan
from orchestrator.preflight import preflight as look
from orchestrator.project import find_project
from orchestrator.site import load_site
from orchestrator.state_directory import state_directory
from orchestrator.work import AnsibleOptions

Command = TypeVar("Command", bound=Callable[..., object])

_LONGEST_REASON = 500  # characters


@dataclass(frozen=True, kw_only=True)
class Ignoring:
    """The findings a person overrides, by name, and why."""

    names: tuple[str, ...] = ()
    because: str = ""


def ignore_options(command: Command) -> Command:
    """Add --ignore and --because; they reach the command as `ignoring`."""

    @wraps(command)
    def with_ignoring(*, ignore: tuple[str, ...], because: str | None, **given: Any) -> object:  # noqa: ANN401 -- the other options
        because = " ".join((because or "").split())
        if bool(ignore) != bool(because):
            missing, given_one = ("--because", "--ignore") if ignore else ("--ignore", "--because")
            raise InputError(
                f"{given_one} without {missing}",
                hint="Say which finding, and why: the journal keeps both.",
            )
        if len(because) > _LONGEST_REASON:
            raise InputError(f"--because: longer than {_LONGEST_REASON} characters")
        return command(ignoring=Ignoring(names=ignore, because=because), **given)

    for option in (
        click.option("--because", metavar="TEXT", help="Why: the journal keeps it."),
        click.option(
            "--ignore", multiple=True, metavar="NAME", type=click.Choice(tuple(NAMES)),
            help="Start though preflight found this, by its name; repeatable.",
        ),
    ):  # fmt: skip
        with_ignoring = option(with_ignoring)
    return with_ignoring  # type: ignore[return-value]  # it takes what the command takes


@click.command()
@selection_options
@click.option("--from", "start_from", help="Only this component or layer and what comes after.")
@access_options
@state_dir_option
@json_option
def preflight(  # noqa: PLR0913 -- one for each option
    *,
    site: str,
    limit: str | None,
    layers: tuple[str, ...],
    components: tuple[str, ...],
    start_from: str | None,
    state_dir: Path | None,
    as_json_: bool,
    **access: Any,  # noqa: ANN401 -- the options of ansible_options.py
) -> int:
    """Say what would stop a recovery before it starts, each with its mend. Exit code 1 if it would.

    Runs nothing of the project (an inventory that you trust apart) and changes nothing. Hosts that
    answer are asked for their clock; a host that does not answer is no reason not to start.

    Example: drcli preflight --site hosting-a
    """
    project = find_project(None)
    loaded = load_site(project, site)
    options = build_options(**access)
    hosts = project / "inventories" / site / "hosts.yml"
    inventory = load_inventory(hosts, trusted=options.trust_inventory)
    plan = make_plan(
        project,
        loaded,
        inventory,
        limit=limit,
        layers=layers,
        components=components,
        start_from=start_from,
    )
    found = [*_look(plan, inventory, options, state_directory(state_dir))]
    found += [_unchecked(warning) for warning in plan.warnings]
    blocking = [finding for finding in found if finding.severity is Severity.BLOCKS]
    console = Console(as_json=as_json_)
    if as_json_:
        console.json(
            {"site": site, "blocks": bool(blocking), "findings": [asdict(f) for f in found]}
        )
        return int(bool(blocking))
    for finding in found:
        console.line(str(finding), style="bold red" if finding in blocking else "")
    others = len(found) - len(blocking)
    console.line(
        f"{site}: {_count(len(blocking))}, {others} to know of. "
        f"Next: {_next(site, blocking, options)}"
    )
    return int(bool(blocking))


def first_look(  # noqa: PLR0913 -- each by name
    plan: Plan,
    inventory: Inventory,
    options: AnsibleOptions,
    ignoring: Ignoring,
    *,
    state_dir: Path,
    by: str,
) -> tuple[FindingIgnored, ...]:
    """Preflight as a recovery begins: shown, and what a person ignores by name, for the journal.

    Raises:
        RecoveryError: something blocks that is not ignored.
    """
    found = _look(plan, inventory, options, state_dir)
    console = Console()
    ignored = [finding for finding in found if finding.name in ignoring.names]
    for finding in found:
        if finding not in ignored:
            console.note(f"preflight {finding}")
    for name in ignoring.names:
        if name not in {finding.name for finding in ignored}:
            console.note(f"--ignore {name}: there is no such finding any more")
    left = [f for f in found if f.severity is Severity.BLOCKS and f not in ignored]
    if left:
        raise RecoveryError(
            f"{plan.site.site} is not recovered: {_count(len(left))}, each with its mend above",
            hint=f"Mend it, or start all the same: --ignore {left[0].name} --because 'why'",
        )
    return tuple(
        FindingIgnored(name=f.name, where=f.where, what=f.what, because=ignoring.because, by=by)
        for f in ignored
    )


def _look(
    plan: Plan, inventory: Inventory, options: AnsibleOptions, state_dir: Path
) -> tuple[Finding, ...]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no entry anywhere for this user: of a directory that is down
        user = str(os.getuid())
    sources = [str(options.vault_password_file)] if options.vault_password_file else []
    controller = Controller(
        project=inventory.path.parents[2],
        state=state_dir,
        user=user,
        vault_sources=(*options.vault_ids, *sources),
        asked=(inventory.path,) if inventory.asked else (),
    )
    found = look(plan, inventory, controller, private_key=options.private_key)
    return (*found, *_stale_proof(plan, controller.project, state_dir))


def _stale_proof(plan: Plan, project: Path, state_dir: Path) -> tuple[Finding, ...]:
    """A stale proof is shown, and stands in nobody's way; nor does a journal that is unreadable."""
    try:
        with read_journal(state_dir) as journal:
            words = stale_words(proofs_of(plan, project, journal))
    except (InputError, JournalError):
        return ()
    if not words:
        return ()
    mend = f"later: drcli proof --site {plan.site.site}"
    return (Finding(name="proof", severity=Severity.WARNS, where="drills", what=words, mend=mend),)


def _unchecked(warning: str) -> Finding:
    return Finding(
        name="unchecked-host",
        severity=Severity.WARNS,
        where="site.yml",
        what=warning,
        mend="give it a component, or take it out of the inventory",
    )


def _count(blocking: int) -> str:
    if not blocking:
        return "nothing stands against a recovery"
    return f"{blocking} reason{'s' if blocking > 1 else ''} not to start"


def _next(site: str, blocking: list[Finding], options: AnsibleOptions) -> str:
    again = f"{site} --trust-inventory" if options.trust_inventory else site
    if not blocking:
        return f"drcli recover --site {again}"
    return f"mend it, then: drcli preflight --site {again}"
