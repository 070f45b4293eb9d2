"""What attempts leave behind is kept for a while and within a size."""

from __future__ import annotations

import os

from orchestrator.artifacts import prune_artifacts

DAY = 86_400
NOW = 1_000 * DAY


def make(state_dir, run, *, age_days, size=1_000):
    folder = state_dir / "artifacts" / run
    folder.mkdir(parents=True)
    file = folder / "dns-1.tar.gz"
    file.write_bytes(bytes(size))
    then = NOW - age_days * DAY
    for path in (file, folder):
        os.utime(path, (then, then))


def left(state_dir):
    return sorted(path.name for path in (state_dir / "artifacts").iterdir())


def test_what_is_older_than_the_days_kept_is_removed(tmp_path):
    make(tmp_path, "old", age_days=31)
    make(tmp_path, "young", age_days=29)
    assert prune_artifacts(tmp_path, keep_days=30, keep_runs=0, now=NOW) == ("old",)
    assert left(tmp_path) == ["young"]


def test_the_last_runs_are_kept_though_the_clock_is_a_year_ahead(tmp_path):
    runs = [f"run-{number}" for number in range(5)]
    for run in runs:
        make(tmp_path, run, age_days=0)
    removed = prune_artifacts(tmp_path, runs=runs, keep_runs=3, now=NOW + 365 * DAY)
    assert removed == ("run-0", "run-1")


def test_the_journal_says_which_run_is_older_not_the_clock(tmp_path):
    """The first run was made while the clock was ahead."""
    make(tmp_path, "first", age_days=-3_000)
    make(tmp_path, "second", age_days=1)
    make(tmp_path, "of-no-run", age_days=-5_000)
    removed = prune_artifacts(tmp_path, runs=["first", "second"], keep_bytes=1_500, now=NOW)
    assert removed == ("of-no-run", "first")


def test_the_oldest_are_removed_until_the_size_is_kept(tmp_path):
    for age, run in enumerate(["newest", "newer", "older", "oldest"]):
        make(tmp_path, run, age_days=age)
    total = sum(f.stat().st_size for f in (tmp_path / "artifacts").rglob("*") if f.is_file())
    assert prune_artifacts(tmp_path, keep_bytes=total // 2, now=NOW) == ("oldest", "older")
    assert left(tmp_path) == ["newer", "newest"]


def test_the_run_that_begins_is_spared(tmp_path):
    make(tmp_path, "mine", age_days=999)
    assert prune_artifacts(tmp_path, keep_days=1, keep_bytes=0, spare="mine", now=NOW) == ()


def test_no_artifacts_yet_is_nothing_to_do(tmp_path):
    assert prune_artifacts(tmp_path) == ()


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "file").write_text("keep me")
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "link").symlink_to(treasure)
    prune_artifacts(tmp_path, keep_days=0, keep_bytes=0, now=NOW * 2)
    assert (treasure / "file").exists()
