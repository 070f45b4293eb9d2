"""How a host's container is made: what podman is told, on a machine that needs something of it."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from orchestrator.lab import build, podman
from orchestrator.lab.definition import Lab, LabFile, LabHost
from orchestrator.lab.machine import Needs

HOST = LabHost(name="h1", address="10.9.0.11", image="plain", networks=(), feed="A", disks={})
LAB = Lab(
    site="tiny",
    project=Path("/project"),
    hosts=(HOST,),
    file=LabFile(
        management_network=IPv4Network("10.9.0.0/24"), networks=(), base_packages=(), images={}
    ),
    folder=Path("/labs/tiny"),
)


@pytest.fixture
def told(monkeypatch):
    """What podman was told, command by command."""
    commands = []
    monkeypatch.setattr(
        podman, "run", lambda argv, **_: commands.append([str(word) for word in argv]) or ""
    )
    monkeypatch.setattr(build, "identity", lambda *_: b"")
    return commands


def test_a_container_is_made_with_all_that_this_machines_podman_needs(told):
    needs = Needs(runtime=("--runtime", "/usr/bin/runc"), limits=("--ulimit", "nofile=64:64"))
    build._create(LAB, HOST, image="plain:1", needs=needs)
    made = told[0]
    assert made[:4] == ["podman", "--runtime", "/usr/bin/runc", "create"]
    assert made[-2:] == ["plain:1", "/sbin/init"]
    assert "--ulimit" in made[4:-2]


def test_a_machine_that_needs_nothing_is_told_nothing_more(told):
    build._create(LAB, HOST, image="plain:1", needs=Needs())
    assert told[0][:4] == ["podman", "create", "--name", "drcli-tiny-h1"]
    assert "--ulimit" not in told[0]
