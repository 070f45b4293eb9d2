"""`drcli lab`: a copy of a site made of containers, whose power can be cut."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import click
from rich.table import Table

from orchestrator.cli.lab_break import break_
from orchestrator.cli.lab_shared import (
    HOSTS,
    NAME,
    SITE,
    hint,
    load_lab,
    print_table,
    progress,
    recovery_hint,
)
from orchestrator.errors import InputError
from orchestrator.lab import hosts as lab_hosts
from orchestrator.lab import power
from orchestrator.lab.broken import read_broken
from orchestrator.lab.definition import LabHost, load_definition
from orchestrator.lab.image import remove_images
from orchestrator.lab.instance import default_name, make_instance
from orchestrator.lab.lab_lock import lab_lock
from orchestrator.lab.ledger import await_writes, verdict, writing
from orchestrator.lab.machine import check_root
from orchestrator.lab.part import up_to
from orchestrator.lab.raising import raise_bare, raise_seeded
from orchestrator.lab.raising import reset as reset_lab
from orchestrator.lab.removal import purge as purge_all
from orchestrator.lab.removal import take_down
from orchestrator.lab.seeded import remove_caches
from orchestrator.project import find_project

TOLD = 20  # lost records: enough to see what kind of loss it is


@click.group()
def lab() -> None:
    """A copy of a site made of containers, whose power can be cut."""


@lab.command()
@SITE
@NAME
@click.option("--bare", is_flag=True, help="Booted machines only: no service is provisioned.")
@click.option("--layer", metavar="LAYER", help="No host above this layer; the clients are there.")
def up(site: str, *, name: str | None, bare: bool, layer: str | None) -> None:
    """Bring the lab up: what is missing is made, what is there stays.

    Example: drcli lab up --site hosting-a
    """
    began = time.monotonic()
    check_root()
    project = find_project(None)
    whole = load_definition(project, site)
    name = name or default_name(project, site)
    with lab_lock(name), progress() as tell:
        instance = make_instance(project, site, name, layer=up_to(whole, layer).layer)
        definition = up_to(whole, layer or instance.layer)
        if definition.layer != instance.layer:
            ends = (
                f"only up to the layer {instance.layer}" if instance.layer else "with every layer"
            )
            raise InputError(f"the lab {name} is there, {ends}", hint="Choose another --name.")
        if bare:
            raise_bare(definition, instance, tell=tell)
        else:
            origin = raise_seeded(definition, instance, tell=tell)
    took = time.monotonic() - began
    what = "bare" if bare else origin.value
    click.echo(f"lab {name}: {len(definition.hosts)} hosts up in {took:.1f} s, {what}")
    click.echo(
        f"To reach them: ansible -i {definition.inventory} -i {instance.hosts_file} all -m ping"
    )


@lab.command()
@SITE
@NAME
@HOSTS
@click.option("--feed", metavar="FEED", help="The hosts on this power feed, as A or B.")
@click.option(
    "--writes",
    type=click.IntRange(0, 100_000),
    default=100,
    show_default=True,
    help="Cut when each client has had this many writes acknowledged; 0, --hosts: none writes.",
)
def cut(site: str, *, name: str | None, hosts: str | None, feed: str | None, writes: int) -> None:
    """Cut the power in the middle of writing: everything ends at once, nothing is asked.

    The whole hosting room loses what its disks had not flushed. With --feed or --hosts a part of it
    ends at once, but its disks keep what was written to them: all disks stand on one file system,
    which can only lose what was not flushed for everybody.

    Example: drcli lab cut --site hosting-a --feed A
    """
    if hosts and feed:
        raise click.UsageError("Say --hosts or --feed, not both.", ctx=click.get_current_context())
    definition, instance = load_lab(site, name)
    chosen = definition.select(hosts) if hosts else definition.on_feed(feed) if feed else None
    counts: dict[str, int] = {}

    def cut_now() -> tuple[LabHost, ...]:
        if chosen is None:
            return power.cut_room(definition, instance)
        return power.cut_hosts(definition, instance, chosen)

    with lab_lock(instance.name), progress() as tell:
        power.require_made(definition, instance)
        if writes and not hosts and definition.file.writers:
            with writing(definition, instance) as state:
                await_writes(state, writes, tell=tell)
                dark = cut_now()
                counts = state.counts
        else:
            dark = cut_now()
    if counts:
        each = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        click.echo(f"{sum(counts.values())} writes acknowledged until the cut: {each}")
    names = ", ".join(host.name for host in dark)
    of_feed = f" of feed {feed}" if feed else ""
    click.echo(f"power cut{of_feed}: {names}" if dark else "these hosts were off already")
    if chosen is not None and any(host.disks for host in dark):
        click.echo("their disks keep what was written to them: only a cut of all loses the rest")
    click.echo(f"Next: {hint(instance, 'power-on')}")


@lab.command("power-on")
@SITE
@NAME
@HOSTS
def power_on(site: str, *, name: str | None, hosts: str | None) -> None:
    """Boot the machines, and nothing more: no service starts by itself.

    Example: drcli lab power-on --site hosting-a
    """
    began = time.monotonic()
    definition, instance = load_lab(site, name)
    chosen = definition.select(hosts or "*")
    with lab_lock(instance.name), progress() as tell:
        booted = power.power_on(definition, instance, chosen, tell=tell)
    names = ", ".join(host.name for host in booted)
    took = time.monotonic() - began
    click.echo(f"booted in {took:.1f} s: {names}" if booted else "nothing to boot")
    for host, fault in read_broken(instance).off.items():
        click.echo(f"{host} stays off: {hint(instance, 'break', fault, '--undo')}")
    click.echo(f"Next: {recovery_hint(instance)}")


@lab.command()
@SITE
@NAME
def reset(site: str, *, name: str | None) -> None:
    """Return to the seeded state: files, disks, ledger, everything running.

    Example: drcli lab reset --site hosting-a
    """
    began = time.monotonic()
    definition, instance = load_lab(site, name)
    with lab_lock(instance.name), progress() as tell:
        reset_lab(definition, instance, tell=tell)
    click.echo(f"lab {instance.name}: seeded state back in {time.monotonic() - began:.1f} s")


@lab.command()
@SITE
@NAME
@click.option("--only", metavar="KIND", help="Only the records of this kind.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def ledger(site: str, *, name: str | None, only: str | None, as_json: bool) -> int:
    """Say whether the site still has everything it ever acknowledged. Exit code 1 when not.

    Where nothing was ever acknowledged, nothing is proven: exit code 1 too.

    Example: drcli lab ledger --site hosting-a
    """
    definition, instance = load_lab(site, name)
    found = verdict(definition, instance, only=only)
    if as_json:
        click.echo(json.dumps({"lab": instance.name, **asdict(found), "total": found.total}))
        return int(bool(found.lost) or not found.total)
    for line in found.lost[:TOLD]:
        click.echo(f"lost: {line}")
    if len(found.lost) > TOLD:
        click.echo(f"and {len(found.lost) - TOLD} more")
    counts = sorted(found.acknowledged.items())
    kinds = ", ".join(f"{count} of kind {kind}" for kind, count in counts)
    click.echo(f"{len(found.lost)} of {found.total} acknowledged records lost ({kinds or 'none'})")
    if not found.total:
        click.echo("This proves nothing: the ledger is empty.", err=True)
        click.echo(f"Next: {hint(instance, 'cut')}", err=True)
    return int(bool(found.lost) or not found.total)


@lab.command()
@SITE
@NAME
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(site: str, *, name: str | None, as_json: bool) -> int:
    """Say how every host of the lab stands. Exit code 1 when one is off or silent.

    Example: drcli lab status --site hosting-a
    """
    definition, instance = load_lab(site, name)
    found = lab_hosts.status(definition, instance)
    on, ssh = sum(host.on for host in found), sum(host.ssh for host in found)
    if as_json:
        click.echo(json.dumps({"lab": instance.name, "hosts": [asdict(host) for host in found]}))
        return int(ssh < len(found))
    table = Table("host", "address", "feed", "power", "ssh", box=None, pad_edge=False)
    for host in found:
        power = ("on" if host.on else "off") if host.made else "not made"
        feed = "outside" if host.outside else host.feed
        table.add_row(host.name, host.address, feed, power, "answers" if host.ssh else "silent")
    print_table(table)
    following = (
        hint(instance, "up")
        if not all(host.made for host in found)
        else hint(instance, "power-on")
        if on < len(found)
        else recovery_hint(instance)
    )
    click.echo(f"lab {instance.name}: {on} of {len(found)} hosts are on. Next: {following}")
    return int(ssh < len(found))


@lab.command()
@click.option("--site", metavar="SITE", help="The site the lab is a copy of.")
@NAME
@click.option("--images", is_flag=True, help="Remove what is cached for the next lab, too.")
def down(*, site: str | None, name: str | None, images: bool) -> None:
    """Remove one lab: hosts, networks, disks, keys; images stay cached.

    Raised kernel limits (fs.inotify.max_user_instances) stay raised: other programs may count on
    them by now.

    Example: drcli lab down --site hosting-a
    """
    if not name and not site:
        raise click.UsageError("Say which: --site or --name.")
    check_root()
    chosen = name or default_name(find_project(None), str(site))
    with progress() as tell:
        removed = take_down(chosen, tell=tell)
        if images and remove_images() | remove_caches():
            removed.append("images and snapshots")
    click.echo(f"lab {chosen}: removed {', '.join(removed)}" if removed else f"no lab {chosen}")


@lab.command()
@click.option("--images", is_flag=True, help="Remove what is cached for the next lab, too.")
def purge(*, images: bool) -> None:
    """Remove every lab of this machine, whatever state it is in.

    Example: drcli lab purge
    """
    began = time.monotonic()
    check_root()
    with progress() as tell:
        removed = purge_all(tell=tell)
        if images and remove_images() | remove_caches():
            removed.append("images and snapshots")
    took = time.monotonic() - began
    click.echo(f"removed {', '.join(removed)} in {took:.1f} s" if removed else "no lab was there")


lab.add_command(break_)
