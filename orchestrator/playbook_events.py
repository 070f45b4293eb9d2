"""What ansible-runner's events say about one attempt, and the verdict on it.

A playbook counts only when its final stats were seen and every expected host stands in them as ok.
No exit code and no status word makes up for a host that is missing there.
"""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.events import HostStats, TaskDiffed, TaskFailed, TaskStarted
from orchestrator.redaction import Redactor, cut
from orchestrator.ssh import explain, is_dark

Event = Mapping[str, Any]

LONGEST_REASON = 600
MOST_DIFFS = 50  # told of one attempt; all of them stand in its log
_REAL_CHANGE = "drcli: changed, although this is a dry run"  # of drcli_dry_run.py
_STATS = {
    "ok": "ok",
    "changed": "changed",
    "failures": "failures",
    "dark": "unreachable",
    "skipped": "skipped",
    "rescued": "rescued",
    "ignored": "ignored",
}
_UNSAYING = {"", "non-zero return code", "All items completed", "One or more items failed"}
_LAST_LINES = 40
_UNMATCHED = re.compile(r"Could not match supplied host pattern, ignoring: (\S+)")


@dataclass(frozen=True, kw_only=True)
class _Failure:
    told: TaskFailed
    path: str
    number: int


class Watch:
    """Takes the events of one attempt in their order, tells tasks and failures, remembers the rest.

    Whether a failure is rescued is known only from what follows: it is held back until its host
    takes no part in the task after the next one, or until the stats.
    """

    def __init__(
        self,
        component: str,
        tell: Callable[[TaskStarted | TaskDiffed | TaskFailed], None],
        redactor: Redactor,
    ) -> None:
        self._component = component
        self._tell = tell
        self._redactor = redactor
        self._tasks = 0
        self._last_seen: dict[str, int] = {}
        self._open: list[_Failure] = []
        self._item_said: dict[str, str] = {}
        self._lines: deque[str] = deque(maxlen=_LAST_LINES)
        self.stats: dict[str, HostStats] | None = None
        self.failed: list[tuple[TaskFailed, str]] = []
        self.really_changed: list[str] = []
        self._diffs = 0
        self.unreachable: dict[str, str] = {}
        self.dark: set[str] = set()
        self._unmatched: set[str] = set()
        self.misnamed: list[str] = []
        self.asked = ""
        self.task = ""

    def take(self, event: Event) -> None:  # noqa: C901 -- one case for each kind
        """Take the next event; unknown kinds are nothing to worry about."""
        data: Event = event.get("event_data") or {}
        host = str(data.get("host") or "")
        if _REAL_CHANGE in str(event.get("stdout") or "").splitlines():
            self._change_really(data, host)
        match event.get("event"):
            case "playbook_on_task_start":
                self._start(data)
            case "runner_on_start":
                self._last_seen[host] = self._tasks
            case "runner_item_on_failed":
                self._item_said[host] = _message(data.get("res"), "")
            case "runner_on_failed":
                self._fail(data, host, str(event.get("stdout") or ""))
            case "runner_on_unreachable":
                self._lose(data, host, str(event.get("stdout") or ""))
            case "runner_on_file_diff":
                self._diff(data, host, str(event.get("stdout") or ""))
            case "playbook_on_no_hosts_matched":
                self._miss(data)
            case "playbook_on_vars_prompt":
                self.asked = self._redactor.message(str(data.get("varname") or "a variable"), 100)
            case "playbook_on_stats":
                self.stats = _stats(data)
                self.close()
            case "verbose" | "error" | "warning" | "system_warning" | "deprecated":
                self._note(str(event.get("stdout") or ""))

    def close(self) -> None:
        """Say of every failure still held back whether it was rescued."""
        for host in dict.fromkeys(f.told.host for f in self._open):
            failures = [f for f in self._open if f.told.host == host]
            line = (self.stats or {}).get(host)
            lasting = len(failures) if line is None else min(line.failures, len(failures))
            for place, failure in enumerate(failures):
                self._say(failure, rescued=place < len(failures) - lasting)
        self._open.clear()

    def said(self) -> str:
        """What Ansible printed outside of any task, from its first error on: why nothing ran."""
        lines = [self._redactor.message(line) for line in self._lines]
        first = next(
            (n for n, line in enumerate(lines) if line.startswith(("[ERROR]", "ERROR"))), 0
        )
        return cut("\n".join(line for line in lines[first:] if line), LONGEST_REASON * 2)

    def _note(self, stdout: str) -> None:
        self._lines.extend(stdout.splitlines())
        self._unmatched.update(_UNMATCHED.findall(stdout))

    def _miss(self, data: Event) -> None:
        """A play without hosts: fine when the limit took them away, not when they do not exist."""
        pattern = str(data.get("play_pattern") or "")
        for name in sorted(self._unmatched):
            if name in pattern:
                self.misnamed.append(
                    f"play {data.get('play')!r}: no host or group is called {name!r}"
                )

    def _start(self, data: Event) -> None:
        self._tasks += 1
        self._item_said.clear()
        self.task = self._redactor.message(str(data.get("name") or data.get("task") or ""), 300)
        play = self._redactor.message(str(data.get("play") or ""), 300)
        self._tell(TaskStarted(component=self._component, play=play, task=self.task))
        for failure in [f for f in self._open if self._tasks - f.number > 1]:
            if self._last_seen.get(failure.told.host, 0) <= failure.number:
                self._open.remove(failure)
                self._say(failure, rescued=False)

    def _fail(self, data: Event, host: str, stdout: str) -> None:
        said = _message(data.get("res"), self._item_said.get(host, "") or stdout)
        told = TaskFailed(
            component=self._component,
            host=host,
            task=self._redactor.message(str(data.get("task") or ""), 300),
            message=self._redactor.message(said),
            ignored=bool(data.get("ignore_errors")),
        )
        if told.ignored:
            self._tell(told)
            return
        path = str(data.get("task_path") or "")
        self._open.append(_Failure(told=told, path=path, number=self._tasks))

    def _diff(self, data: Event, host: str, stdout: str) -> None:
        self._diffs += 1
        said = self._redactor.message(stdout)
        if said and self._diffs <= MOST_DIFFS:
            task = self._redactor.message(str(data.get("task") or ""), 300)
            self._tell(TaskDiffed(component=self._component, host=host, task=task, diff=said))

    def _change_really(self, data: Event, host: str) -> None:
        """A dry run that changes something is none."""
        task = self._redactor.message(str(data.get("task") or ""), 300)
        path = str(data.get("task_path") or "")
        self.really_changed.append(
            f"{host}: task {task!r}{f' ({path})' if path else ''} has `check_mode: false`: "
            "in this dry run it changed something all the same"
        )

    def _lose(self, data: Event, host: str, stdout: str) -> None:
        said = self._redactor.message(_message(data.get("res"), stdout))
        self.unreachable.setdefault(host, explain(host, said))
        if is_dark(said):
            self.dark.add(host)
        task = self._redactor.message(str(data.get("task") or ""), 300)
        self._tell(
            TaskFailed(
                component=self._component, host=host, task=task, message=said, unreachable=True
            )
        )

    def _say(self, failure: _Failure, *, rescued: bool) -> None:
        told = failure.told.model_copy(update={"rescued": rescued})
        self._tell(told)
        if not rescued:
            self.failed.append((told, failure.path))


