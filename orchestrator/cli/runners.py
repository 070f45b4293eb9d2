"""Where a run's playbooks and gates run: on this machine, or on the workers of DRCLI_CLUSTER."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from orchestrator.gate import TestinfraGates
from orchestrator.run import RunOptions
from orchestrator.scheduler_address import VARIABLE, scheduler_address
from orchestrator.work import AnsibleOptions, Gates, Playbooks


@contextmanager
def local_gates(
    run: str, options: AnsibleOptions, *, project: Path, inventory: Path
) -> Iterator[TestinfraGates | None]:
    """The gates of this machine, which load what they need from now on; None with DRCLI_CLUSTER."""
    if os.environ.get(VARIABLE):
        yield None
        return
    with TestinfraGates(options) as gates:
        gates.prepare(run, project, inventory)
        yield gates


@contextmanager
def runners(
    site: str, options: RunOptions, *, state_dir: Path | None, local: TestinfraGates | None
) -> Iterator[tuple[Playbooks | None, Gates]]:
    """What runs the playbooks and the gates of a run; no playbooks without a `state_dir`.

    `local` are what `local_gates` gave.

    Raises:
        InputError: DRCLI_CLUSTER is no address, or would speak in clear to another machine.
        MachineError: it is set, and dask.distributed is missing or the scheduler out of reach.
    """
    if local is not None:
        if state_dir is None:
            yield None, local
            return
        # Imported here, as Dask below: who runs no playbook is not to wait for it.
        from orchestrator.playbook import AnsiblePlaybooks  # noqa: PLC0415

        with closing(AnsiblePlaybooks(state_dir)) as playbooks:
            yield playbooks, local
        return
    address = scheduler_address(os.environ[VARIABLE])
    # Imported here because Dask takes most of a second, which only its users are to wait for.
    from orchestrator.cluster import ClusterGates, ClusterPlaybooks, sealed_options  # noqa: PLC0415
    from orchestrator.errand import Shipper  # noqa: PLC0415
    from orchestrator.executor import connected  # noqa: PLC0415
    from orchestrator.shipment import project_hash  # noqa: PLC0415

    sent, secrets, files = sealed_options(options.ansible)
    shipper = Shipper(
        project=options.project,
        site=site,
        run=options.run,
        digest=project_hash(options.project, site),
        options=sent,
        secrets=secrets,
        secret_files=files,
    )
    with connected(address, site=site, run=options.run) as connection:
        remote = ClusterPlaybooks(connection, shipper, state_dir=state_dir) if state_dir else None
        yield remote, ClusterGates(connection, shipper)
