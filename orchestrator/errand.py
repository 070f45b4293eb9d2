"""One attempt on a worker of the cluster, from its submission to its result (see wire.py).

A worker that falls silent is not believed to be dead: the hosts of its playbook stay untouched
until its lease, and all that it may have started, are over for certain.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event as Flag
from threading import Lock

from orchestrator import worker
from orchestrator.errors import InputError, RecoveryError
from orchestrator.events import WorkAwaited, WorkTaken
from orchestrator.executor import Cluster, Unanswered
from orchestrator.shipment import pack
from orchestrator.wire import ENDING, LEASE, Begun, Parcel, Readiness, Reply, versions
from orchestrator.work import AnsibleOptions, GateRequest, PlaybookRequest, Tell

PATIENCE = 300.0  # seconds without any worker of the site until that is an error
SAID_AFTER = 3.0  # seconds until waiting is worth a word
LOOK = 0.2  # seconds between two looks at the stop flag while nothing has begun
PAUSE = 0.5  # seconds between two questions to a silent worker
SILENT_GATE = 5.0  # seconds of silence in a gate; it changes nothing and may well run twice
MOST_TRIES = 10  # workers that announce themselves and then do not answer


@dataclass(frozen=True, kw_only=True)
class Shipper:
    """What all parcels of a run have in common; the project is packed when a worker first asks."""

    project: Path
    site: str
    run: str
    digest: str
    options: AnsibleOptions
    secrets: Mapping[str, str] = field(repr=False)
    secret_files: frozenset[Path]
    _packed: list[bytes] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def parcel(self, token: str, request: PlaybookRequest | GateRequest) -> Parcel:
        """A request as it is sent: its paths as they are in any copy of the project.

        Raises:
            InputError: one of them is outside of the project.
        """
        sent: PlaybookRequest | GateRequest
        inventory = self._inside(request.inventory)
        if isinstance(request, GateRequest):
            gate = self._inside(request.gate)
            sent = replace(request, project=Path(), inventory=inventory, gate=gate)
        else:
            playbook = self._inside(request.playbook)
            sent = replace(
                request,
                project=Path(),
                inventory=inventory,
                playbook=playbook,
                options=AnsibleOptions(),  # those of the parcel count
            )
        return Parcel(
            token=token,
            run=self.run,
            site=self.site,
            digest=self.digest,
            versions=versions(),
            request=sent,
            options=self.options,
            secrets=self.secrets,
        )

    def packed(self) -> bytes:
        """The project, packed once.

        Raises:
            InputError: it holds what must not be sent.
        """
        with self._lock:
            if not self._packed:
                self._packed.append(pack(self.project, self.site, secrets=self.secret_files))
            return self._packed[0]

    def _inside(self, path: Path) -> Path:
        if not path.is_relative_to(self.project):
            raise InputError(f"{path} is outside of the project: no worker has it")
        return path.relative_to(self.project)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an errand came to. `result` is None when the worker was lost, and `said` says how.

    `cut_short`: the worker stopped it by itself, and none of its processes is left.
    """

    result: object
    said: str = ""
    log: bytes = b""
    cut_short: bool = False


