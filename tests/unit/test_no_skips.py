"""`make test` as root: a skipped test proves nothing, so it is a failed one."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """\
import pytest

def test_passes(): pass

def test_skips(): pytest.skip("not here")

@pytest.mark.xfail
def test_is_known_to_fail(): assert 0
"""


def ended(folder, text, no_skips):
    """How pytest ends on this one module."""
    shutil.copy(CONFTEST, folder)
    shutil.copy(CONFTEST.with_name("clean_environment.py"), folder)
    (folder / "test_some.py").write_text(text)
    return subprocess.run(
        [*(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull), folder],
        cwd=folder,
        env={**os.environ, "DRCLI_NO_SKIPS": no_skips, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(("no_skips", "code", "says"), [("", 0, "1 skipped"), ("1", 1, "1 failed")])
def test_a_skip_is_a_failure_where_everything_must_be_tried(tmp_path, no_skips, code, says):
    done = ended(tmp_path, TESTS, no_skips)
    assert done.returncode == code, done.stdout + done.stderr
    assert says in done.stdout
    assert "1 xfailed" in done.stdout
    assert ("where everything must be tried" in done.stdout) == bool(no_skips)


@pytest.mark.parametrize(("no_skips", "code", "says"), [("", 5, "1 skipped"), ("1", 2, "1 error")])
def test_so_is_the_skip_of_a_whole_module(tmp_path, no_skips, code, says):
    done = ended(tmp_path, 'import pytest\n\npytest.importorskip("no_such_module")\n', no_skips)
    assert (done.returncode, says in done.stdout) == (code, True), done.stdout + done.stderr
    assert ("where everything must be tried" in done.stdout) == bool(no_skips)
