"""A fault and its way back on a host without power: what its next boot makes of it."""

from __future__ import annotations

import io
import subprocess
import tarfile
from types import SimpleNamespace

import pytest

from orchestrator.lab import breaking
from orchestrator.lab.breaking import Breaker
from orchestrator.lab.broken import read_broken
from orchestrator.lab.definition import Definition, LabFile, LabHost
from orchestrator.lab.faults import LabFault
from orchestrator.lab.power import POWER_EVENT

HOST = LabHost(name="srv1", number=11, disks={})
KEY = "etc/ssh/ssh_host_ed25519_key"


def fault(**how):
    given = {"name": "gone", "explains": "Something is gone.", "effect": "It must come back."}
    given |= {"component": "dns", "expect": "held", "reason": "gone", "hosts": ["srv1"]}
    return LabFault.model_validate(given | how)


class Lab:
    """A lab of one host: its files lie in `root`, and what was done to it stands in `root/log`."""

    def __init__(self, folder):
        self.root, self.on = folder / "root", True
        (self.root / POWER_EVENT).mkdir(parents=True)
        (folder / "host_keys").mkdir()
        (folder / "host_keys" / "srv1").write_text("the known key")
        (folder / "host_keys" / "srv1.pub").write_text("the known key's public half")
        self.breaker = Breaker(
            definition=Definition(project=folder, site="tiny", hosts=(HOST,), file=LabFile()),
            instance=SimpleNamespace(name="one", folder=folder, container=lambda host: host),
            prelude=f"log={self.root}/log",
            tell=lambda step: None,
        )

    def execute(self, container, script, *, timeout):
        subprocess.run(["/bin/sh", "-eu", "-s"], input=script.encode(), check=True)

    def unpack(self, container, archive):
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(self.root, filter="data")

    def boot(self):
        """Run what was laid down, as lab-power-event does it."""
        for script in sorted((self.root / POWER_EVENT).iterdir()):
            self.execute("srv1", script.read_text(), timeout=None)
            script.unlink()
        self.on = True

    @property
    def log(self):
        path = self.root / "log"
        return path.read_text().split() if path.exists() else []


@pytest.fixture
def lab(tmp_path, monkeypatch):
    lab = Lab(tmp_path)
    monkeypatch.setattr(breaking, "running", lambda *_: (HOST,) if lab.on else ())
    monkeypatch.setattr(breaking, "execute", lab.execute)
    monkeypatch.setattr(breaking, "unpack", lab.unpack)
    return lab


NAMES = pytest.mark.parametrize("name", ["gone", "zone-gone"])  # before and after `undo-`


def script(name):
    return fault(name=name, script='echo broken >> "$log"', undo='echo mended >> "$log"')


@NAMES
def test_a_fault_taken_back_before_it_came_is_mended_after_it_came(lab, name):
    lab.on = False
    lab.breaker.give(script(name))
    lab.breaker.take_back(script(name))
    lab.boot()
    assert lab.log == ["broken", "mended"]
    assert not read_broken(lab.breaker.instance).given


@NAMES
def test_a_fault_taken_back_without_power_is_mended_at_the_next_boot(lab, name):
    lab.breaker.give(script(name))
    lab.on = False
    lab.breaker.take_back(script(name))
    lab.boot()
    assert lab.log == ["broken", "mended"]


@NAMES
def test_a_fault_given_again_without_power_is_there_after_the_next_boot(lab, name):
    lab.breaker.give(script(name))
    lab.on = False
    lab.breaker.take_back(script(name))
    lab.breaker.give(script(name))
    lab.boot()
    assert lab.log[-1] == "broken"


def test_a_host_whose_new_key_was_taken_back_before_its_boot_keeps_the_known_one(lab, monkeypatch):
    for name in ("NEW_HOST_KEY", "END_SSH"):
        monkeypatch.setattr(breaking, name, f"echo {name} >> $log\n")
    new_key = fault(name="host-key-changed", host_key="new")
    lab.on = False
    lab.breaker.give(new_key)
    lab.breaker.take_back(new_key)
    lab.boot()
    assert lab.log == ["END_SSH"]
    assert (lab.root / KEY).read_text() == "the known key"
