"""What a machine lacks for a lab is said before anything is made, with the mend in the hint."""

from __future__ import annotations

import os
import shutil
from types import SimpleNamespace
from typing import NamedTuple

import pytest

from orchestrator.errors import MachineError, RecoveryError
from orchestrator.lab import machine
from orchestrator.lab.machine import Needs, check_machine, probe_needs


class Usage(NamedTuple):
    """As shutil.disk_usage tells it, in bytes."""

    total: int
    used: int
    free: int


INFO = {"{{.Host.NetworkBackend}}": "netavark", "{{.Store.GraphRoot}}": "/"}


@pytest.fixture
def lab(monkeypatch, tmp_path):
    """A lab of one host without disks, on a machine that has all it takes."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda command: f"/usr/bin/{command}")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 1 << 40))
    monkeypatch.setattr(machine, "podman", lambda *words: INFO.get(words[-1], ""))
    return SimpleNamespace(hosts=(SimpleNamespace(name="h1", disks={}),), folder=tmp_path)


def refused(lab):
    with pytest.raises(MachineError) as caught:
        check_machine(lab)
    assert caught.value.exit_code == 2
    return caught.value


def test_a_machine_that_has_all_is_accepted(lab):
    check_machine(lab)


def test_not_root(lab, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    error = refused(lab)
    assert "root" in error.message
    assert "sudo" in error.hint


@pytest.mark.parametrize("command", ["podman", "ip", "iptables"])
def test_a_command_that_is_not_installed(lab, monkeypatch, command):
    monkeypatch.setattr(shutil, "which", lambda name: None if name == command else f"/bin/{name}")
    error = refused(lab)
    assert f"`{command}`" in error.message
    assert "apt-get install" in error.hint


def test_too_little_disk(lab, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 100 << 20))
    error = refused(lab)
    assert "100 MiB free; the images need 5120 MiB" in error.message
    assert "Free 5020 MiB" in error.hint


def with_disks(lab, **disks):
    lab.hosts = (SimpleNamespace(name="db1", disks=disks),)
    return lab


@pytest.fixture
def kernel(monkeypatch):
    """A kernel that has all it takes for disks."""
    monkeypatch.setattr(machine, "_need_kernel", lambda *_: None)


def test_sparse_disks_are_asked_for_what_is_written_to_them(lab, kernel, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 1 << 30))
    stored = {"reference=localhost/drcli-lab/*": "an image"}
    monkeypatch.setattr(machine, "podman", lambda *words: (INFO | stored).get(words[-1], ""))
    check_machine(with_disks(lab, data0=64 << 20, data1=512 << 20))
    error = refused(with_disks(lab, data0=4 << 30, data1=4 << 30))
    assert "1024 MiB free; the hosts' disks need 2048 MiB" in error.message


def test_what_lies_on_one_filesystem_is_added_up(lab, kernel, monkeypatch, tmp_path):
    info = {**INFO, "{{.Store.GraphRoot}}": str(tmp_path)}
    monkeypatch.setattr(machine, "podman", lambda *words: info.get(words[-1], ""))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, (5 << 30) + 1))
    error = refused(with_disks(lab, data0=4 << 30))
    assert "the hosts' disks and the images need 6144 MiB" in error.message


def test_disks_that_are_there_take_no_more(lab, kernel, monkeypatch, tmp_path):
    (tmp_path / "disks").mkdir()
    (tmp_path / "disks" / "db1-data0").touch()
    info = {**INFO, "{{.Store.GraphRoot}}": str(tmp_path)}
    monkeypatch.setattr(machine, "podman", lambda *words: info.get(words[-1], ""))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, 5 << 30))
    check_machine(with_disks(lab, data0=4 << 30))


def test_another_network_backend(lab, monkeypatch):
    monkeypatch.setattr(machine, "podman", lambda *_: "cni")
    assert "netavark" in refused(lab).hint


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
