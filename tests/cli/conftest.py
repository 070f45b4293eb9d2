"""A recovery in a process of its own, to be disturbed at a chosen moment."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from clean_environment import clean_environment

DRCLI = Path(sys.executable).with_name("drcli")
PATIENCE = 120.0  # seconds to the moment waited for, on a busy machine

HANG = """
    - name: Hang on start
      ansible.builtin.command: sleep 600
      changed_when: false
"""


class Recovery:
    """`drcli recover --json`, or `command`, started; its events are read as they come."""

    def __init__(self, project, state, *, command="recover"):
        self.process = subprocess.Popen(
            [DRCLI, command, "--site", "room-a", "--json"],
            cwd=project,
            env=clean_environment() | {"DRCLI_STATE_DIR": str(state)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.events, self.errors = [], []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._readers = [
            threading.Thread(target=self._read, daemon=True),
            threading.Thread(target=lambda: self.errors.extend(self.process.stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, kind, **fields):
        """Read on to the first event of this kind with these fields."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            assert line is not None, f"ended before {kind}: {self.errors}"
            event = json.loads(line)["event"]
            self.events.append(event)
            if event["kind"] == kind and fields.items() <= event.items():
                return event

    def ctrl_c(self, number=signal.SIGINT):
        """As a terminal does it: to the whole foreground process group."""
        os.killpg(self.process.pid, number)

    def end(self):
        """Wait for its end; return exit code, the events that came, and stderr."""
        code = self.process.wait(timeout=PATIENCE)
        for reader in self._readers:
            reader.join(timeout=PATIENCE)
        while (line := self._lines.get(timeout=PATIENCE)) is not None:
            self.events.append(json.loads(line)["event"])
        return code, self.events, "".join(self.errors)


@pytest.fixture
def recovery(tmp_path):
    """Start a recovery of a project; it is killed at the end of the test, with what it started."""
    started = []

    def start(project, **how):
        started.append(Recovery(project, tmp_path / "state", **how))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(timeout=PATIENCE)


@pytest.fixture
def hanging(make_project):
    """Return a function that makes a project of one component that hangs in a phase of it."""

    def make(phase):
        project = make_project({"network": [{"name": "routing", "hosts": "img1"}]})
        if phase == "playbook":
            playbook = project / "playbooks/network/routing.yml"
            playbook.write_text(playbook.read_text().rstrip() + HANG)
            return project
        gate = project / "playbooks/network/test_routing.py"
        condition = "not " if phase == "observe" else ""
        text = gate.read_text().replace(
            "    assert host.file(",
            f"    if {condition}host.file(MARK).exists:\n"
            '        host.run("sleep 600")\n'
            "    assert host.file(",
        )
        mark = project / "marks/routing-img1"
        gate.write_text(text.replace("minimum_checks", f'MARK = "{mark}"\nminimum_checks'))
        return project

    return make
