"""`drcli lab`: a copy of a site made of containers, whose power can be cut."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from orchestrator.cli.recover import recover
from orchestrator.inventory import load_inventory
from orchestrator.lab import breaking, build, power
from orchestrator.lab.definition import Lab, load_lab
from orchestrator.lab.faults import faults_after_cut, find_fault, load_faults
from orchestrator.lab.lab_lock import lab_lock
from orchestrator.lab.lasting import read_lasting
from orchestrator.lab.ledger import await_writes, verdict, writing
from orchestrator.lab.progress import Step, Tell
from orchestrator.lab.provision import forget, provision, read_provisioned, write_provisioned
from orchestrator.plan import Plan, make_plan
from orchestrator.project import find_project
from orchestrator.site import load_site

SITE = click.option("--site", required=True, metavar="SITE", help="The site the lab is a copy of.")
SIGN_OF_LIFE = 5.0  # seconds between two lines of a log
WIDE = 300  # columns: wider than any row
HOSTS = click.option("--hosts", metavar="PATTERN", help="Globs of host names, comma-separated.")


@click.group()
def lab() -> None:
    """A copy of a site made of containers, whose power can be cut."""


@lab.command()
@SITE
@click.option("--bare", is_flag=True, help="Booted machines only: no service is provisioned.")
@click.option("--rebuild", metavar="PATTERN", help="Make these hosts anew; they lose everything.")
@click.option(
    "--base-image",
    default="auto",
    show_default=True,
    help="`auto`, `mmdebstrap`, or an image that a registry answers for.",
)
@click.pass_context
def up(
    context: click.Context, site: str, *, bare: bool, rebuild: str | None, base_image: str
) -> int:
    """Bring the lab up: what is missing is made, what is there stays.

    Example: drcli lab up --site hosting-a
    """
    known = _load(site)
    plan = None if bare else _plan(known)
    again = known.select(rebuild) if rebuild else ()
    with lab_lock(site), _progress() as tell:
        outdated = build.raise_hosts(known, origin=base_image, rebuild=again, tell=tell)
        if plan and again:
            forget(known, plan.components, frozenset(host.name for host in again))
        if plan:
            provision(known, plan.components, tell=tell)
    if outdated:
        names = ",".join(outdated)
        click.echo(f"made from an older definition: {names}", err=True)
        click.echo(f"anew: drcli lab up --site {site} --rebuild {names}", err=True)
    if plan and not read_provisioned(known).verified:
        code: int = context.invoke(recover, site=site, new=True)
        if code:
            return code
        done = read_provisioned(known)
        write_provisioned(known, done.model_copy(update={"verified": True}))
    click.echo(f"{site}: the lab is up. Next: drcli lab cut --site {site}")
    return 0


@lab.command()
@SITE
def status(site: str) -> None:
    """Say how every host of the lab stands.

    Example: drcli lab status --site hosting-a
    """
    known = _load(site)
    hosts = build.status(known)
    lasting = read_lasting(known)
    table = Table("host", "address", "feed", "power", "ssh", "cables", box=None, pad_edge=False)
    for host in hosts:
        table.add_row(
            host.name,
            host.address,
            host.feed,
            ("on" if host.on else "off") if host.made else "not made",
            "answers" if host.ssh else "silent",
            f"{host.cables}/{host.networks}",
        )
    _print(table)
    for name, fault in lasting.off.items():
        click.echo(f"{name} stays off: fault {fault}")
    for name, disks in lasting.out.items():
        if disks:
            click.echo(f"{name}: disk {', '.join(disks)} is out")
    on = sum(host.on for host in hosts)
    if not all(host.made for host in hosts):
        click.echo(f"{site}: the lab is not complete. Next: drcli lab up --site {site}")
    elif on + len(lasting.off) < len(hosts):
        click.echo(
            f"{site}: {on} of {len(hosts)} hosts are on. Next: drcli lab power-on --site {site}"
        )
    else:
        click.echo(f"{site}: {on} of {len(hosts)} hosts are on. Next: drcli recover --site {site}")


@lab.command()
@SITE
@HOSTS
@click.option("--feed", metavar="FEED", help="Only the hosts on this power feed: A or B.")
@click.option(
    "--writes",
    type=click.IntRange(0, 100_000),
    default=25,
    show_default=True,
    help="Cut when each client has had this many writes acknowledged.",
)
def cut(site: str, *, hosts: str | None, feed: str | None, writes: int) -> None:
    """Cut the power in the middle of writing: everything ends at once, nothing is asked.

    Example: drcli lab cut --site hosting-a --feed A
    """
    known = _load(site)
    chosen = known.select(hosts, feed=feed)
    after = faults_after_cut(known)
    with lab_lock(site), _progress() as tell:
        build.require_made(known, chosen)
        clients = writes and known.file.writers and power.running(known)
        if clients:
            with writing(known) as state:
                await_writes(state, writes, tell=tell)
                excuses = dict(state.ended)
                dark = power.cut(known, chosen)
        else:
            dark = power.cut(known, chosen)
        left_behind = breaking.leave_behind(known, after, dark)
    if clients:
        for name, count in state.counts.items():
            why = f"; it had stopped before the cut: {excuses[name]}" if name in excuses else ""
            click.echo(f"{name}: {count} writes acknowledged until the cut{why}")
    elif known.file.writers and writes:
        click.echo("no client could write: the site was dark already")
    for line in left_behind:
        click.echo(f"left behind on {line}")
    names = ", ".join(host.name for host in dark)
    click.echo(f"{site}: power cut: {names}" if dark else f"{site}: these hosts were off already")
    click.echo(f"Next: drcli lab power-on --site {site}")


@lab.command("power-on")
@SITE
@HOSTS
def power_on(site: str, *, hosts: str | None) -> None:
    """Boot the machines, and nothing more: no service starts by itself.

    Example: drcli lab power-on --site hosting-a
    """
    known = _load(site)
    chosen = known.select(hosts)
    with lab_lock(site), _progress() as tell:
        build.require_made(known, chosen)
        booted = power.power_on(known, chosen, tell=tell)
    for name, fault in read_lasting(known).off.items():
        if name in {host.name for host in chosen}:
            click.echo(f"{name} stays off: fault {fault}")
    names = ", ".join(host.name for host in booted)
    click.echo(f"{site}: booted: {names}" if booted else f"{site}: nothing to boot")
    click.echo(f"Next: drcli recover --site {site}")


@lab.command("break")
@SITE
@click.argument("fault", required=False)
@click.option("--list", "as_list", is_flag=True, help="Explain every fault; break nothing.")
@click.option("--undo", is_flag=True, help="Take the fault back, where no recovery may repair it.")
def break_(site: str, *, fault: str | None, as_list: bool, undo: bool) -> None:
    """Give the lab one named fault: at once where there is power, else when it comes back.

    Example: drcli lab break mirror-leg-missing --site hosting-a
    """
    known = _load(site)
    if as_list:
        _show_faults(known)
        return
    if fault is None:
        raise click.UsageError("Name a fault, or type --list.", ctx=click.get_current_context())
    found = find_fault(known, fault)
    with lab_lock(site), _progress() as tell:
        build.require_made(known, [known.host(name) for name in found.hosts])
        act = breaking.take_back if undo else breaking.give
        done = act(known, found, tell=tell)
    click.echo(f"{fault}: {found.explains}" if not undo else f"{fault}: taken back")
    for line in done:
        click.echo(f"  {line}")
    click.echo(f"Next: drcli recover --site {site}")


@lab.command()
@SITE
def ledger(site: str) -> int:
    """Say whether the site still has everything it ever acknowledged. Exit code 1 when not.

    Where nothing was ever acknowledged, nothing is proven: exit code 1 too.

    Example: drcli lab ledger --site hosting-a
    """
    found = verdict(_load(site))
    for line in found.lost[:20]:
        click.echo(f"lost: {line}")
    if len(found.lost) > 20:  # noqa: PLR2004 -- enough to see what kind of loss it is
        click.echo(f"and {len(found.lost) - 20} more")
    kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(found.acknowledged.items()))
    click.echo(
        f"{site}: {len(found.lost)} of {found.total} acknowledged records lost ({kinds or 'none'})"
    )
    if not found.total:
        click.echo("This proves nothing: the ledger is empty or gone.", err=True)
        click.echo(f"Next: drcli lab up --site {site}, then drcli lab cut --site {site}", err=True)
    return int(bool(found.lost) or not found.total)


@lab.command()
@SITE
@click.option("--images", is_flag=True, help="Remove the cached images, too.")
def down(site: str, *, images: bool) -> None:
    """Remove the lab: hosts, networks, disks, keys; images stay cached.

    Raised kernel limits (fs.inotify.max_user_instances) stay raised: other programs may count on
    them by now.

    Example: drcli lab down --site hosting-a
    """
    with lab_lock(site), _progress() as tell:
        removed = build.take_down(site, images=images, tell=tell)
    click.echo(f"{site}: removed {', '.join(removed)}" if removed else f"{site}: nothing was there")


def _load(site: str) -> Lab:
    return load_lab(find_project(None), site)


def _plan(known: Lab) -> Plan:
    return make_plan(
        known.project, load_site(known.project, known.site), load_inventory(known.inventory)
    )


def _show_faults(known: Lab) -> None:
    table = Table("fault", "component", "drcli must", "what is broken", box=None, pad_edge=False)
    for fault in load_faults(known).values():
        must = "repair it" if fault.expect == "recovered" else "hold"
        table.add_row(fault.name, fault.component, must, fault.explains)
    _print(table)


def _print(table: Table) -> None:
    """As wide as the terminal; one line a row where there is none: for grep and for a log."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    console.print(table)


@contextmanager
def _progress() -> Iterator[Tell]:
    """Bars on stderr where it is a terminal, plain lines where it is not."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _plain(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeElapsedColumn(), TextColumn("{task.fields[note]}"))  # fmt: skip
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, Any] = {}

        def tell(step: Step) -> None:
            if not step.total:
                if step.note:
                    console.print(step.note)
                return
            if step.stage not in tasks:
                tasks[step.stage] = bars.add_task(step.stage, total=step.total, note="")
            bars.update(tasks[step.stage], completed=step.done, total=step.total, note=step.note)

        yield tell


def _plain(console: Console) -> Callable[[Step], None]:
    """Lines for a log: where a stage begins and ends, remarks, and a sign of life between them."""
    last = ("", 0.0)

    def tell(step: Step) -> None:
        nonlocal last
        now = time.monotonic()
        edge = step.done in (0, step.total)
        if not edge and now - last[1] < SIGN_OF_LIFE:
            return
        counted = f" {step.done}/{step.total}" if step.total else ""
        line = f"{step.stage}{counted} {step.note}".rstrip()
        if line != last[0] and (step.total or step.note):
            last = (line, now)
            console.print(line, highlight=False, soft_wrap=True)

    return tell
