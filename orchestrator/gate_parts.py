"""Splits a gate by host: once pytest has collected, its process forks, and the parts run at once.

The gate is loaded and collected once, whole, so a conftest sees all checks as it would without
parts. Each check is then run by exactly one part: the one its host belongs to, and those without a
host by the first. A part is a pytest session that ends as any other; the first one waits for the
rest. A gate is over well only when every part announced its end and ended so.
"""

from __future__ import annotations

import mmap
import os
import sys
from collections.abc import Callable, Generator
from contextlib import suppress
from math import ceil

import pytest

from orchestrator.warm_process import die_with


class Parts:
    """The hooks that fork a session into at most `most` parts, and end one that has seen enough."""

    def __init__(
        self,
        hosts: list[str],
        most: int,
        *,
        host_of: Callable[[pytest.Item], str | None],
        report: Callable[..., None],
    ) -> None:
        self._hosts = hosts
        self._most = most
        self._host_of = host_of
        self._report = report
        self._number = 0
        self._session: pytest.Session | None = None
        self._enough = mmap.mmap(-1, 1)  # shared by all parts: one of them reached --maxfail

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Fork, and run this part's checks; the first part waits for the others."""
        self._session = session
        on = {self._host_of(item) for item in session.items}
        hosts = [host for host in self._hosts if host in on]
        each = max(1, ceil(len(hosts) / self._most))
        count = 1 if session.testsfailed else max(1, ceil(len(hosts) / each))
        self._report(kind="parts", parts=count, checks=len(session.items))
        part_of = {host: place % count for place, host in enumerate(hosts)}
        others: dict[int, int] = {}
        try:
            self._fork(count, others)
            session.items[:] = [
                item
                for item in session.items
                if part_of.get(self._host_of(item) or "", 0) == self._number
            ]
            return (yield)
        finally:
            for pid, number in others.items():
                with suppress(ChildProcessError):  # a check waited for every child
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    self._report(kind="exit", part=number, code=code)

    def _fork(self, count: int, others: dict[int, int]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        for number in range(1, count):
            pid = os.fork()
            if not pid:
                others.clear()
                self._number = number
                die_with(parent)
                return
            others[pid] = number

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> bool | None:
        """Run no further check once another part has seen enough."""
        if not self._enough[0]:
            return None
        item.session.shouldfail = "another part met a bad check"
        return True

    def pytest_runtest_logfinish(self) -> None:
        """Tell the other parts when this one has reached --maxfail."""
        if self._session and self._session.shouldfail:
            self._enough[0] = 1

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Say that this part is at its end; one that does not counts for nothing."""
        self._report(kind="end", part=self._number, code=int(exitstatus))