def shortcomings(watch: Watch, hosts: tuple[str, ...], rc: int | None) -> tuple[str, ...]:
    """Every reason why the attempt did not succeed on exactly these hosts; none when it did."""
    reasons = [*watch.unreachable.values(), *watch.really_changed]
    for told, path in watch.failed:
        place = f" ({path})" if path else ""
        said = cut(told.message, LONGEST_REASON)
        reasons.append(f"{told.host}: task {told.task!r} failed{place}: {said}")
    ended = f"ansible-playbook ended with code {rc}"
    said = watch.said()
    if watch.asked:
        reasons.append(f"it asks for {watch.asked}: nobody answers")
    elif watch.stats is None:
        reasons.append(f"{ended}, without its final stats" + (f": {said}" if said else ""))
    if watch.stats is None:
        return tuple(reasons)
    if not watch.stats:
        reasons.append("no host matched: check the hosts of the playbook's plays")
    reasons += watch.misnamed
    explained = {*watch.unreachable, *(told.host for told, _ in watch.failed)}
    lines = (_not_ok(host, watch.stats.get(host)) for host in hosts if host not in explained)
    reasons += [line for line in lines if line]
    if rc != 0 and not reasons:
        reasons.append(ended + (f": {said}" if said else ""))
    return tuple(dict.fromkeys(reasons))


def _not_ok(host: str, line: HostStats | None) -> str:
    """Why a host's line of the stats is no success; empty when it is one."""
    if line is None:
        return f"{host}: no play ran on it"
    if line.unreachable:
        return f"{host}: unreachable"
    if line.failures:
        return f"{host}: {line.failures} tasks failed"
    return "" if line.ok else f"{host}: no task was done on it ({line.skipped} skipped)"


def _stats(data: Event) -> dict[str, HostStats]:
    """Ansible's counters, host by host; a host stands in them once a play has begun on it."""
    hosts = {host for kind in ("processed", *_STATS) for host in data.get(kind) or {}}
    return {
        host: HostStats(
            **{ours: int((data.get(theirs) or {}).get(host, 0)) for theirs, ours in _STATS.items()}
        )
        for host in sorted(hosts)
    }


def _message(res: object, otherwise: str) -> str:
    """What a failed result says for a person: its message, then what the command printed.

    A module may return anything under any name.
    """
    result = res if isinstance(res, Mapping) else {}
    results = result.get("results")
    parts = [_text(result.get("msg"))]
    parts += [
        f"item {_text(item.get('item'))}: {_message(item, '')}"
        for item in (results if isinstance(results, list) else ())
        if isinstance(item, Mapping) and (item.get("failed") or item.get("unreachable"))
    ]
    if "rc" in result:
        parts.append(" ".join([_command(result.get("cmd")), f"exit code {result['rc']}"]).strip())
    for stream in ("stderr", "module_stderr", "stdout", "module_stdout"):
        text = _text(result.get(stream)).strip()
        if text:
            parts.append(f"{stream}: {text}")
            break
    useful = [part for part in parts if part not in _UNSAYING]
    return "\n".join(useful) or otherwise or _text(result.get("censored"))


def _command(cmd: object) -> str:
    words = (
        cmd if isinstance(cmd, str) else shlex.join(map(str, cmd)) if isinstance(cmd, list) else ""
    )
    return f"`{cut(words, 200)}` ended with" if words else ""


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
