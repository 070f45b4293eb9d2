"""A recovery of a small real site, held at an event that it shows, and disturbed there.

Its stdout is a pipe with room for one line: until that is read, drcli is at most one event further
than what it has shown. So a fault comes where the test says, on a busy machine too.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from orchestrator.attempt import processes_of
from orchestrator.events import ComponentHealthy, ComponentVerified, PlaybookStarted
from orchestrator.journal import read_journal
from orchestrator.state import ComponentState, fold

DRCLI = Path(sys.executable).with_name("drcli")
PATIENCE = 120.0  # seconds until the next event, on a busy machine
_PACKET = 4096  # bytes; the least room that Linux gives a pipe, and the most of one write

# However slow the machine: no gate is repeated meanwhile, so the events are the same each time.
RARELY = {"recheck": "4h"}
LAYERS = {
    "network": [{"name": "routing", "hosts": "r1", **RARELY}],
    "storage": [{"name": "volumes", "hosts": "db1", **RARELY}],
    "applications": [{"name": "imaging", "hosts": "img1", **RARELY}],
}
COMPONENTS = ("routing", "volumes", "imaging")
# What one component of a dark site shows: each kind, and which of that kind it is.
OF_A_COMPONENT = (
    ("gate_started", 1),
    ("gate_collected", 1),
    ("check_finished", 1),
    ("gate_finished", 1),
    ("playbook_started", 1),
    ("task_started", 1),
    ("task_started", 2),
    ("playbook_finished", 1),
    ("gate_started", 2),
    ("gate_collected", 2),
    ("check_finished", 2),
    ("gate_finished", 2),
    ("component_verified", 1),
)
# Every other kind that a recovery on one machine shows: in each layer four components, of which
# one is up, one cannot be brought back, one stands on that, and one waits for a person.
MIXED = {
    layer: [
        {"name": f"{layer}-up", "hosts": host, **RARELY},
        {"name": f"{layer}-bad", "hosts": host, **RARELY},
        {"name": f"{layer}-above", "hosts": host, "needs": [f"{layer}-bad"], **RARELY},
        {"name": f"{layer}-asks", "hosts": host, "approval": "May it be started?", **RARELY},
    ]
    for layer, host in (("network", "r1"), ("storage", "db1"), ("applications", "img1"))
}
MIXED_STATES = {
    f"{layer}-{name}": state
    for layer in MIXED
    for name, state in (
        ("up", ComponentState.HEALTHY),
        ("bad", ComponentState.FAILED),
        ("above", ComponentState.BLOCKED),
        ("asks", ComponentState.HELD),
    )
}
MIXED_POINTS = tuple(
    (f"{layer}-{name}", kind, 1)
    for layer in MIXED
    for name, kind in (
        ("up", "component_healthy"),
        ("bad", "task_failed"),
        ("bad", "component_failed"),
        ("above", "component_blocked"),
        ("asks", "component_held"),
    )
)
# Works at a host for a moment, alone: two playbooks at it at once leave a mark.
ALONE = """\
import fcntl, sys, time
lock = open(sys.argv[1], "a")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
    open(sys.argv[1] + ".met", "a").close()
