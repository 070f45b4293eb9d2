"""A worker's desk: the attempts it was given, each held by a lease (see wire.py for the protocol).

It knows nothing of the cluster: `take` is called in a thread for each token and returns when that
attempt is over, `begin`, `receive` and `poll` are questions of the controller. An attempt whose
lease ends is stopped, by this desk and by the guardian, whichever can.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, Queue
from threading import Event as Flag
from threading import Lock, Thread

from orchestrator.artifacts import prune_artifacts
from orchestrator.attempt import in_memory, private_folder
from orchestrator.errors import DrcliError, MachineError
from orchestrator.events import PlaybookOutcome
from orchestrator.gate import TestinfraGates
from orchestrator.guardian import Guardian
from orchestrator.playbook import AnsiblePlaybooks
from orchestrator.shipment import kept_project, prune_projects, unpack
from orchestrator.wire import ENDING, HOLD, LEASE, Begun, Parcel, Readiness, Reply, versions
from orchestrator.work import (
    AnsibleOptions,
    GateRequest,
    GateResult,
    PlaybookRequest,
    PlaybookResult,
    Progress,
)

LOOK = 0.5  # seconds between two looks at the leases
IDLE = 300.0  # seconds after which what a run needed here (secrets in memory) is given up


@dataclass(kw_only=True)
class _Place:
    """What the attempts of one run at one project share here."""

    project: Path
    options: AnsibleOptions
    gates: TestinfraGates
    stack: ExitStack
    used: float


@dataclass(kw_only=True)
class _Attempt:
    """One attempt. `until` is the end of its lease, `sent` when its last reply went out."""

    token: str
    parcel: Parcel
    place: _Place
    news: asyncio.Event
    loop: asyncio.AbstractEventLoop
    sent: float
    go: Flag = field(default_factory=Flag)
    stop: Flag = field(default_factory=Flag)
    over: Flag = field(default_factory=Flag)
    fetched: Flag = field(default_factory=Flag)
    events: list[Progress] = field(default_factory=list)
    result: PlaybookResult | GateResult | None = None
    log: bytes = b""
    error: str = ""
    number: int = 0
    until: float = 0.0

    @property
    def run(self) -> str:
        """The run's id and the token: the marks of its processes, and its log, begin with it."""
        return f"{self.parcel.run}-{self.token}"

    def tell(self, event: Progress) -> None:
        self.events.append(event)
        self.wake()

    def wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody asks any more
            self.loop.call_soon_threadsafe(self.news.set)