class Errand:
    """One part of a request, on its way."""

    def __init__(
        self,
        cluster: Cluster,
        shipper: Shipper,
        request: PlaybookRequest | GateRequest,
        tell: Tell,
        stop: Flag,
    ) -> None:
        self._cluster = cluster
        self._shipper = shipper
        self._request = request
        self._tell = tell
        self._stop = stop

    def run(self) -> Outcome | None:
        """Have it done; None when it was stopped before it started.

        Raises:
            RecoveryError: no worker takes it, or the one that did refuses it.
            RuntimeError: a bug on the worker, with its traceback.
        """
        for _ in range(MOST_TRIES):
            placed = self._placed()
            if placed is None:
                return None
            address, token = placed
            # Nothing starts before the first poll, so whoever is in doubt before it, asks anew.
            with suppress(Unanswered):
                begun = self._begin(address, token)
                if begun.readiness is Readiness.REFUSED:
                    raise RecoveryError(begun.said)
                if begun.readiness is Readiness.READY:
                    return self._follow(address, token, begun.worker)
        raise RecoveryError(
            f"{MOST_TRIES} times a worker took it and did not answer",
            hint="Look at the workers' own output.",
        )

    def _placed(self) -> tuple[str, str] | None:
        """A worker's address and the token it took; None when stopped."""
        begun, said = time.monotonic(), ""
        given_back = 0
        while not self._stop.is_set():
            token = uuid.uuid4().hex[:16]
            able = self._cluster.able()
            placement = self._cluster.place(worker.take, token)
            # Asked anew when other workers may take it: Dask leaves it where it put it first.
            while not self._stop.is_set() and not placement.over and self._cluster.able() == able:
                address = placement.wait(LOOK)
                if address is not None:
                    return address, token
                said = self._say_why(said) if time.monotonic() - begun > SAID_AFTER else ""
                self._bound_patience()
            over = placement.over
            placement.withdraw()
            self._bound_patience()
            given_back += bool(over and able)
            if given_back == MOST_TRIES:
                raise RecoveryError(
                    f"{MOST_TRIES} times the cluster gave it back: {over}",
                    hint="Look at the scheduler's and the workers' own output.",
                )
            self._stop.wait(LOOK)
        return None

    def _say_why(self, said: str) -> str:
        """Tell what keeps it from being taken, when that is something new."""
        reason = self._cluster.why_waiting()
        if reason != said:
            self._tell(WorkAwaited(component=self._request.component, reason=reason))
        return reason

    def _bound_patience(self) -> None:
        if self._cluster.unable_for() > PATIENCE:
            raise RecoveryError(
                f"nobody took it within {PATIENCE:g} s: {self._cluster.why_waiting()}",
                hint=f"Start one: drcli worker --site {self._shipper.site} --scheduler URL",
            )

    def _begin(self, address: str, token: str) -> Begun:
        parcel = self._shipper.parcel(token, self._request)
        begun = self._cluster.ask(address, worker.begin, parcel)
        if begun.readiness is not Readiness.WANTS_PROJECT:
            return begun
        digest, site = self._shipper.digest, self._shipper.site
        trouble = self._cluster.ask(address, worker.receive, digest, site, self._shipper.packed())
        if trouble:
            return Begun(readiness=Readiness.REFUSED, said=trouble)
        return self._cluster.ask(address, worker.begin, parcel)

    def _follow(self, address: str, token: str, name: str) -> Outcome:
        request = self._request
        heard = time.monotonic()
        self._tell(WorkTaken(component=request.component, worker=name, hosts=request.hosts))
        number = seen = 0
        while True:
            try:
                reply: Reply | None = self._cluster.ask(
                    address, worker.poll, token, number, seen, self._stop.is_set()
                )
            except Unanswered as silence:
                if self._is_over(heard):
                    return Outcome(result=None, said=f"worker {name} was lost ({silence})")
                time.sleep(PAUSE)
                continue
            if reply is None:
                self._let_lease_end(heard)
                return Outcome(result=None, said=f"worker {name} gave it up: we were out of touch")
            heard = time.monotonic()
            number = reply.number
            seen += len(reply.events)
            for event in reply.events:
                self._tell(event)
            if reply.error:
                raise RuntimeError(f"on worker {name}: {reply.error}")
            if reply.result is not None:
                with suppress(Unanswered):  # then its lease ends by itself
                    self._cluster.ask(address, worker.finish, token)
                return Outcome(
                    result=reply.result,
                    said=f"worker {name} stopped it",
                    log=reply.log,
                    cut_short=reply.cut_short,
                )

    def _is_over(self, heard: float) -> bool:
        """Whether, that long after the last word of a worker, its hosts may be touched again."""
        gate = isinstance(self._request, GateRequest)
        return time.monotonic() > heard + (SILENT_GATE if gate else LEASE + ENDING)

    def _let_lease_end(self, heard: float) -> None:
        while not self._is_over(heard):
            time.sleep(PAUSE)
