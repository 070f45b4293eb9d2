"""What a controller and a worker must have alike, and say of themselves."""

from __future__ import annotations

import sys
from importlib import metadata

import pytest

from orchestrator import wire


def test_all_that_decides_what_a_verdict_says_is_in_the_versions():
    said = wire.versions()
    for name in ("drcli", "ansible-core", "ansible-runner", "pytest", "pytest-testinfra"):
        assert f"{name} {metadata.version(name)}" in said.split(", ")
    assert said.endswith(f", Python {sys.version_info.major}.{sys.version_info.minor}")


@pytest.mark.parametrize("other", ["pytest", "pytest-testinfra", "ansible-runner"])
def test_another_version_of_one_is_another_worker(monkeypatch, other):
    before, version = wire.versions(), metadata.version
    monkeypatch.setattr(
        metadata, "version", lambda name: "0.0.1" if name == other else version(name)
    )
    assert wire.versions() != before
