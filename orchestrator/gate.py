"""Runs a component's gate: pytest with testinfra in processes of its own, judged from here.

Only what the plugin reports through its socket counts, and only together with a clean end of every
process. Nothing of this process's environment or of a pytest configuration gets in: no
PYTEST_ADDOPTS, no addopts, no plugin but testinfra's and ours.
"""

from __future__ import annotations

import json
import os
import selectors
import time
from contextlib import suppress
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any, Self

from orchestrator.attempt import end_processes, environment, new_mark
from orchestrator.errors import DrcliError, InputError
from orchestrator.events import CheckFinished, CheckOutcome, GateCollected
from orchestrator.gate_inventory import Inventories, hosts_of, vault_settings, with_options
from orchestrator.gate_process import GateProcess, GateProcesses
from orchestrator.gate_verdict import Seen, judge
from orchestrator.redaction import Redactor, cut, secret_values
from orchestrator.ssh import explain
from orchestrator.work import AnsibleOptions, GateRequest, GateResult, Tell

PARTS = 10  # processes that share the hosts of one gate: most of the time they wait
POLL = 0.2  # seconds between two looks at the stop flag
_FAREWELL = 1.0  # seconds for the other parts once one has said that the component is not healthy
_KEPT_OUTPUT = 65_536  # bytes of the gate's own output kept, from its end
_LONGEST_LINE = 1_048_576
_PRINTED = 1_500  # characters of it in a reason
_PYTEST = (
    *("-c", os.devnull, "-p", "testinfra.plugin", "-p", "orchestrator.gate_plugin"),
    *("-p", "no:cacheprovider", "--capture=no", "--tb=native"),
    *("-q", "--no-header", "--no-summary", "-o", "verbosity_assertions=1"),
    *("-o", "truncation_limit_lines=20", "-o", "truncation_limit_chars=2000"),
    # A check that can only pass is no check: `return a == b`, `assert (a, "why")`.
    *("-W", "error::pytest.PytestReturnNotNoneWarning"),
    *("-W", "error:assertion is always true"),
)


