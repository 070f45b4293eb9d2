"""Playbooks and gates that run on the workers of a cluster: the two Protocols of work.py, remote.

The engine does not know the difference. Each part of a request (shards.py) goes to a worker as one
attempt (errand.py), followed from a thread of its own; what it tells is told here, in its order.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from typing import TypeVar

from orchestrator.artifacts import FOLDER as ARTIFACTS
from orchestrator.errand import Errand, Shipper
from orchestrator.errors import InputError, MachineError
from orchestrator.events import PlaybookOutcome
from orchestrator.executor import Cluster
from orchestrator.shards import joined_gates, joined_playbooks, shards
from orchestrator.state_directory import make_private
from orchestrator.work import (
    AnsibleOptions,
    GateRequest,
    GateResult,
    PlaybookRequest,
    PlaybookResult,
    Tell,
)

Part = TypeVar("Part")
Result = TypeVar("Result")

MOST_FOLLOWED = 64  # parts of one request under way at once


class ClusterPlaybooks:
    """Runs playbooks on workers; their logs come home, to STATE/artifacts/RUN/."""

    def __init__(self, cluster: Cluster, shipper: Shipper, *, state_dir: Path) -> None:
        self._cluster = cluster
        self._shipper = shipper
        self._state_dir = state_dir

    def __call__(self, request: PlaybookRequest, tell: Tell, stop: Flag) -> PlaybookResult:
        """Run it to its end, its timeout, or `stop`; or until the worker is lost for certain.

        Raises:
            RecoveryError: no worker takes it, or the one that did refuses it.
        """

        def run(part: PlaybookRequest) -> PlaybookResult:
            reply = Errand(self._cluster, self._shipper, part, tell, stop).run()
            if reply is None:
                reasons = ("stopped before it started",)
                return PlaybookResult(outcome=PlaybookOutcome.CANCELLED, reasons=reasons)
            result = reply.result
            if not isinstance(result, PlaybookResult) or (
                result.outcome is PlaybookOutcome.CANCELLED and not stop.is_set()
            ):
                return PlaybookResult(
                    outcome=PlaybookOutcome.CANCELLED if stop.is_set() else PlaybookOutcome.LOST,
                    reasons=(f"lost on {', '.join(part.hosts)}: {reply.said}",),
                    lost=part.hosts,
                )
            return self._keep_log(part, result, reply.log)

        return joined_playbooks(_side_by_side(run, shards(request)))

    def _keep_log(
        self, part: PlaybookRequest, result: PlaybookResult, log: bytes
    ) -> PlaybookResult:
        """Put the log where one of this machine's own would be."""
        shard = f"-{part.hosts[0]}" if part.shard_size else ""
        folder = self._state_dir / ARTIFACTS / part.run
        path = folder / f"{part.component}-{part.attempt}{shard}.jsonl.gz"
        if not log:
            return replace(result, artifact="")
        try:
            make_private(folder)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
                f.write(log)
        except (OSError, MachineError) as error:
            trouble = f"the log {path} could not be kept: {error}"
            return replace(result, artifact="", reasons=(*result.reasons, trouble))
        return replace(result, artifact=str(path))


class ClusterGates:
    """Runs gates on workers."""

    __test__ = False  # pytest must not take it for a test

    def __init__(self, cluster: Cluster, shipper: Shipper) -> None:
        self._cluster = cluster
        self._shipper = shipper

    def __call__(self, request: GateRequest, tell: Tell, stop: Flag) -> GateResult:
        """Run it to its end, its timeout, or `stop`; or until the worker is lost.

        Raises:
            RecoveryError: no worker takes it, or the one that did refuses it.
        """

        def run(part: GateRequest) -> GateResult:
            reply = Errand(self._cluster, self._shipper, part, tell, stop).run()
            if reply is None:
                return GateResult(green=False, reasons=("stopped before it started",))
            result = reply.result
            if isinstance(result, GateResult) and (result.green or not reply.cut_short):
                return result
            return GateResult(
                green=False, lost=not stop.is_set(), reasons=(reply.said or "stopped",)
            )

        return joined_gates(_side_by_side(run, shards(request)))


def sealed_options(
    options: AnsibleOptions,
) -> tuple[AnsibleOptions, dict[str, str], frozenset[Path]]:
    """The options as they are sent, the secrets they then name, and the files those came from.

    Raises:
        InputError: a vault's password is not the content of a plain file.
    """
    secrets: dict[str, str] = {}
    files: set[Path] = set()

    def sealed(source: str) -> str:
        path = Path(source)
        if not path.is_file() or os.access(path, os.X_OK):
            raise InputError(
                f"the vault's password {source!r} is no plain file: workers cannot ask for it",
                hint="With a cluster, name a file that holds the password itself.",
            )
        name = f"vault-{len(secrets)}"
        secrets[name] = path.read_text(encoding="utf-8")
        files.add(path.absolute())
        return name

    password = options.vault_password_file
    ids = [word.rpartition("@") for word in options.vault_ids]
    sent = replace(
        options,
        vault_password_file=Path(sealed(str(password))) if password else None,
        vault_ids=tuple(f"{label}{at}{sealed(source)}" for label, at, source in ids),
    )
    return sent, secrets, frozenset(files)


def _side_by_side(run: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    if len(parts) == 1:
        return [run(parts[0])]
    with ThreadPoolExecutor(min(len(parts), MOST_FOLLOWED), "drcli-shard") as threads:
        return list(threads.map(run, parts))
