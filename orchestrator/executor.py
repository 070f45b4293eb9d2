"""Where work goes beyond this process: a Dask cluster, as a `concurrent.futures` executor.

Without DRCLI_CLUSTER everything runs in the engine's own threads, and nothing imports this module:
Dask takes most of a second. With it, the cluster chooses a worker that carries the site's tag and
exactly our versions. Dask is asked for that choice alone; what happens on the worker is asked of
the worker itself (wire.py), so that no task of Dask's, run twice, can run a playbook twice.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
import warnings
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, TypeVar

import dask
from distributed import Client
from distributed.security import Security

from orchestrator.errors import MachineError
from orchestrator.scheduler_address import SchedulerAddress
from orchestrator.wire import ASK, site_tag, versions

Answer = TypeVar("Answer")

CONNECT = 10.0  # seconds
FRESH = 2.0  # seconds for which what is known of the workers is not asked again

SILENT = 10.0  # seconds without a worker's heartbeat (one a second) until it gets no new work

TOPIC = "drcli/"
_SETTINGS = {
    "distributed.comm.timeouts.connect": CONNECT,
    "distributed.comm.timeouts.tcp": 2 * CONNECT,  # Dask wants 11 s at least
    "distributed.worker.profile.enabled": False,
    "distributed.diagnostics.nvml": False,
    "distributed.admin.event-loop-monitor": False,
}


class Unanswered(Exception):  # noqa: N818 -- it says what happened
    """A worker, or the scheduler between us, did not answer; whether it heard is not known."""


@dataclass(frozen=True, kw_only=True)
class WorkerState:
    """What the scheduler knows of a worker; `tags` are its Dask resources.

    `running`: it takes work, and was heard of not long ago.
    """

    address: str
    name: str
    tags: frozenset[str]
    running: bool


class Placement:
    """One token given to the cluster, until a worker has announced it, or it is withdrawn."""

    def __init__(
        self, future: Future[None], announced: SimpleQueue[str], forget: Callable[[], object]
    ) -> None:
        self._future = future
        self._announced = announced
        self._forget = forget

    def wait(self, seconds: float) -> str | None:
        """The address of the worker that took it; None when there is none yet."""
        try:
            return self._announced.get(timeout=seconds)
        except Empty:
            return None

    @property
    def over(self) -> str | None:
        """Why the cluster gave it back without a worker having announced it; None while it waits.

        The worker it was meant for died, or the scheduler did.
        """
        if not self._future.done():
            return None
        with suppress(CancelledError):
            error = self._future.exception()
            return repr(error) if error else "nobody asked for it"
        return "withdrawn"

    def withdraw(self) -> None:
        """Nobody is to take it any more, and who does so all the same is not heard."""
        self._forget()
        self._future.cancel()


class Cluster:
    """A connection to a scheduler; may be used from several threads."""

    def __init__(self, client: Client, *, site: str, run: str) -> None:
        self._client = client
        self._run = run
        self._tag = site_tag(site)
        self.tags = frozenset({self._tag, versions()})
        # Chosen by tag; never again by itself: whether and where, decides who knows the hosts.
        self._executor: Executor = client.get_executor(
            resources=dict.fromkeys(self.tags, 1), retries=0, pure=False
        )
        self._announced: dict[str, SimpleQueue[str]] = {}
        self._lock = Lock()
        self._known: tuple[float, tuple[WorkerState, ...]] = (-FRESH, ())
        # When each worker last spoke by the scheduler's clock, and since when we know it by ours.
        self._heard: dict[str, tuple[float, float]] = {}
        self._able_at = time.monotonic()
        client.subscribe_topic(TOPIC + run, self._hear)

    def place(self, take: Callable[[str, str], None], token: str) -> Placement:
        """Have a worker that carries our tags call `take(token, topic)`."""
        announced: SimpleQueue[str] = SimpleQueue()
        self._announced[token] = announced
        future: Future[None] = Future()
        try:
            at = [worker.address for worker in self._able()]
            future = self._executor.submit(
                take, token, TOPIC + self._run, **({"workers": at} if at else {})
            )
        except Exception as error:  # noqa: BLE001 -- whatever Dask raises when the scheduler is gone
            future.set_exception(error)
        return Placement(future, announced, lambda: self._announced.pop(token, None))

    def ask(
        self, address: str, question: Callable[..., Awaitable[Answer]], *args: object
    ) -> Answer:
        """Put a question to one worker, through the scheduler.

        Raises:
            Unanswered: no answer within a time limit, or the connection broke.
        """
        if self._cut_off:
            raise Unanswered("no connection to the scheduler")
        try:
            answers: dict[str, Answer] = self._client.run(
                question, *args, workers=[address], callback_timeout=ASK
            )
            return answers[address]
        except Exception as error:  # whatever Dask and the network raise comes to the same
            raise Unanswered(f"{type(error).__name__}: {error}") from error

    def able(self) -> frozenset[str]:
        """The names of the workers that may take our work now, full or not."""
        return frozenset(worker.name for worker in self._able())

    def unable_for(self) -> float:
        """The seconds since some worker was able to take our work, or since we began to look."""
        return time.monotonic() - self._able_at

    def why_waiting(self) -> str:
        """What keeps our work from being taken, in words."""
        known = self._workers()
        able = self.able()
        if able:
            return f"waits: all {len(able)} workers of {self._tag} are busy"
        ours = [worker for worker in known if self._tag in worker.tags]
        draining = [worker.name for worker in ours if self.tags <= worker.tags]
        if draining:
            names = ", ".join(draining)
            return f"waits for a worker of {self._tag}: {names} takes nothing new, or is silent"
        if ours:
            others = {tag for worker in ours for tag in worker.tags if not tag.startswith("site:")}
            have = "; ".join(sorted(others))
            return f"waits for a worker of {self._tag} with {versions()}: there are only {have}"
        if known:
            tags = {tag for worker in known for tag in worker.tags if tag.startswith("site:")}
            have = ", ".join(sorted(tags))
            return f"waits for a worker of {self._tag}: the {len(known)} connected are of {have}"
        if self._cut_off:
            return f"waits for a worker of {self._tag}: there is no connection to the scheduler"
        return f"waits for a worker of {self._tag}: none is connected to the scheduler"

    def _able(self) -> tuple[WorkerState, ...]:
        able = tuple(w for w in self._workers() if w.running and self.tags <= w.tags)
        if able:
            self._able_at = time.monotonic()
        return able

    def _workers(self) -> tuple[WorkerState, ...]:
        """The workers the scheduler knows, at most some seconds ago; none when it is silent."""
        with self._lock:
            asked, known = self._known
            if time.monotonic() - asked < FRESH:
                return known
            try:
                found = (
                    {}
                    if self._cut_off
                    else self._client.scheduler_info(callback_timeout=ASK)["workers"]
                )
            except Exception:  # noqa: BLE001 -- whatever Dask and the network raise
                found = {}
            now = time.monotonic()
            self._heard = {
                address: self._heard[address]
                if self._heard.get(address, (0, 0))[0] == worker["last_seen"]
                else (worker["last_seen"], now)
                for address, worker in found.items()
            }
            known = tuple(
                WorkerState(
                    address=address,
                    name=str(worker["name"]),
                    tags=frozenset(worker["resources"]),
                    running=worker["status"] == "running"
                    and now - self._heard[address][1] < SILENT,
                )
                for address, worker in found.items()
            )
            self._known = (now, known)
            return known

    @property
    def _cut_off(self) -> bool:
        """Whether Dask knows already that nobody can answer; else it waits for its time limit."""
        return bool(self._client.status != "running")

    def _hear(self, event: tuple[float, dict[str, str]]) -> None:
        _, said = event
        announced = self._announced.pop(said["token"], None)
        if announced is not None:  # else it was announced before: a token works once
            announced.put(said["worker"])


@contextmanager
def connected(address: SchedulerAddress, *, site: str, run: str) -> Iterator[Cluster]:
    """A connection to the scheduler, for one run of one site.

    Raises:
        MachineError: the scheduler cannot be reached.
    """
    quiet_dask()
    knock(address)
    try:
        with warnings.catch_warnings(action="ignore"):  # versions: our own tags see to them
            client = Client(
                str(address),
                security=security(address),
                timeout=CONNECT,
                set_as_default=False,
                direct_to_workers=False,
                name=f"drcli-{run}",
            )
    except (OSError, ValueError) as error:
        raise MachineError(
            f"cannot reach the scheduler {address}: {error}",
            hint="Start it (drcli scheduler), or unset DRCLI_CLUSTER to work from this machine.",
        ) from error
    try:
        yield Cluster(client, site=site, run=run)
    finally:
        with suppress(Exception):  # the run is over, whatever the scheduler does now
            client.close(timeout=CONNECT)


def knock(address: SchedulerAddress) -> None:
    """Refuse at once where nobody listens: Dask tries for the whole of its time limit.

    Raises:
        MachineError: the address cannot be reached, and why.
    """
    try:
        socket.create_connection((address.host, address.port), CONNECT).close()
    except OSError as error:
        raise MachineError(
            f"cannot reach the scheduler {address}: {error.strerror or error}",
            hint="Start it (drcli scheduler), or unset DRCLI_CLUSTER to work from this machine.",
        ) from error


def security(address: SchedulerAddress) -> Security:
    """What Dask is to demand of the other side: with certificates, TLS 1.3 and one of its own."""
    files = address.certificates
    if files is None:
        return Security(require_encryption=False)
    own: dict[str, Any] = {
        f"tls_{role}_{part}": str(path)
        for role in ("client", "scheduler", "worker")
        for part, path in (("cert", files.cert), ("key", files.key))
    }
    return Security(
        require_encryption=True,
        tls_ca_file=str(files.ca),
        tls_min_version=ssl.TLSVersion.TLSv1_3,
        **own,
    )


def quiet_dask() -> None:
    """Settle what Dask does beyond what it is asked for: no profiler, and no words of its own."""
    dask.config.set(_SETTINGS)
    for name in ("distributed", "distributed.client", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
