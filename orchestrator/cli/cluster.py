"""`drcli worker` and `drcli scheduler`: more than one machine, see docs/scale.md."""

from __future__ import annotations

from pathlib import Path

import click

from orchestrator.cli.shared_options import state_dir_option
from orchestrator.errors import InputError, RecoveryError
from orchestrator.mitogen_way import fast_way
from orchestrator.project import find_project, is_slug
from orchestrator.scheduler_address import TLS_VARIABLE, scheduler_address
from orchestrator.state_directory import make_private, state_directory

_URL = "tls://HOST:8786, or within one machine tcp://127.0.0.1:8786."
_tls = click.option(
    "--tls",
    type=click.Path(path_type=Path, exists=True, file_okay=False, resolve_path=True),
    help=f"The folder of ca.pem, cert.pem and key.pem. [default: {TLS_VARIABLE}]",
)


@click.command()
@click.option("--site", "sites", multiple=True, required=True, help="It works for; repeatable.")
@click.option(
    "--scheduler", required=True, metavar="URL", help="tls://HOST:8786, or on loopback tcp."
)
@_tls
@click.option("--project", type=click.Path(path_type=Path, exists=True, file_okay=False), help=(
    "Its own copy of the project; used where it is the controller's very same."
))  # fmt: skip
@click.option("--slots", type=click.IntRange(1, 64), default=4, show_default=True, help=(
    "Playbooks and gates at once."
))  # fmt: skip
@state_dir_option
def worker(  # noqa: PLR0913 -- one for each option
    *,
    sites: tuple[str, ...],
    scheduler: str,
    tls: Path | None,
    project: Path | None,
    slots: int,
    state_dir: Path | None,
) -> None:
    """Run playbooks and gates of a site for the controllers of a cluster.

    It drains on SIGTERM: takes nothing new and ends when what runs is over; at once on a second.

    Example: drcli worker --site hosting-a --scheduler tls://10.0.0.5:8786
    """
    address = scheduler_address(scheduler, tls)
    wrong = [site for site in sites if not is_slug(site)]
    if wrong:
        raise InputError(f"{wrong[0]!r} cannot be a site's name")
    from orchestrator.worker import run_worker  # noqa: PLC0415 -- Ansible and Dask: only when in use

    if slow := fast_way().why_not:
        _say(slow)
    asked_to = run_worker(
        address,
        sites=sites,
        slots=slots,
        state_dir=make_private(state_directory(state_dir)),
        project=find_project(project) if project else None,
        say=_say,
    )
    if not asked_to:
        raise RecoveryError(
            f"the connection to {address} was lost; what ran here was stopped",
            hint="Start the worker again: under systemd, Restart=always.",
        )


@click.command()
@click.option(
    "--listen", required=True, metavar="URL", help="tls://ADDRESS:8786, or on loopback tcp."
)
@_tls
def scheduler(*, listen: str, tls: Path | None) -> None:
    """Connect controllers and workers. It keeps nothing: it may be started again at any time.

    Example: drcli scheduler --listen tls://10.0.0.5:8786
    """
    address = scheduler_address(listen, tls)
    from orchestrator.worker import run_scheduler  # noqa: PLC0415 -- Dask: only when in use

    run_scheduler(address, say=_say)


def _say(line: str) -> None:
    click.echo(line, err=True)
