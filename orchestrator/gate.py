"""Runs a component's gate: pytest with testinfra in a process of its own, judged from here.

Only what the plugin reports through its pipe counts, and only together with a clean end of the
process. Nothing of this process's environment or of a pytest configuration gets in: no
PYTEST_ADDOPTS, no addopts, no plugin but testinfra's and ours.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path
from threading import Event as Flag
from typing import Any

from orchestrator.attempt import (
    contained,
    end_processes,
    environment,
    new_mark,
    private_folder,
    write_private,
)
from orchestrator.errors import InputError
from orchestrator.events import CheckFinished, CheckOutcome, GateCollected
from orchestrator.gate_verdict import Seen, judge
from orchestrator.listing import hosts_of, listing
from orchestrator.pass_through import gate_settings, host_variables
from orchestrator.redaction import Redactor, cut, secret_values
from orchestrator.ssh import explain
from orchestrator.work import AnsibleOptions, GateRequest, GateResult, Tell

POLL = 0.1  # seconds between two looks at the clock, the stop flag and the process
_PIECE = 65_536  # bytes read at once, and kept of the gate's own output, from its end
_LONGEST_LINE = 1_048_576
_PRINTED = 1_500  # characters of the output in a reason
_PYTEST = (
    *(sys.executable, "-P", "-m", "pytest"),
    *("-c", os.devnull, "-p", "testinfra.plugin", "-p", "orchestrator.gate_plugin"),
    *("-p", "no:cacheprovider", "--capture=no", "--tb=native"),
    *("-q", "--no-header", "--no-summary", "-o", "verbosity_assertions=1"),
    *("-o", "truncation_limit_lines=20", "-o", "truncation_limit_chars=2000"),
    # A check that can only pass is no check: `return a == b`, `assert (a, "why")`.
    *("-W", "error::pytest.PytestReturnNotNoneWarning"),
    *("-W", "error:assertion is always true"),
    *("-W", "error:It is deprecated to return a value:DeprecationWarning"),  # of a unittest
    # One that pytest leaves out, or an error that no check sees, proves nothing either.
    *("-W", "error::pytest.PytestCollectionWarning"),
    *("-W", "error::pytest.PytestUnhandledThreadExceptionWarning"),
    *("-W", "error::pytest.PytestUnraisableExceptionWarning"),
)


class TestinfraGates:
    """Runs gates; may be called from several threads at once."""

    __test__ = False  # pytest must not take it for a test

    def __init__(self, options: AnsibleOptions | None = None) -> None:
        self._options = options or AnsibleOptions()

    def __call__(self, request: GateRequest, tell: Tell, stop: Flag) -> GateResult:
        """Run it to its end, its timeout, or `stop`; no process of it is left."""
        options = self._options
        try:
            inventory = listing(request.inventory, vault=options.vault)
            inventory = host_variables(inventory, options, request.variables)
        except InputError as error:
            return GateResult(green=False, reasons=(error.message,))
        unknown = [host for host in request.hosts if host not in hosts_of(inventory)]
        if unknown or not request.hosts:
            files = ", ".join(map(str, request.inventory))
            what = f"not in {files}: {', '.join(unknown)}" if unknown else "no hosts"
            return GateResult(green=False, reasons=(what,))
        secrets = secret_values(inventory["_meta"]["hostvars"])
        redactor = Redactor(secrets | options.secrets(request.variables))
        reader = _Reader(request, tell, redactor)
        with private_folder() as folder:
            settings = gate_settings(options, folder)
            _run(request, inventory, folder, reader, settings=settings, stop=stop)
        return judge(
            reader.seen,
            request.hosts,
            request.minimum,
            to_the_end=not request.ends_early,
            one_is_enough=request.one_is_enough,
        )


def _run(  # noqa: PLR0913 -- each by name
    request: GateRequest,
    inventory: dict[str, Any],
    folder: Path,
    reader: _Reader,
    *,
    settings: dict[str, str],
    stop: Flag,
) -> None:
    """Run pytest and read what it says, until it is over or must be."""
    mark = new_mark(request.run, f"{request.component}-{request.purpose}", request.attempt)
    content = {"hosts": request.hosts, "inventory": inventory, "control_path_dir": str(folder)}
    job = write_private(folder / "job.json", json.dumps(content))
    report, report_end = os.pipe()
    try:
        with subprocess.Popen(  # noqa: S603 -- fixed words and paths
            contained(_words(request)),
            cwd=request.project,
            env={
                **environment(request.project, folder, mark),
                **settings,
                "ANSIBLE_INVENTORY": ",".join(str(path.absolute()) for path in request.inventory),
                "DRCLI_GATE_JOB": str(job),
                "DRCLI_GATE_REPORT": str(report_end),
                "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                "PYTHONDONTWRITEBYTECODE": "1",  # a gate just edited is never run as it was before
                "PYTHONPATH": str(Path(__file__).parents[1]),  # where this very drcli is
                "TMPDIR": str(folder),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(report_end,),
        ) as process:
            os.close(report_end)
            try:
                why = _follow(process, report, reader, request, stop)
                if why:
                    reader.seen.trouble.insert(0, why)
            finally:
                reader.seen.trouble += end_processes(mark)
            reader.close(process.wait())
    finally:
        os.close(report)


def _follow(
    process: subprocess.Popen[bytes], report: int, reader: _Reader, request: GateRequest, stop: Flag
) -> str:
    """Read until the gate is over, and say nothing; or why it must be ended."""
    assert process.stdout  # noqa: S101 -- it is a pipe
    deadline = time.monotonic() + request.timeout
    with selectors.DefaultSelector() as selector:
        selector.register(report, selectors.EVENT_READ, reader.report)
        selector.register(process.stdout, selectors.EVENT_READ, reader.printed)
        while True:
            over = process.poll() is not None  # what it has said by now is all there is
            ready = selector.select(0 if over else POLL)
            for key, _ in ready:
                data = os.read(key.fd, _PIECE)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fileobj)
            if over and not ready:
                return ""
            if stop.is_set():
                return "stopped"
            if time.monotonic() > deadline:
                return f"time limit of {request.timeout:g} s reached"
            if not selector.get_map():
                time.sleep(POLL)  # it has closed all that could be waited for


class _Reader:
    """Turns the plugin's lines into checks, told as they come."""

    def __init__(self, request: GateRequest, tell: Tell, redactor: Redactor) -> None:
        self.seen = Seen()
        self._request = request
        self._tell = tell
        self._redactor = redactor
        self._rest = bytearray()
        self._printed = bytearray()

    def report(self, data: bytes) -> None:
        """Take some of what the plugin said."""
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[:_LONGEST_LINE]
        for line in lines:
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:  # a gate wrote there
                self.seen.trouble.append(f"its report cannot be read: {error}"[:300])

    def printed(self, data: bytes) -> None:
        """Take some of what the gate printed."""
        self._printed += data
        del self._printed[:-_PIECE]

    def close(self, code: int) -> None:
        """There is no more: it ended with this exit code."""
        self.seen.ended = code
        text = self._redactor.message(self._printed.decode("utf-8", "replace"), _PIECE)
        self.seen.printed = cut(text[-_PRINTED * 2 :], _PRINTED)

    def _take(self, line: dict[str, Any]) -> None:
        match line["kind"]:
            case "collected":
                self.seen.collected = line["checks"]
                self._tell(GateCollected(component=self._request.component, checks=line["checks"]))
            case "check":
                check = CheckFinished(
                    component=self._request.component,
                    check=self._redactor.message(line["check"], 300),
                    host=line["host"],
                    outcome=CheckOutcome(line["outcome"]),
                    seconds=line["seconds"],
                    message=self._message(line),
                )
                self.seen.checks.append(check)
                self._tell(check)
            case "unreachable":
                said = self._redactor.message(line["said"])
                self.seen.unreachable[line["host"]] = explain(line["host"], said)
            case "trouble":
                name = self._request.gate.name
                self.seen.trouble.append(self._redactor.message(f"{name}: {line['what']}", 1_000))
            case "end":
                self.seen.announced = line["code"]

    def _message(self, line: dict[str, Any]) -> str:
        if line["outcome"] == CheckOutcome.UNREACHABLE and line["host"] in self.seen.unreachable:
            return self.seen.unreachable[line["host"]]
        return self._redactor.message(line["message"])


def _words(request: GateRequest) -> list[str]:
    project = request.project.absolute()
    words = [*_PYTEST, f"--rootdir={project}", f"--confcutdir={project}"]
    words.append("--hosts=" + ",".join(f"ansible://{host}" for host in request.hosts))
    # The plugin gives testinfra the whole inventory; a gate may ask where the site's own file is.
    words.append(f"--ansible-inventory={request.inventory[0].absolute()}")
    if request.ends_early:
        words.append("--maxfail=1")
    return [*words, str(request.gate.absolute())]
