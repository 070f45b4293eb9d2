"""A drill that really starts by itself: systemd's own timer, in a container, with its report."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.lab

PROJECT = Path(__file__).parents[2]
DRCLI = Path(sys.executable).with_name("drcli")
LIMITS = ("--runtime", "runc", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")
PATIENCE = 300  # seconds: a timer of every minute has fired twice by then, on any machine
SITE = ("--site", "room-a")


def podman(*words, allow=False):
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=False)
    assert allow or done.returncode == 0, done.stderr
    return done.stdout.strip()


def until(condition, what):
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)
    return found


@pytest.fixture
def project(make_project):
    return make_project({"network": [{"name": "routing", "hosts": "img1", "settle": "0s"}]})


@pytest.fixture
def machine(project, tmp_path):
    """A machine with systemd, this Python, drcli and the project."""
    images = podman("images", "--quiet", "--filter", "reference=localhost/drcli-lab/base")
    if not images:
        pytest.skip("NOT TESTED: the lab's base image is not built (drcli lab up)")
    name = f"drcli-schedule-{os.getpid()}"
    shared = [f"{tmp_path}:{tmp_path}"]
    needed = {PROJECT, Path(sys.prefix)} | ({Path(sys.base_prefix)} - {Path("/usr")})
    shared += [f"{path}:{path}:ro" for path in needed]
    words = ["--detach", "--systemd=always", "--network", "none", "--name", name]
    words += [word for each in shared for word in ("--volume", each)]
    podman("run", *words, *LIMITS, images.split()[0], "/sbin/init")

    def run(*command, allow=False):
        return podman("exec", "--workdir", str(project), name, *command, allow=allow)

    def booted():
        return run("systemctl", "is-system-running", allow=True) in {"running", "degraded"}

    try:
        until(booted, lambda: podman("logs", name, allow=True))
        yield run
    finally:
        podman("rm", "--force", "--time", "0", name)


def test_a_drill_really_starts_by_itself_and_leaves_its_report(machine, project, tmp_path):
    state, failed = tmp_path / "state", tmp_path / "failed"
    said = machine(
        DRCLI, "schedule", "add", "often", *SITE, "--cron", "* * * * *", "--delay", "0s",
        "--on-failure", f"touch {failed}", "--state-dir", state, "--", "--on", "site",
    )  # fmt: skip
    assert "drill often starts next on" in said
    assert "drcli-drill-room-a-often.timer" in machine("systemctl", "list-timers", "--all")
    assert "* * * * *" in machine(DRCLI, "schedule", "list", *SITE)

    def log():
        return machine("journalctl", "--no-pager", "--unit", "drcli-drill-*", allow=True)

    (report,) = until(lambda: [*(state / "reports").glob("*.html")], log)[:1]
    assert report.read_text().startswith("<!doctype html>")
    assert "check drill, passed" in machine(DRCLI, "runs", "--state-dir", state)
    assert not failed.exists()

    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("content: up", "content: '{{ nowhere }}'"))
    until(failed.exists, log)

    machine(DRCLI, "schedule", "remove", "often", *SITE)
    assert "drcli-drill" not in machine("systemctl", "list-timers", "--all")
    assert "no drill 'often'" in podman_error(machine, DRCLI, "schedule", "next", "often", *SITE)


def podman_error(machine, *words):
    """What a command that fails has said."""
    with pytest.raises(AssertionError) as error:
        machine(*words)
    return str(error.value)
