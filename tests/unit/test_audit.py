"""`make check` fails on a known vulnerability, and says so when none could be looked up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

AUDIT = Path(__file__).parents[2] / ".ci/audit"
SOUND = {"name": "a", "version": "1", "vulns": []}
HOLED = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "Dependency not found on PyPI"}


@pytest.mark.parametrize(
    ("printed", "code", "told"),
    [
        ({"dependencies": [SOUND]}, 0, "1 of 1 packages looked up, none has a known hole"),
        ({"dependencies": [SOUND, UNKNOWN]}, 0, "1 of 2 packages looked up"),
        ({"dependencies": [SOUND, HOLED]}, 1, "b 2: PYSEC-1, mended in 3"),
        ({"dependencies": [UNKNOWN, UNKNOWN]}, 0, "SKIPPED, no advisory on any of 2 packages"),
        ("a traceback", 0, "SKIPPED, its data cannot be reached"),
        (None, 0, "SKIPPED, its data cannot be reached"),
    ],
)
def test_the_verdict_is_told_in_one_line(tmp_path, printed, code, told):
    if printed is not None:
        report = tmp_path / "report"
        report.write_text(json.dumps(printed))
        (tmp_path / "pip-audit").write_text(f"#!/bin/sh\ncat {report}\n")
        (tmp_path / "pip-audit").chmod(0o755)
    done = subprocess.run(
        [sys.executable, AUDIT],
        env={**os.environ, "PATH": f"{tmp_path}:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    [line] = (done.stdout + done.stderr).splitlines()
    assert told in line
