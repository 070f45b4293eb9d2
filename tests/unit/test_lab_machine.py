"""What a machine lacks for a lab is said before anything is made, with the mend in the hint."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from orchestrator.errors import MachineError, RecoveryError
from orchestrator.lab import machine
from orchestrator.lab.machine import Needs, probe_needs


class Usage(NamedTuple):
    """As shutil.disk_usage tells it, in bytes."""

    total: int
    used: int
    free: int


INSTANCE = SimpleNamespace(folder=Path("/"))


@pytest.fixture
def check(monkeypatch):
    """A function that checks for a lab with that many disks, on a machine that has all it takes."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda command: f"/usr/bin/{command}")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 1 << 40))
    monkeypatch.setattr(machine, "podman", lambda *_: "")
    monkeypatch.setattr(machine, "_need_kernel", lambda *_: None)
    monkeypatch.setattr(machine, "raise_inotify", lambda _: None)

    def check(disks=0):
        host = SimpleNamespace(disks=dict.fromkeys(range(disks)))
        machine.check_root()
        machine.check_machine(SimpleNamespace(hosts=(host,)), INSTANCE, tell=lambda _: None)

    return check


def refused(check, **lab):
    with pytest.raises(MachineError) as caught:
        check(**lab)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_machine_that_has_all_is_accepted(check):
    check(disks=4)


def test_not_root(check, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    error = refused(check)
    assert "root" in error.message
    assert "sudo" in error.hint


@pytest.mark.parametrize("command", ["podman", "ip", "mkfs.xfs"])
def test_a_command_that_is_not_installed(check, monkeypatch, command):
    monkeypatch.setattr(shutil, "which", lambda name: None if name == command else f"/bin/{name}")
    error = refused(check)
    assert f"`{command}`" in error.message
    assert "apt-get install" in error.hint


def test_too_little_disk_for_all_that_lies_on_one_file_system(check, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 100 << 20))
    error = refused(check, disks=2)
    assert "100 MiB free; the lab needs 6144 MiB" in error.message
    assert "Free 6044 MiB" in error.hint


def test_an_image_that_is_there_takes_no_more(check, monkeypatch):
    monkeypatch.setattr(machine, "podman", lambda *words: "an image" if "images" in words else "")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 100 << 20))
    check()


def test_too_few_inotify_instances_are_raised_or_the_mend_is_named(monkeypatch, tmp_path):
    setting = tmp_path / "max_user_instances"
    setting.write_text("128\n")
    monkeypatch.setattr(machine, "INOTIFY", setting)
    machine.raise_inotify(lambda _: None)
    assert setting.read_text() == "4096"


def test_podman_is_given_nothing_that_it_can_do_without(monkeypatch):
    monkeypatch.setattr(machine, "podman", lambda *_, **__: "")
    assert probe_needs("image") == Needs()


def test_podman_is_given_limits_only_where_it_fails_without(monkeypatch):
    def podman(*words, timeout):
        if "--ulimit" not in words:
            raise RecoveryError("error setting rlimit type 7: operation not permitted")
        return ""

    monkeypatch.setattr(machine, "podman", podman)
    assert probe_needs("image").limits
    assert not probe_needs("image").runtime


def test_podman_is_given_a_runtime_that_is_there_where_its_own_is_not(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}" if name == "runc" else None)

    def podman(*words, timeout):
        if "--runtime" not in words:
            raise RecoveryError('default OCI runtime "crun" not found')
        return ""

    monkeypatch.setattr(machine, "podman", podman)
    needs = probe_needs("image")
    assert needs.everywhere == ("--runtime", "/bin/runc")
    assert not needs.limits


def test_podman_makes_the_cgroups_itself_only_where_no_systemd_does(monkeypatch):
    def podman(*words, timeout):
        if words[:2] != ("--cgroup-manager", "cgroupfs"):
            raise RecoveryError("dial unix /run/systemd/private: no such file or directory")
        return ""

    monkeypatch.setattr(machine, "podman", podman)
    assert probe_needs("image") == Needs(cgroups=("--cgroup-manager", "cgroupfs"))


def test_what_is_tried_is_a_machine_with_systemd_as_the_labs_hosts_are(monkeypatch):
    tried = []
    monkeypatch.setattr(machine, "podman", lambda *words, **_: tried.append(words) or "")
    probe_needs("image")
    assert "--systemd=always" in tried[0]


def test_a_podman_that_runs_nothing_is_quoted(monkeypatch):
    def podman(*_, timeout):
        raise RecoveryError("no such device")

    monkeypatch.setattr(machine, "podman", podman)
    with pytest.raises(MachineError, match=r"cannot start a container.*no such device"):
        probe_needs("image")
