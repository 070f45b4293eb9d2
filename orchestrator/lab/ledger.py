"""The ledger: what the site acknowledged as written, one JSON line each, kept by the controller.

A client on a host of the lab writes and prints a line for each write that the site has confirmed;
the controller puts the line on disk here. So the ledger never lists what was not acknowledged, and
a power cut in the middle of a write leaves nothing in it to argue about.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from orchestrator.errors import InputError, RecoveryError
from orchestrator.lab.command import run
from orchestrator.lab.definition import Lab, Writer
from orchestrator.lab.progress import Step, Tell

PATIENCE = 60.0  # seconds for the writers to reach the number of writes asked for
LAST_WORDS = 5.0  # seconds for a client that was ended to be gone
READER_TIMEOUT = 600.0


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
    """Clients at work: how many acknowledgements each has had, and what a failed one said."""

    counts: dict[str, int] = field(default_factory=dict)
    ended: dict[str, str] = field(default_factory=dict)

    def least(self) -> int:
        """Acknowledgements of the client that is furthest behind."""
        return min(self.counts.values(), default=0)


def ledger_file(lab: Lab) -> Path:
    """Where a lab's ledger is."""
    return lab.folder / "ledger.jsonl"


@contextmanager
def writing(lab: Lab) -> Iterator[Writing]:
    """Let every client of lab.yml write while the block runs; all are ended after it."""
    state = Writing(counts={writer.name: 0 for writer in lab.file.writers})
    lock = threading.Lock()
    with ledger_file(lab).open("ab") as ledger:
        clients = [(writer, _start(lab, writer)) for writer in lab.file.writers]
        threads = [
            threading.Thread(target=_collect, args=(writer.name, client, ledger, lock, state))
            for writer, client in clients
        ]
        for thread in threads:
            thread.start()
        try:
            yield state
        finally:
            for _, client in clients:
                client.terminate()
            for (_, client), thread in zip(clients, threads, strict=True):
                thread.join(LAST_WORDS)
                if thread.is_alive():
                    client.kill()
                    thread.join()
                client.wait()


def await_writes(state: Writing, writes: int, *, tell: Tell, patience: float = PATIENCE) -> bool:
    """Wait until each client has had that many acknowledgements; False when one cannot."""
    deadline = time.monotonic() + patience
    tell(Step(stage="writes", total=writes))
    while state.least() < writes:
        if state.ended or time.monotonic() > deadline:
            return False
        time.sleep(0.05)
        tell(Step(stage="writes", done=min(state.least(), writes), total=writes))
    tell(Step(stage="writes", done=writes, total=writes))
    return True


def ssh_command(lab: Lab, writer: Writer) -> list[str]:
    """How the controller starts a client on its host: a connection that nobody shares."""
    return [
        "ssh", "-i", str(lab.folder / "id_ed25519"),
        "-o", f"UserKnownHostsFile={lab.folder / 'known_hosts'}",
        "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5",
        "-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", "LogLevel=ERROR",
        "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3",
        f"root@{lab.host(writer.host).address}", "--", *writer.command,
    ]  # fmt: skip


def verdict(lab: Lab) -> Verdict:
    """Ask the site for everything it ever acknowledged.

    Raises:
        InputError: lab.yml names no reader.
        RecoveryError: the reader could not look.
    """
    reader = lab.file.reader
    if reader is None:
        raise InputError(
            f"{lab.own / 'lab.yml'}: no reader", hint="Name the command that looks: reader: ..."
        )
    lines = acknowledged(lab)
    counts: dict[str, int] = {}
    for line in lines:
        kind = str(json.loads(line).get("kind", "write"))
        counts[kind] = counts.get(kind, 0) + 1
    try:
        said = run(ssh_command(lab, reader), stdin=b"".join(lines), timeout=READER_TIMEOUT)
    except RecoveryError as error:
        raise RecoveryError(
            f"nobody could look for the acknowledged writes: {error.message}",
            hint=f"drcli verify --site {lab.site}",
        ) from error
    return Verdict(acknowledged=counts, lost=tuple(said.splitlines()))


def acknowledged(lab: Lab) -> list[bytes]:
    """The ledger's whole lines; a torn last one was never told to anybody."""
    path = ledger_file(lab)
    if not path.exists():
        return []
    return [line for line in path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def _start(lab: Lab, writer: Writer) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 -- an argument list, no shell
        ssh_command(lab, writer),
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