class TestinfraGates:
    """Runs gates; may be called from several threads at once. Use it as a context: it ends all."""

    __test__ = False  # pytest must not take it for a test

    def __init__(self, options: AnsibleOptions | None = None) -> None:
        self._options = options or AnsibleOptions()
        self._inventories = Inventories()
        self._processes = GateProcesses()
        self._preparing: list[Thread] = []
        self._closed = Flag()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for thread in self._preparing:
            thread.join()
        self._processes.close()

    def prepare(self, run: str, project: Path, inventory: Path) -> None:
        """Load in the background what the first gate will need; an error comes up there, not here.

        May be left out: it changes when things are done, not what is done.
        """
        child = self._environment(project, new_mark(run, "inventory", 0))

        def load() -> None:
            with suppress(DrcliError, OSError):
                self._processes.start()
                self._inventories.load(inventory, child, project, self._closed)

        self._preparing.append(Thread(target=load, name="drcli-gates"))
        self._preparing[-1].start()

    def __call__(self, request: GateRequest, tell: Tell, stop: Flag) -> GateResult:
        """Run it to its end, its timeout, or `stop`; no process of it is left."""
        mark = new_mark(request.run, f"{request.component}-{request.purpose}", request.attempt)
        child = self._environment(request.project, mark)
        self._processes.start()  # it loads while the inventory is read
        try:
            inventory = self._inventories.load(request.inventory, child, request.project, stop)
        except InputError as error:
            return GateResult(green=False, reasons=(error.message,))
        known = hosts_of(inventory)
        unknown = [host for host in request.hosts if host not in known]
        if unknown or not request.hosts:
            what = f"not in {request.inventory}: {', '.join(unknown)}" if unknown else "no hosts"
            return GateResult(green=False, reasons=(what,))
        inventory = with_options(inventory, self._options)
        given = secret_values(inventory["_meta"]["hostvars"])
        redactor = Redactor(self._inventories.secrets(request.inventory) | given)
        reader = _Reader(request, tell, redactor)
        job = {
            "hosts": request.hosts,
            "parts": PARTS,
            "inventory_file": str(request.inventory),
            "inventory": inventory,
        }
        words = _words(request, self._options)
        with self._processes.fork(
            words, mark=mark, folder=request.project, environment=child, job=job
        ) as process:
            try:
                cut_short = _follow(process, reader, request, stop)
            finally:
                reader.seen.trouble += end_processes(mark)
        reader.close()
        if cut_short:
            reader.seen.trouble.insert(0, cut_short)
        to_the_end = not request.ends_early
        return judge(reader.seen, request.hosts, request.minimum, to_the_end=to_the_end)

    def _environment(self, project: Path, mark: str) -> dict[str, str]:
        child = environment(project, mark)
        child["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        child["PYTHONDONTWRITEBYTECODE"] = "1"  # a gate just edited is never run as it was before
        return {**child, **vault_settings(self._options)}


class _Reader:
    """Turns the plugin's lines into checks, told as they come."""

    def __init__(self, request: GateRequest, tell: Tell, redactor: Redactor) -> None:
        self.seen = Seen()
        self._request = request
        self._tell = tell
        self._redactor = redactor
        self._printed = bytearray()

    def line(self, data: bytes) -> None:
        """Take one line of the plugin's."""
        try:
            self._take(json.loads(data))
        except (ValueError, KeyError, TypeError) as error:  # a gate wrote there
            self.seen.trouble.append(f"its report cannot be read: {error}"[:300])

    def printed(self, data: bytes) -> None:
        """Take some of what the gate printed."""
        self._printed += data
        del self._printed[:-_KEPT_OUTPUT]

    def status(self, data: bytes) -> None:
        """Take how the gate's process ended."""
        self.seen.exits[0] = int(data.removeprefix(b"ended "))

    def close(self) -> None:
        """There is no more."""
        text = self._redactor.message(self._printed.decode("utf-8", "replace"), _KEPT_OUTPUT)
        self.seen.printed = cut(text[-_PRINTED * 2 :], _PRINTED)

    def _take(self, line: dict[str, Any]) -> None:
        match line["kind"]:
            case "parts":
                self.seen.parts, self.seen.collected = line["parts"], line["checks"]
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
                self.seen.ends[line["part"]] = line["code"]
            case "exit":
                self.seen.exits[line["part"]] = line["code"]

    def _message(self, line: dict[str, Any]) -> str:
        said = self._redactor.message(line["message"])
        if line["outcome"] == CheckOutcome.UNREACHABLE and line["host"] in self.seen.unreachable:
            return self.seen.unreachable[line["host"]]
        return said


def _follow(process: GateProcess, reader: _Reader, request: GateRequest, stop: Flag) -> str:
    """Read until the gate is over, and say nothing; or why it must be ended."""
    deadline = time.monotonic() + request.timeout
    enough = None  # when to leave the rest unread
    with selectors.DefaultSelector() as selector:
        selector.register(process.report, selectors.EVENT_READ, reader.line)
        selector.register(process.output, selectors.EVENT_READ, reader.printed)
        selector.register(process.status, selectors.EVENT_READ, reader.status)
        while True:
            over = 0 in reader.seen.exits
            ready = selector.select(0 if over else POLL)
            for key, _ in ready:
                data = os.read(key.fd, _LONGEST_LINE)
                if data:
                    key.data(data)
                else:
                    selector.unregister(key.fd)
            now = time.monotonic()
            if (over and not ready) or (enough is not None and now > enough):
                return ""
            if stop.is_set():
                return "stopped"
            if now > deadline:
                return f"time limit of {request.timeout:g} s reached"
            if not over and process.status not in selector.get_map():
                return "the process that gates run in was killed in the middle of it"
            bad = request.ends_early and reader.seen.bad
            if enough is None and (bad or over):
                enough = now + _FAREWELL


def _words(request: GateRequest, options: AnsibleOptions) -> list[str]:
    words = [*_PYTEST, f"--rootdir={request.project}"]
    words.append(f"--confcutdir={request.project}")
    words.append("--hosts=" + ",".join(f"ansible://{host}" for host in request.hosts))
    words.append(f"--ansible-inventory={request.inventory}")
    if request.ends_early:
        # Is it healthy? The first bad check says no; on a dark host each further one would wait
        # for its own time limit before the playbook may start.
        words.append("--maxfail=1")
    if options.private_key:
        words.append(f"--ssh-identity-file={options.private_key.absolute()}")
    gate = request.gate if request.gate.is_absolute() else request.project / request.gate
    return [*words, str(Path(gate))]