class Desk:
    """The attempts of one worker; `name` is the worker's, `project` its own copy, if it has one."""

    def __init__(self, *, name: str, state_dir: Path, project: Path | None) -> None:
        self._name = name
        self._state_dir = state_dir
        self._project = project
        self._playbooks = AnsiblePlaybooks(state_dir)
        prune_artifacts(
            state_dir
        )  # what a killed worker left; the others' are at their controllers
        self._guardian = Guardian()
        self._waiting: dict[str, Queue[_Attempt]] = {}  # announced, and not begun yet
        self._attempts: dict[str, _Attempt] = {}
        self._places: dict[tuple[str, Path], _Place] = {}
        self._lock = Lock()
        self._closed = Flag()
        self._watcher = Thread(target=self._watch, name="drcli-leases", daemon=True)
        self._watcher.start()

    @property
    def busy(self) -> int:
        """How many attempts are not over."""
        return len(self._attempts)

    def take(self, token: str, announce: Callable[[], None]) -> None:
        """Hold one attempt from its announcement to its end; if nobody asks for it, give it up."""
        given: Queue[_Attempt] = Queue()
        self._waiting[token] = given
        try:
            announce()
            attempt = given.get(timeout=LEASE)
        except Empty:
            return
        finally:
            del self._waiting[token]
        while not attempt.go.wait(LOOK):
            if time.monotonic() > attempt.until:
                break
        if attempt.go.is_set():
            self._do(attempt)
            while not attempt.fetched.wait(LOOK) and time.monotonic() < attempt.until:
                pass
        del self._attempts[token]

    async def begin(self, parcel: Parcel) -> Begun:
        """Keep what is to be done; say what is missing. Asking twice is harmless."""
        token = parcel.token
        if token in self._attempts:
            return Begun(readiness=Readiness.READY, worker=self._name)
        try:
            place = await asyncio.to_thread(self._prepare, parcel)
        except DrcliError as error:
            said = f"worker {self._name}: {error.message} {error.hint}".strip()
            return Begun(readiness=Readiness.REFUSED, worker=self._name, said=said)
        if place is None:
            return Begun(readiness=Readiness.WANTS_PROJECT, worker=self._name)
        given = self._waiting.get(token)
        if given is None or self._closed.is_set():
            return Begun(readiness=Readiness.UNKNOWN)
        now = time.monotonic()
        loop = asyncio.get_running_loop()
        attempt = _Attempt(
            token=token,
            parcel=parcel,
            place=place,
            news=asyncio.Event(),
            loop=loop,
            sent=now,
            until=now + LEASE,
        )
        self._attempts[token] = attempt
        given.put(attempt)
        return Begun(readiness=Readiness.READY, worker=self._name)

    async def receive(self, digest: str, site: str, data: bytes) -> str:
        """Keep a project; empty when it is here now, else why not."""
        try:
            await asyncio.to_thread(unpack, data, digest, site=site, state_dir=self._state_dir)
            spare = frozenset(place.project for place in list(self._places.values()))
            await asyncio.to_thread(prune_projects, self._state_dir, spare=spare)
        except DrcliError as error:
            return f"worker {self._name}: {error.message} {error.hint}".strip()
        return ""

    async def poll(self, token: str, *, ack: int, seen: int, stop: bool) -> Reply | None:
        """What came after the first `seen` events; None when the token or its lease is no more."""
        attempt = self._attempts.get(token)
        if attempt is None or time.monotonic() > attempt.until:
            return None
        if ack == attempt.number:
            attempt.until = attempt.sent + LEASE
        if stop:
            attempt.stop.set()
        if not attempt.over.is_set():
            with suppress(MachineError):  # what starts something finds that out for itself
                self._guardian.watch(f"{attempt.run}/", attempt.until)
        attempt.go.set()
        attempt.news.clear()
        if len(attempt.events) <= seen and not attempt.over.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(attempt.news.wait(), HOLD)
        over = attempt.over.is_set()  # asked before the events: none may come after the result
        attempt.number += 1
        attempt.sent = time.monotonic()
        return Reply(
            number=attempt.number,
            events=tuple(attempt.events[seen:]),
            result=attempt.result if over else None,
            log=attempt.log if over else b"",
            cut_short=attempt.stop.is_set(),
            error=attempt.error if over else "",
        )

    async def finish(self, token: str) -> None:
        """Forget an attempt whose result has come to its controller."""
        attempt = self._attempts.get(token)
        if attempt is not None:
            attempt.fetched.set()

    def stop(self) -> None:
        """Stop what runs: its controllers are told that it was cut short, while they can be."""
        for attempt in list(self._attempts.values()):
            attempt.stop.set()

    def close(self) -> None:
        """Stop what runs, wait until it is over, and leave nothing behind."""
        if self._closed.is_set():
            return
        self._closed.set()
        self.stop()
        for attempt in list(self._attempts.values()):
            if attempt.go.is_set():
                attempt.over.wait(ENDING)
        self._playbooks.close()
        self._guardian.close()
        for place in self._places.values():
            place.stack.close()

    def _do(self, attempt: _Attempt) -> None:
        """The work itself; whatever happens, the attempt is over after it."""
        request = attempt.parcel.request
        try:
            if attempt.stop.is_set():
                attempt.result = _cut_short(request, "stopped before it started")
            else:
                self._guardian.watch(f"{attempt.run}/", attempt.until)
                self._work(attempt, request)
        except DrcliError as error:
            attempt.result = _failed(request, f"{error.message} {error.hint}".strip())
        except Exception:  # noqa: BLE001 -- told to the controller, where it is raised again
            attempt.error = traceback.format_exc()
        finally:
            attempt.over.set()
            attempt.wake()
            with suppress(MachineError):
                self._guardian.forget(f"{attempt.run}/")

    def _work(self, attempt: _Attempt, request: PlaybookRequest | GateRequest) -> None:
        project, tell, stop = attempt.place.project, attempt.tell, attempt.stop
        if isinstance(request, GateRequest):
            local = replace(
                request,
                run=attempt.run,
                project=project,
                inventory=project / request.inventory,
                gate=project / request.gate,
            )
            attempt.result = attempt.place.gates(local, tell, stop)
            return
        ours = replace(
            request,
            run=attempt.run,
            project=project,
            inventory=project / request.inventory,
            playbook=project / request.playbook,
            options=attempt.place.options,
        )
        attempt.result = self._playbooks(ours, tell, stop)
        with suppress(OSError):  # it is the controller that keeps what is left of a run
            log = Path(attempt.result.artifact)
            attempt.log = log.read_bytes()
            shutil.rmtree(log.parent)

    def _prepare(self, parcel: Parcel) -> _Place | None:
        """The place of a parcel's run; None when its project is not here."""
        if parcel.versions != versions():
            raise MachineError(
                f"has {versions()}; the controller has {parcel.versions}.",
                hint="Install the same on both, and start the worker again.",
            )
        project = kept_project(
            parcel.digest, site=parcel.site, state_dir=self._state_dir, own=self._project
        )
        if project is None:
            return None
        with self._lock:
            key = (parcel.run, project)
            place = self._places.get(key) or self._places.setdefault(key, _furnish(parcel, project))
            place.used = time.monotonic()
        return place

    def _watch(self) -> None:
        """Stop what has no lease any more; give up what no run needs any more."""
        while not self._closed.wait(LOOK):
            now = time.monotonic()
            attempts = list(self._attempts.values())
            for attempt in attempts:
                if now > attempt.until:
                    attempt.stop.set()
            with self._lock:
                used = [id(attempt.place) for attempt in attempts]
                for key, place in list(self._places.items()):
                    if id(place) in used:
                        place.used = now
                    elif now - place.used > IDLE:
                        self._places.pop(key).stack.close()


