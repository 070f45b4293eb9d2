"""The gate of the volumes: what it makes of a witness that is being kept while it looks."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import SimpleNamespace

import pytest

GATE = Path(__file__).parents[2] / "playbooks/storage/test_volumes.py"
RAN = "Sun 2026-11-29 08:28:04 UTC"


def look(**shown):
    """Run the check on a host whose systemd shows these properties of volumes-witness.service."""
    spec = spec_from_file_location("gate_volumes", GATE)
    gate = module_from_spec(spec)
    spec.loader.exec_module(gate)
    shown = {"Result": "success", "ExecMainExitTimestamp": "", "InactiveEnterTimestamp": ""} | shown
    gate.test_the_witness_is_kept(
        SimpleNamespace(
            run=lambda command: SimpleNamespace(stdout="active\n"),
            check_output=lambda command, name: shown[name],
        )
    )


def test_a_witness_that_is_being_kept_at_that_moment_is_kept():
    # As systemd 252 shows a service that its timer starts for the second time.
    look(InactiveEnterTimestamp=RAN)


def test_one_that_was_never_kept_is_red():
    with pytest.raises(AssertionError, match="not kept yet"):
        look()


def test_one_that_failed_is_red():
    with pytest.raises(AssertionError, match="ended with exit-code"):
        look(InactiveEnterTimestamp=RAN, Result="exit-code")
