"""One recovery of hosting-a, killed in every phase of every layer: it goes on each time."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from on_the_lab import PROJECT, SITE

from orchestrator.attempt import processes_of
from orchestrator.journal import read_journal
from orchestrator.state import UP, fold

pytestmark = [pytest.mark.lab, pytest.mark.long]

DRCLI = str(Path(sys.executable).with_name("drcli"))
PHASES = {
    "observe": {"kind": "gate_started", "purpose": "observe"},
    "playbook": {"kind": "task_started"},
    "gate": {"kind": "gate_started", "purpose": "verify"},
}
PATIENCE = 60.0  # seconds until nothing of a killed run is left
LAYERS = ("network", "storage", "applications")
POINTS = [(layer, phase) for layer in LAYERS for phase in PHASES]


class Killed:
    """The run, and all that was shown of it so far."""

    def __init__(self, lab) -> None:
        self.state = Path(lab.environment["DRCLI_STATE_DIR"])
        self.environment = lab.environment
        self.layers: dict[str, str] = {}
        self.shown: list[dict] = []

    def kill_in(self, layer, phase, command):
        """Start it or go on with it, and kill it as soon as it is there."""
        wanted = PHASES[phase]
        with subprocess.Popen(
            [DRCLI, command, "--site", SITE, "--json"],
            cwd=PROJECT,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        ) as process:
            for line in process.stdout:
                event = self._take(line)
                here = self.layers.get(event.get("component", "")) == layer
                if here and wanted.items() <= event.items():
                    os.killpg(process.pid, signal.SIGKILL)
                    break
            for line in process.stdout:  # what it had still shown
                self._take(line)
        assert process.returncode == -signal.SIGKILL, f"it never came to {layer}/{phase}"
        deadline = time.monotonic() + PATIENCE
        while processes_of(f"{self.run}/"):
            assert time.monotonic() < deadline, "its processes outlive it"
            time.sleep(0.1)

    def _take(self, line):
        record = json.loads(line)
        self.shown.append(record)
        event = record["event"]
        if event["kind"] in ("run_started", "run_resumed"):
            self.layers = {c["name"]: c["layer"] for c in event["components"]}
        return event

    @property
    def run(self):
        return self.shown[0]["run"]

    def records(self):
        with read_journal(self.state) as journal:
            return journal.records(self.run)


def test_it_ends_whole_and_nothing_that_was_shown_is_lost(lab, record_property):
    lab.must("lab", "cut", "--site", SITE)
    lab.must("lab", "power-on", "--site", SITE)
    run = Killed(lab)
    command = "recover"
    for layer, phase in POINTS:
        record_property("fault", "kill -9 of drcli's process group on the lab")
        run.kill_in(layer, phase, command)
        command = "resume"
    ended = lab("resume", "--site", SITE, "--json")
    assert ended.code == 0, str(lab("show"))
    run.shown += [json.loads(line) for line in ended.out.splitlines()]
    records = run.records()
    known = {r.seq: r.model_dump(mode="json") for r in records}
    lost = sum(known.get(one["seq"]) != one for one in run.shown)
    record_property("events_lost", lost)
    assert lost == 0
    assert [r.seq for r in records] == list(range(1, len(records) + 1))
    state = fold(records)
    assert set(state.components) == {c.name for c in state.among(UP)}
    assert lab("verify", "--site", SITE).code == 0
    verdict = lab.must("lab", "ledger", "--site", SITE)
    assert re.search(r"\b0 of \d+ acknowledged", verdict.out), verdict.out
