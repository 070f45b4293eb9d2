"""What this machine lacks: room for a journal, versions that were tried."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from orchestrator import machine_findings
from orchestrator.machine_findings import disk_findings, version_findings


class Disk(NamedTuple):
    f_bavail: int
    f_frsize: int
    f_files: int
    f_favail: int


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("disk", "severity", "what"),
    [
        (Disk(10_000, MIB, 9_999, 9_999), None, ""),
        (Disk(10_000, MIB, 0, 0), None, ""),  # a file system that counts no inodes
        (Disk(100, MIB, 9_999, 9_999), "warns", "100.0 MiB are free"),
        (Disk(1, 4_096, 9_999, 9_999), "blocks", "0.0 MiB are free"),
        (Disk(10_000, MIB, 9_999, 3), "blocks", "3 more files only"),
    ],
)
def test_a_disk_by_its_room(monkeypatch, tmp_path, disk, severity, what):
    looked_at = []
    monkeypatch.setattr(machine_findings.os, "statvfs", lambda path: looked_at.append(path) or disk)
    found = list(disk_findings(tmp_path / "not" / "made"))
    assert [finding.severity.value for finding in found] == ([severity] if severity else [])
    assert all(what in finding.what for finding in found)
    assert looked_at == [tmp_path]


def test_what_drcli_itself_requires_is_installed():
    assert list(version_findings()) == []


@pytest.mark.parametrize(
    ("requirement", "fits"),
    [
        ("ansible-core>=2.19", True),
        ("ansible-core>=2.10,<2.19", False),
        ("nowhere-installed", False),
        ("nowhere-installed; extra == 'lab'", True),
        ("nowhere-installed; python_version < '3'", True),
    ],
)
def test_versions_that_do_not_fit_block(requirement, fits):
    found = [(f.name, f.severity.value) for f in version_findings([requirement])]
    assert found == ([] if fits else [("version", "blocks")])
