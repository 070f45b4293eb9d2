"""`drcli lab down` leaves nothing of the lab on this machine, also after a half-finished `up`."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from on_the_lab import PROJECT, SITE

pytestmark = pytest.mark.lab


def printed(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def remains() -> dict[str, str]:
    """What of the lab is still on this machine, by the machine's own words."""
    name = f"drcli-{SITE}"
    found = {
        "containers": printed("podman", "ps", "--all", "--format={{.Names}}"),
        "networks": printed("podman", "network", "ls", "--format={{.Name}}"),
        "namespaces": printed("ip", "netns", "list"),
        "loop devices": printed("losetup", "--list", "--noheadings", "--output=BACK-FILE"),
        "mounts": Path("/proc/self/mounts").read_text(encoding="utf-8"),
    }
    needles = (name, f"lab/{SITE}")
    return {
        what: line
        for what, text in found.items()
        for line in text.splitlines()
        if any(needle in line for needle in needles)
    }


def test_down_after_a_half_finished_up_leaves_nothing(drcli):
    """Runs before any test that needs the whole lab (see `pytest_collection_modifyitems`)."""
    drcli.must(
        "lab", "down", "--site", SITE
    )  # whatever was there: these tests need it for themselves
    command = [str(Path(sys.executable).with_name("drcli")), "lab", "up", "--site", SITE]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as up:
        deadline = time.monotonic() + 600
        while "containers" not in remains() and time.monotonic() < deadline and up.poll() is None:
            time.sleep(0.2)
        assert up.poll() is None, "the lab was up before it could be interrupted"
        up.send_signal(signal.SIGKILL)
    drcli.must("lab", "down", "--site", SITE)
    assert not remains()
