"""A full disk and a read-only directory under the journal: stop before acting, lose nothing."""

from __future__ import annotations

import os
import subprocess

import pytest


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 3 MiB; it holds the state directory."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mount = tmp_path / "disk"
    mount.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", mount]
    done = subprocess.run(words, check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr!r}")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


def fill(disk):
    """Take every free page of the disk."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(4096)):
                pass
        except OSError:
            return


def test_a_disk_that_fills_up_stops_the_run_and_status_still_knows_all(
    hanging, recovery, drcli, small_disk
):
    project = hanging("playbook")
    state = small_disk / "state"
    run = recovery(project, state_dir=state)
    run.wait_for("playbook_started")
    fill(small_disk)
    # The playbook goes on telling; the first record that finds no room spends the reserve.
    code, events, errors = run.end()
    assert code == 1
    assert (events[-1]["kind"], events[-1]["outcome"]) == ("run_finished", "interrupted")
    assert "disk" in events[-1]["reason"]
    assert "hint: Free space" in errors
    status = drcli("status", "--state-dir", state, cwd=project)
    assert "interrupted after" in status.stdout


def test_on_a_disk_that_is_full_from_the_start_nothing_is_started(
    make_project, recovery, small_disk
):
    project = make_project({"network": [{"name": "routing", "hosts": "img1"}]})
    state = small_disk / "state"
    state.mkdir(mode=0o700)
    fill(small_disk)
    code, events, errors = recovery(project, state_dir=state).end()
    assert code in {1, 2}
    assert events == []
    assert "hint: " in errors
    assert not list((project / "marks").iterdir())


def test_with_a_read_only_state_directory_nothing_is_started_and_views_still_work(
    make_project, recovery, drcli, small_disk
):
    project = make_project({"network": [{"name": "routing", "hosts": "img1"}]})
    state = small_disk / "state"
    assert recovery(project, state_dir=state).end()[0] == 0
    (project / "marks/routing-img1").unlink()
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    code, events, errors = recovery(project, state_dir=state).end()
    assert code in {1, 2}
    assert events == []
    assert "--state-dir" in errors
    assert not list((project / "marks").iterdir())
    for view in ("status", "runs", "show"):
        done = drcli(view, "--state-dir", state, cwd=project)
        assert (done.returncode, "recovered" in done.stdout) == (0, True), done.stderr


def test_whatever_the_umask_all_that_a_run_keeps_is_its_users_alone(
    make_project, recovery, tmp_path
):
    project = make_project({"network": [{"name": "routing", "hosts": "img1"}]})
    state = tmp_path / "above" / "state"
    before = os.umask(0)
    try:
        assert recovery(project, state_dir=state).end()[0] == 0
    finally:
        os.umask(before)
    kept = [state.parent, state, *state.rglob("*")]
    assert len(kept) > 6
    others = {str(path): oct(path.stat().st_mode) for path in kept if path.stat().st_mode & 0o077}
    assert others == {}
