"""A worker and a scheduler of a cluster, as processes: started, drained and ended in good order.

Neither listens beyond what is needed: the worker where it reaches the scheduler from, and Dask's
pages (which show what runs) on loopback alone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from distributed import Scheduler, Worker, WorkerPlugin, get_worker
from distributed.core import Status

from orchestrator.desk import Desk
from orchestrator.errors import MachineError
from orchestrator.executor import CONNECT, knock, quiet_dask, security
from orchestrator.scheduler_address import SchedulerAddress
from orchestrator.wire import Begun, Parcel, Reply, site_tag, versions

LOOK = 0.2
_PLUGIN = "drcli"
_PAGES = "127.0.0.1:0"  # Dask always serves some: nobody off this machine is to read them

Say = Callable[[str], None]


class _AtTheDesk(WorkerPlugin):  # type: ignore[misc]
    """Dask's plugin that holds the worker's desk, and closes it with the worker."""

    def __init__(self, desk: Desk) -> None:
        self.name = _PLUGIN
        self.desk = desk

    async def teardown(self, worker: object) -> None:  # noqa: ARG002 -- Dask's signature
        """The connection to the scheduler is gone, or the worker ends: so does all it runs."""
        await asyncio.to_thread(self.desk.close)


def take(token: str, topic: str) -> None:
    """Dask's task: hold one attempt; its events and its result are asked for by `poll`."""
    worker = get_worker()
    said = {"token": token, "worker": worker.address}
    _desk(worker).take(token, lambda: worker.log_event(topic, said))


async def begin(parcel: Parcel, dask_worker: Any) -> Begun:  # noqa: ANN401 -- Dask puts it in
    """Ask a worker: `Desk.begin`."""
    return await _desk(dask_worker).begin(parcel)


async def receive(digest: str, site: str, data: bytes, dask_worker: Any) -> str:  # noqa: ANN401
    """Ask a worker: `Desk.receive`."""
    return await _desk(dask_worker).receive(digest, site, data)


async def poll(token: str, ack: int, seen: int, stop: int, dask_worker: Any) -> Reply | None:  # noqa: ANN401
    """Ask a worker: `Desk.poll`."""
    return await _desk(dask_worker).poll(token, ack=ack, seen=seen, stop=bool(stop))


async def finish(token: str, dask_worker: Any) -> None:  # noqa: ANN401
    """Ask a worker: `Desk.finish`."""
    await _desk(dask_worker).finish(token)


def _desk(worker: Any) -> Desk:  # noqa: ANN401
    desk: Desk = worker.plugins[_PLUGIN].desk
    return desk


def run_worker(  # noqa: PLR0913 -- one for each option of the command
    address: SchedulerAddress,
    *,
    sites: tuple[str, ...],
    slots: int,
    state_dir: Path,
    project: Path | None,
    say: Say,
) -> bool:
    """Work for these sites until a signal comes or the scheduler goes; True after a signal.

    The first SIGTERM or SIGINT drains: nothing new is taken, what runs goes on to its end. The
    second stops what runs; its controllers are told.

    Raises:
        MachineError: the scheduler cannot be reached.
    """
    quiet_dask()
    return asyncio.run(
        _work(address, sites=sites, slots=slots, state_dir=state_dir, project=project, say=say)
    )


async def _work(  # noqa: PLR0913 -- as above
    address: SchedulerAddress,
    *,
    sites: tuple[str, ...],
    slots: int,
    state_dir: Path,
    project: Path | None,
    say: Say,
) -> bool:
    knock(address)
    name = f"{socket.gethostname()}-{os.getpid()}"
    desk = Desk(name=name, state_dir=state_dir, project=project)
    signals = _Signals()
    with tempfile.TemporaryDirectory(prefix="drcli-worker-") as scratch:
        try:
            worker = await Worker(
                str(address),
                name=name,
                nthreads=slots,
                resources=dict.fromkeys((*map(site_tag, sites), versions()), slots),
                host=_own_address(address),
                protocol=f"{address.scheme}://",
                security=security(address),
                dashboard_address=_PAGES,
                dashboard=False,
                memory_limit=0,
                local_directory=scratch,
                death_timeout=CONNECT,
                plugins=(_AtTheDesk(desk),),
            )
        except (OSError, TimeoutError, ValueError) as error:
            desk.close()
            raise MachineError(
                f"cannot reach the scheduler {address}: {error}",
                hint="Start it first: drcli scheduler --listen ADDRESS.",
            ) from error
        say(f"worker {name} for {', '.join(sites)}: {slots} slots at {address}; {versions()}")
        while worker.status not in {Status.closed, Status.closing, Status.failed}:
            if signals.count == 1 and worker.status == Status.running:
                say(f"draining: {desk.busy} to end; once more to stop them")
                worker.status = Status.paused
            if signals.count > 1:
                desk.stop()
            if signals.count and not desk.busy:
                await worker.close(reason="drained")
            await asyncio.sleep(LOOK)
        await worker.finished()
        await asyncio.to_thread(desk.close)
    say("drained" if signals.count else f"the scheduler {address} is gone")
    return bool(signals.count)


def run_scheduler(address: SchedulerAddress, *, say: Say) -> None:
    """Connect controllers and workers until a signal comes.

    Raises:
        MachineError: the address cannot be listened on.
    """
    quiet_dask()
    asyncio.run(_schedule(address, say=say))


async def _schedule(address: SchedulerAddress, *, say: Say) -> None:
    signals = _Signals()
    try:
        scheduler = await Scheduler(
            host=str(address),
            security=security(address),
            dashboard_address=_PAGES,
            dashboard=False,
            allowed_failures=0,  # a worker that died is the controller's matter, not Dask's
        )
    except (OSError, ValueError) as error:
        raise MachineError(
            f"cannot listen on {address}: {error}", hint="Name an address of this machine."
        ) from error
    say(f"scheduler at {scheduler.address}")
    await signals.first.wait()
    with suppress(TimeoutError):
        await asyncio.wait_for(scheduler.close(), 10)


class _Signals:
    """How often SIGTERM or SIGINT has come."""

    def __init__(self) -> None:
        self.count = 0
        self.first = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._note)

    def _note(self) -> None:
        self.count += 1
        self.first.set()


def _own_address(address: SchedulerAddress) -> str:
    """The address of this machine from which it reaches the scheduler; nothing is sent."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((address.host, address.port))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise MachineError(f"no way to the scheduler {address}: {error}") from error
