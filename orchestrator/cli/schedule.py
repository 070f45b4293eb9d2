"""`drcli schedule`: drills that start by themselves, by systemd, cron or Kubernetes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from orchestrator.cli.shared_options import state_dir_option
from orchestrator.console import Console
from orchestrator.errors import InputError, MachineError, RecoveryError
from orchestrator.project import find_project, is_slug
from orchestrator.site import load_site
from orchestrator.site_types import parse_duration
from orchestrator.state_directory import state_directory
from orchestrator.timers import (
    Timer,
    cron_line,
    kubernetes_text,
    next_times,
    read_timer,
    systemd_units,
)

SYSTEM = Path("/etc/systemd/system")
BOOTED = Path("/run/systemd/system")  # there where systemd is the first process: sd_booted(3)
DELAY = "15m"
_site = click.option("--site", required=True, help="The site, a folder of inventories/.")
_name = click.argument("name")
_user = click.option("--user", is_flag=True, help="Of this user's systemd, not of the machine's.")


@click.group()
def schedule() -> None:
    """Have drills start by themselves: a plan that was not tried lately does not work."""


@schedule.command()
@_name
@_site
@click.option("--cron", required=True, help="When, as five fields of cron: '0 3 * * 1'.")
@click.option("--zone", default="UTC", show_default=True, help="In which time zone.")
@click.option("--delay", default=DELAY, show_default=True, help="At random, up to so much later.")
@click.option("--on-failure", default="", metavar="COMMAND", help="Run when the drill fails.")
@click.option(
    "--as", "shape",
    type=click.Choice(["systemd", "cron", "kubernetes"]),
    help="Print this, install nothing. [default: install; cron where there is no systemd]",
)  # fmt: skip
@click.option("--image", default="drcli", show_default=True, help="Of --as kubernetes.")
@_user
@state_dir_option
@click.argument("drill", nargs=-1, metavar="[-- OPTIONS OF drcli drill]")
def add(  # noqa: PLR0913 -- one for each option
    *,
    name: str,
    site: str,
    cron: str,
    zone: str,
    delay: str,
    on_failure: str,
    shape: str | None,
    image: str,
    user: bool,
    state_dir: Path | None,
    drill: tuple[str, ...],
) -> None:
    """Start a drill again and again, at the times of a cron expression.

    It never overlaps a recovery: then it is left out. Each leaves its report in the state directory
    (reports/). What was missed while the machine was off is made up for.

    Example: drcli schedule add weekly --site hosting-a --cron '0 3 * * 1' -- --scenario cut-again
    """
    project, folder = find_project(None), state_directory(state_dir)
    load_site(project, site)
    if not is_slug(name):
        raise InputError(f"{name!r} is no name", hint="Small letters, digits and hyphens.")
    timer = Timer(
        name=name,
        site=site,
        cron=cron,
        zone=zone,
        delay=_seconds(delay),
        failure=on_failure,
        words=(
            _command(), "--project", str(project), "drill", "--site", site, "--scheduled",
            "--state-dir", str(folder), "--report", str(folder / "reports"), *drill,
        ),
        environment=(("PATH", os.environ.get("PATH", os.defpath)),),
    )  # fmt: skip
    _require_drill(drill)
    times, console = next_times(timer, datetime.now(UTC), 1), Console()
    if not times:
        raise InputError(f"--cron {cron!r}: this time never comes")
    if shape is None and not BOOTED.is_dir():
        console.note("no systemd here: this is for /etc/cron.d; nothing was installed")
        shape = "cron"
    match shape:
        case "cron":
            console.raw(cron_line(timer).rstrip("\n"))
        case "kubernetes":
            console.raw(kubernetes_text(timer, image).rstrip("\n"))
        case "systemd":
            for file, text in systemd_units(timer).items():
                console.raw(f"# {file}\n{text}")
        case _:
            _install(timer, user=user)
            console.line(
                f"{site}: drill {name} starts next on {times[0]:%Y-%m-%d %H:%M %Z}. "
                f"Next: drcli schedule list --site {site}"
            )


@schedule.command("list")
@click.option("--site", help="Only of this site.")
@_user
def list_(*, site: str | None, user: bool) -> None:
    """List the drills that start by themselves, and when they do next.

    Example: drcli schedule list --site hosting-a
    """
    console = Console()
    found = [timer for timer in _installed(user=user) if site in {None, timer.site}]
    rows = []
    for timer in found:
        times = next_times(timer, datetime.now(UTC), 1)
        next_one = f"{times[0]:%Y-%m-%d %H:%M %Z}" if times else "never"
        rows.append([timer.site, timer.name, timer.cron, timer.zone, next_one])
    if rows:
        console.table(["SITE", "NAME", "CRON", "ZONE", "NEXT"], rows)
    then = f"drcli schedule next {found[0].name} --site {found[0].site}" if found else (
        f"drcli schedule add NAME --site {site or 'SITE'} --cron '0 3 * * 1'"
    )  # fmt: skip
    console.line(f"{len(found)} drills start by themselves. Next: {then}")


@schedule.command("next")
@_name
@_site
@click.option("--number", type=click.IntRange(1, 100), default=5, show_default=True)
@_user
def next_(*, name: str, site: str, number: int, user: bool) -> None:
    """Say when a drill starts next.

    Example: drcli schedule next weekly --site hosting-a
    """
    timer = _named(name, site, user=user)
    console = Console()
    for time in next_times(timer, datetime.now(UTC), number):
        console.line(f"{time:%a %Y-%m-%d %H:%M %Z}")
    if timer.delay:
        console.line(f"each up to {timer.delay} s later, at random")


@schedule.command()
@_name
@_site
@_user
def remove(*, name: str, site: str, user: bool) -> None:
    """Start a drill by itself no more.

    Example: drcli schedule remove weekly --site hosting-a
    """
    timer = _named(name, site, user=user)
    _systemctl("disable", "--now", f"{timer.unit}.timer", user=user)
    folder = _folder(user=user)
    for file in systemd_units(timer):
        (folder / file).unlink(missing_ok=True)
    _systemctl("daemon-reload", user=user)
    Console().line(f"{site}: drill {name} starts no more. Next: drcli schedule list")


def _install(timer: Timer, *, user: bool) -> None:
    folder = _folder(user=user)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in systemd_units(timer).items():
            (folder / file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(
            f"cannot write {folder}: {error.strerror or error}",
            hint="As root, or for yourself alone: --user",
        ) from error
    _systemctl("daemon-reload", user=user)
    _systemctl("enable", "--now", f"{timer.unit}.timer", user=user)


def _systemctl(*words: str, user: bool) -> None:
    command = ["systemctl", *(["--user"] if user else []), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)  # noqa: S603 -- an argument list, no shell
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"`{' '.join(command)}`: {error}") from error
    if done.returncode:
        raise RecoveryError(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def _installed(*, user: bool) -> Iterator[Timer]:
    for path in sorted(_folder(user=user).glob("drcli-drill-*.timer")):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            if timer := read_timer(path.read_text(encoding="utf-8")):
                yield timer


def _named(name: str, site: str, *, user: bool) -> Timer:
    for timer in _installed(user=user):
        if (timer.name, timer.site) == (name, site):
            return timer
    raise InputError(
        f"no drill {name!r} of {site} starts by itself", hint="List them: drcli schedule list"
    )


def _folder(*, user: bool) -> Path:
    if not user:
        return SYSTEM
    above = os.environ.get("XDG_CONFIG_HOME")
    return (Path(above) if above else Path.home() / ".config") / "systemd" / "user"


def _command() -> str:
    """Drcli itself, as a timer must name it: by its whole path."""
    beside = Path(sys.executable).with_name("drcli")
    found = str(beside) if beside.exists() else shutil.which("drcli")
    if found is None:
        raise MachineError("drcli is not installed as a command", hint="pip install it first.")
    return found


def _seconds(text: str) -> int:
    try:
        return round(parse_duration(text).total_seconds())
    except ValueError as error:
        raise InputError(f"--delay {text!r}: {error}") from error


def _require_drill(words: tuple[str, ...]) -> None:
    """Have what follows `--` read as the options of `drcli drill`, before it is written down."""
    from orchestrator.cli.drill import drill  # noqa: PLC0415 -- of `add` alone

    drill.make_context("drcli drill", ["--site", "x", *words], resilient_parsing=False)
