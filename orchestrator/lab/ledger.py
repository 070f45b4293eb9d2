"""The ledger: what the site acknowledged as written, one JSON line each, kept by the controller.

A client outside of the site writes and prints a line for each write that the site has confirmed;
the controller puts the line on disk here. So the ledger never lists what was not acknowledged, and
a power cut in the middle of a write leaves nothing in it to argue about.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from orchestrator.errors import InputError, RecoveryError
from orchestrator.lab.command import run
from orchestrator.lab.definition import Client, Definition
from orchestrator.lab.instance import Instance
from orchestrator.lab.podman import execute
from orchestrator.lab.progress import Step, Tell

PATIENCE = 90.0  # seconds for the writers to reach the number of writes asked for
LAST_WORDS = 5.0  # seconds for a client that was ended to be gone
READER_TIMEOUT = 300.0
RUNNING = "/run/lab-writer-"  # begins the name of a file on its host with a writer's process

END = f"kill -KILL $(cat {RUNNING}* 2>/dev/null) 2>/dev/null || true; rm -f {RUNNING}*"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the site has of what it acknowledged; `lost` has the reader's line for each it lacks."""

    acknowledged: dict[str, int]
    lost: tuple[str, ...]

    @property
    def total(self) -> int:
        """How many writes were acknowledged."""
        return sum(self.acknowledged.values())


@dataclass
class Writing:
    """Clients at work: how many acknowledgements each has had, and what one that ended said."""

    counts: dict[str, int]
    ended: dict[str, str] = field(default_factory=dict)


def ledger_file(instance: Instance) -> Path:
    """Where a lab's ledger is."""
    return instance.folder / "ledger.jsonl"


@contextmanager
def writing(definition: Definition, instance: Instance) -> Iterator[Writing]:
    """Let every client of lab.yml write while the block runs; all are ended after it."""
    writers = definition.file.writers
    state = Writing(counts={writer.name: 0 for writer in writers})
    lock = threading.Lock()
    with ledger_file(instance).open("ab") as ledger:
        clients = [_start(definition, instance, writer) for writer in writers]
        threads = [
            threading.Thread(target=_collect, args=(writer.name, client, ledger, lock, state))
            for writer, client in zip(writers, clients, strict=True)
        ]
        for thread in threads:
            thread.start()
        try:
            yield state
        finally:
            for host in sorted({writer.host for writer in writers}):
                execute(instance.container(host), END)
            for client, thread in zip(clients, threads, strict=True):
                thread.join(LAST_WORDS)
                if thread.is_alive():
                    client.kill()
                    thread.join()
                client.wait()


def await_writes(state: Writing, writes: int, *, tell: Tell, patience: float = PATIENCE) -> None:
    """Wait until each client has had that many acknowledgements.

    Raises:
        RecoveryError: one has ended, or they were too slow.
    """
    deadline = time.monotonic() + patience
    least = -1
    while least < writes:
        now = min(state.counts.values())
        if now != least:
            least = now
            tell(Step(stage="writes", done=min(least, writes), total=writes))
        if state.ended or time.monotonic() > deadline:
            said = "; ".join(f"{name}: {why}" for name, why in state.ended.items())
            raise RecoveryError(
                f"the site takes too few writes ({_counted(state)}): {said or 'it is too slow'}",
                hint="Is the site up? drcli verify tells; `drcli lab cut --writes 0` cuts anyway.",
            )
        time.sleep(0.02)


def verdict(definition: Definition, instance: Instance, *, only: str | None = None) -> Verdict:
    """Ask the site for everything it ever acknowledged, or for what is of the kind `only`.

    Raises:
        InputError: lab.yml names no reader, or the lab is a part that nobody writes to.
        RecoveryError: the reader could not look.
    """
    reader = definition.file.reader
    if definition.layer is not None:
        raise InputError(
            f"nobody writes to the lab {instance.name}: it ends with the layer {definition.layer}",
            hint="A lab of the whole site has a ledger: drcli lab up without --layer.",
        )
    if reader is None:
        raise InputError(
            f"{definition.own / 'lab.yml'}: no reader", hint="Name the command that looks: reader."
        )
    lines = [line for line in acknowledged(instance) if only in (None, _kind(line))]
    counts = Counter(map(_kind, lines))
    command = _ssh(definition, instance, reader.host, reader.command)
    try:
        said = run(command, stdin=b"".join(lines), timeout=READER_TIMEOUT)
    except RecoveryError as error:
        raise RecoveryError(
            f"nobody could look for the acknowledged writes: {error.message}",
            hint=f"drcli verify --site {instance.site}",
        ) from error
    return Verdict(acknowledged=dict(counts), lost=tuple(said.splitlines()))


def acknowledged(instance: Instance) -> list[bytes]:
    """The ledger's whole lines; a torn last one was never told to anybody."""
    path = ledger_file(instance)
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _kind(line: bytes) -> str:
    return str(json.loads(line).get("kind", "write"))


def _counted(state: Writing) -> str:
    return ", ".join(f"{count} {name}" for name, count in state.counts.items())


def _ssh(
    definition: Definition, instance: Instance, host: str, command: tuple[str, ...]
) -> list[str]:
    """How the controller runs a client on its host: over a connection that nobody shares."""
    return [
        "ssh", "-i", str(instance.folder / "id_ed25519"),
        "-o", f"UserKnownHostsFile={instance.folder / 'known_hosts'}",
        "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5",
        "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "LogLevel=ERROR",
        "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
        f"root@{instance.address(definition.host(host).number)}", "--",
        shlex.join(command),
    ]  # fmt: skip


def _start(definition: Definition, instance: Instance, writer: Client) -> subprocess.Popen[bytes]:
    """Start a writer: so that it can be ended there as well, also when it hangs."""
    command = f"echo $$ >{RUNNING}{writer.name}; exec {shlex.join(writer.command)}"
    return subprocess.Popen(  # noqa: S603 -- an argument list, no shell
        _ssh(definition, instance, writer.host, ("sh", "-c", command)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _collect(
    name: str,
    client: subprocess.Popen[bytes],
    ledger: IO[bytes],
    lock: threading.Lock,
    state: Writing,
) -> None:
    assert client.stdout is not None  # noqa: S101 -- a pipe was asked for
    assert client.stderr is not None  # noqa: S101 -- a pipe was asked for
    for line in client.stdout:
        if not _is_acknowledgement(line):
            continue
        with lock:
            ledger.write(line)
            ledger.flush()
            os.fsync(ledger.fileno())
        state.counts[name] += 1
    said = client.stderr.read().decode(errors="replace").strip().splitlines()
    state.ended[name] = said[-1] if said else f"ended after {state.counts[name]} writes"


def _is_acknowledgement(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and isinstance(json.loads(line), dict)
    except ValueError:
        return False
