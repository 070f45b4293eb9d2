"""The log of one attempt at a playbook: Ansible's events, redacted and bounded, one JSON a line."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from orchestrator.errors import MachineError
from orchestrator.redaction import Redactor
from orchestrator.state_directory import make_private

LONGEST_TEXT = 16_000  # characters of one text of an event
LONGEST_LOG = 16 * 1024 * 1024  # characters of one log; after that only what failed, and the end
_ALWAYS = {"playbook_on_stats", "runner_on_failed", "runner_on_unreachable", "error"}
# With -vvv in ansible.cfg: what goes over a connection, `no_log` or not.
_CHATTER = re.compile(r"\s*<[^>\n]*> ")
_LEFT_OUT = {"runner_ident", "parent_uuid", "pid", "end_line", "start_line"}


def is_chatter(event: Mapping[str, object]) -> bool:
    """Whether it shows what goes over a connection: commands and results, censored by nobody."""
    return event.get("event") == "verbose" and bool(_CHATTER.match(str(event.get("stdout"))))


class PlaybookLog:
    """Writes STATE/artifacts/RUN/COMPONENT-ATTEMPT.jsonl, mode 0600, folders 0700.

    A disk that is full or read-only does not stop a recovery: `trouble` then says what is missing.
    """

    def __init__(self, path: Path, redactor: Redactor) -> None:
        self.path = path
        self.trouble = ""
        self._redactor = redactor
        self._file: IO[str] | None = None
        self._written = 0

    def __enter__(self) -> Self:
        try:
            make_private(self.path.parent)
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            self._file = os.fdopen(descriptor, "w", encoding="utf-8", errors="replace")
        except (OSError, MachineError) as error:
            self._give_up(error)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if self._file:
                self._file.close()
        except OSError as full:
            self._give_up(full)

    def write(self, event: Mapping[str, object]) -> None:
        """Keep one event; it can be read as soon as it is written."""
        if self._file is None:
            return
        if self._written > LONGEST_LOG and event.get("event") not in _ALWAYS:
            return
        kept = {k: v for k, v in event.items() if k not in _LEFT_OUT and v != ""}
        value = self._redactor.value(kept, longest=LONGEST_TEXT)
        line = json.dumps(value, ensure_ascii=False, default=str)
        self._written += len(line)
        try:
            self._file.write(line + "\n")
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError | MachineError) -> None:
        self._file = None
        self.trouble = f"the log {self.path} could not be kept: {error}"