def _furnish(parcel: Parcel, project: Path) -> _Place:
    """Put a run's secrets into memory, and name them where the options do."""
    with ExitStack() as stack:
        options, kept = parcel.options, {}
        key = options.private_key
        if key is not None and not key.is_file():
            raise MachineError(
                f"has no {key}: a private key is not sent to workers.",
                hint="Put one there, or name it in the inventory.",
            )
        if parcel.secrets:
            folder = stack.enter_context(private_folder())
            if not in_memory(folder):
                raise MachineError(
                    f"has no folder in memory for a vault's password: {folder} is on a disk.",
                    hint="Mount a tmpfs at /dev/shm, or set XDG_RUNTIME_DIR to one.",
                )
            for name, text in parcel.secrets.items():
                kept[name] = folder / name
                with os.fdopen(os.open(kept[name], os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
                    file.write(text)
        password = options.vault_password_file
        ids = (word.rpartition("@") for word in options.vault_ids)
        options = replace(
            options,
            vault_password_file=kept[str(password)] if password else None,
            vault_ids=tuple(f"{label}{at}{kept[name]}" for label, at, name in ids),
        )
        gates = stack.enter_context(TestinfraGates(options))
        return _Place(
            project=project,
            options=options,
            gates=gates,
            stack=stack.pop_all(),
            used=time.monotonic(),
        )


def _cut_short(request: PlaybookRequest | GateRequest, why: str) -> PlaybookResult | GateResult:
    if isinstance(request, GateRequest):
        return GateResult(green=False, reasons=(why,))
    return PlaybookResult(outcome=PlaybookOutcome.CANCELLED, reasons=(why,))


def _failed(request: PlaybookRequest | GateRequest, why: str) -> PlaybookResult | GateResult:
    if isinstance(request, GateRequest):
        return GateResult(green=False, reasons=(why,))
    return PlaybookResult(outcome=PlaybookOutcome.FAILED, reasons=(why,))
