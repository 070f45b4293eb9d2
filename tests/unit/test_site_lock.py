"""One run a site at a time; a lock whose holder died is free."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime

import pytest

from orchestrator.errors import LockedError
from orchestrator.site_lock import lock_holder, site_lock

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
HOLD = textwrap.dedent("""
    import sys
    from datetime import UTC, datetime
    from pathlib import Path
    from orchestrator.site_lock import site_lock
    since = datetime(2026, 1, 2, 12, tzinfo=UTC)
    with site_lock(Path(sys.argv[1]), "lab-a", run="r1", since=since, by="ada"):
        print("held", flush=True)
        sys.stdin.read()
""")


def lock(folder, site="lab-a"):
    return site_lock(folder, site, run="r2", since=NOON, by="bob")


@pytest.fixture
def other(tmp_path):
    """Another process that holds the lock of lab-a until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate(timeout=10)


def test_the_second_is_told_who_holds_the_lock_since_when_and_what_to_type(tmp_path, other):
    with pytest.raises(LockedError) as caught, lock(tmp_path):
        pass
    assert caught.value.message == (
        f"lab-a is being recovered already: run r1 of ada (process {other.pid})"
        f" since {NOON.astimezone():%Y-%m-%d %H:%M:%S}"
    )
    assert caught.value.hint == "See how far it is: drcli status --site lab-a"


def test_another_site_has_a_lock_of_its_own(tmp_path, other):
    with lock(tmp_path, "lab-b"):
        assert lock_holder(tmp_path, "lab-b").pid == os.getpid()


def test_a_lock_whose_holder_was_killed_is_free_and_nobody_holds_it(tmp_path, other):
    other.kill()
    other.wait(timeout=10)
    assert lock_holder(tmp_path, "lab-a") is None
    with lock(tmp_path):
        assert lock_holder(tmp_path, "lab-a").run == "r2"


def test_a_process_that_got_the_number_of_a_dead_holder_is_not_taken_for_it(tmp_path):
    with lock(tmp_path):
        file = tmp_path / "locks" / "lab-a.holder"
        holder = lock_holder(tmp_path, "lab-a")
        earlier = holder.model_copy(update={"began": holder.began - 1})
        file.write_text(earlier.model_dump_json())
        assert lock_holder(tmp_path, "lab-a") is None


def test_a_holder_from_before_the_last_boot_is_gone(tmp_path):
    with lock(tmp_path):
        file = tmp_path / "locks" / "lab-a.holder"
        holder = lock_holder(tmp_path, "lab-a")
        file.write_text(holder.model_copy(update={"boot_id": "other"}).model_dump_json())
        assert lock_holder(tmp_path, "lab-a") is None


def test_the_lock_is_given_back_at_the_end(tmp_path):
    for _ in range(2):
        with lock(tmp_path):
            pass
    assert lock_holder(tmp_path, "lab-a") is None


def test_a_holder_file_that_says_nothing_names_nobody(tmp_path):
    with lock(tmp_path):
        (tmp_path / "locks" / "lab-a.holder").write_text("{")
        assert lock_holder(tmp_path, "lab-a") is None