time.sleep(0.3)
"""


def points():
    """Every event of an undisturbed recovery: of which component, its kind, and which of them."""
    yield ("", "run_started", 1)
    for component in COMPONENTS:
        yield from ((component, kind, number) for kind, number in OF_A_COMPONENT)
    yield ("", "run_finished", 1)


def name_of(point):
    component, kind, number = point
    return "-".join(filter(None, (component, kind, str(number) if number > 1 else "")))


class DisturbedSite:
    """A project of three layers, its state directory, and its attempts' folder in memory."""

    def __init__(self, project: Path, state: Path, memory: Path) -> None:
        self.project, self.state, self.memory = project, state, memory
        (project / "alone.py").write_text(ALONE)
        for path in project.glob("playbooks/*/*.yml"):
            task = (
                "    - name: Work on the host\n"
                f"      ansible.builtin.command: {sys.executable} {project}/alone.py"
                f" {project}/at-{{{{ inventory_hostname }}}}\n"
                "      changed_when: false\n"
            )
            path.write_text(path.read_text().replace("  tasks:\n", "  tasks:\n" + task))

    def start(self, *command: str) -> DisturbedRun:
        """`drcli COMMAND --site room-a --json`, held at its first event."""
        return DisturbedRun(self, command)

    def finish(self) -> int:
        """Go on as a person would: with the run that was cut short, else with a new one."""
        state = fold(self.records())
        run = self.start("resume" if state.started and state.resumable else "recover")
        return run.to_the_end()

    def records(self):
        """The records of the last run; none when there is none."""
        with read_journal(self.state) as journal:
            run = journal.last_run() if journal else None
            return journal.records(run) if run else ()

    def runs(self):
        with read_journal(self.state) as journal:
            return [line.run for line in journal.runs()] if journal else []

    def states(self):
        return {name: c.state for name, c in fold(self.records()).components.items()}

    def left(self):
        """The processes of this site's attempts that are alive, and what leads to them."""
        return [p for run in self.runs() for p in processes_of(f"{run}/")]

    def met(self):
        """The hosts at which two playbooks worked at once."""
        return sorted(path.name for path in self.project.glob("at-*.met"))

    def marks(self):
        return sorted(path.name for path in (self.project / "marks").iterdir())


class DisturbedRun:
    """One drcli at work; `shown` are the records it has shown, as JSON."""

    def __init__(self, site: DisturbedSite, command) -> None:
        self.site = site
        self._read, theirs = os.pipe2(os.O_DIRECT | os.O_CLOEXEC)
        fcntl.fcntl(self._read, fcntl.F_SETPIPE_SZ, _PACKET)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DRCLI_")}
        environment |= {"XDG_RUNTIME_DIR": str(site.memory), "PYTHONFAULTHANDLER": "1"}
        self._said = (site.state.parent / "stderr").open("ab+")
        self.process = subprocess.Popen(
            [DRCLI, *command, "--site", "room-a", "--json", "--state-dir", site.state],
            cwd=site.project,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=self._said,
            start_new_session=True,
        )
        os.close(theirs)
        self._rest = b""
        self.shown = []

    def hold_at(self, point) -> bool:
        """Read on to this event; False when the run is over before it."""
        component, kind, number = point
        for record in self._records():
            event = record["event"]
            if event["kind"] == kind and event.get("component", "") == component:
                number -= 1
                if number == 0:
                    return True
        return False

    def to_the_end(self) -> int:
        """Read all that it still shows; its exit code."""
        for _ in self._records():
            pass
        code = self.process.wait(timeout=PATIENCE)
        os.close(self._read)
        self._said.close()
        return code

    def said(self) -> str:
        return (self.site.state.parent / "stderr").read_text()

    def _records(self):
        while True:
            while b"\n" in self._rest:
                line, _, self._rest = self._rest.partition(b"\n")
                self.shown.append(json.loads(line))
                yield self.shown[-1]
            if not select.select([self._read], [], [], PATIENCE)[0]:
                self.process.send_signal(signal.SIGABRT)  # it says where its threads stand
                self.process.wait(timeout=PATIENCE)
                raise AssertionError(f"nothing more came: {self.said()}")
            part = os.read(self._read, _PACKET)
            if not part:
                return
            self._rest += part


def lost_of(shown, records) -> int:
    """How many events were shown that the journal does not know, or knows otherwise."""
    known = {r.seq: r.model_dump(mode="json") for r in records}
    return sum(known.get(one["seq"]) != one for one in shown)


def repeated(records, before: int) -> set[str]:
    """Components whose playbook began again though they were up by record `before`."""
    up = {
        r.event.component
        for r in records[:before]
        if isinstance(r.event, ComponentHealthy | ComponentVerified)
    }
    return up & {
        r.event.component for r in records[before:] if isinstance(r.event, PlaybookStarted)
    }


UP = {ComponentState.HEALTHY, ComponentState.VERIFIED}


def wait_until(condition, what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def kill(pid: int, number=signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
