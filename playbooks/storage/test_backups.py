"""The repository answers, its last backup verifies, and the log of the primary reaches it."""

from __future__ import annotations

import json
import re
import time

import pytest

minimum_checks = 9


@pytest.fixture
def stanza(variables):
    return variables["backups_stanza"]


@pytest.fixture
def pgbackrest(host, stanza):
    """Run pgBackRest on the repository host, as its account."""

    def run(command):
        return host.run(f"cd / && runuser -u postgres -- pgbackrest --stanza={stanza} {command}")

    return run


@pytest.fixture
def info(pgbackrest):
    answer = pgbackrest("--output=json info")
    assert answer.rc == 0, f"pgbackrest info: {answer.stdout} {answer.stderr}"
    (found,) = json.loads(answer.stdout)
    return found


def test_the_repository_answers(info):
    assert info["status"]["code"] == 0, f"status of the stanza: {info['status']}"


def test_the_last_backup_is_whole_and_young_enough(info, variables):
    assert info["backup"], "there is no backup"
    last = info["backup"][-1]
    assert last["error"] is False, f"backup {last['label']} has page errors: {last['error']}"
    age = (time.time() - last["timestamp"]["stop"]) / 86400
    most = variables["backups_maximum_age_days"]
    assert age <= most, f"backup {last['label']} is {age:.1f} days old, must be at most {most}"


def test_it_belongs_to_the_database_that_runs(info, on, variables):
    (current,) = [db for db in info["db"] if db["id"] == max(one["id"] for one in info["db"])]
    for name in variables["groups"]["databases"]:
        ask = "SELECT system_identifier FROM pg_control_system()"
        running = on(name).run("psql -U postgres -h /run/postgresql -XAtqc %s", ask).stdout.strip()
        assert str(current["system-id"]) == running, (
            f"the repository holds {current['system-id']}, {name} runs {running or 'nothing'}"
        )


def test_everything_in_the_repository_verifies(pgbackrest):
    answer = pgbackrest("--output=text --verbose --log-level-console=off verify")
    assert answer.rc == 0, f"pgbackrest verify: {answer.stdout} {answer.stderr}"
    assert "status: ok" in answer.stdout, f"pgbackrest verify: {answer.stdout} {answer.stderr}"


def test_the_archived_log_has_no_gap(host, info, variables):
    archive = f"{variables['backups_repository_path']}/archive/{variables['backups_stanza']}"
    names = host.check_output(
        f"find {archive}/{info['archive'][-1]['id']} -name '*-*' -printf '%f '"
    )
    segments = sorted({int(n[8:16], 16) * 256 + int(n[16:24], 16)
                       for n in names.split() if re.match(r"[0-9A-F]{24}-", n)})  # fmt: skip
    start = info["backup"][0]["archive"]["start"]
    first = int(start[8:16], 16) * 256 + int(start[16:24], 16)
    have = [segment for segment in segments if segment >= first]
    missing = sorted(set(range(first, have[-1] + 1)) - set(have)) if have else [first]
    assert not missing, (
        f"log since backup {info['backup'][0]['label']} lacks segments {missing[:5]}"
    )


def test_the_log_of_the_primary_arrives_now(pgbackrest):
    answer = pgbackrest("--archive-timeout=20 check")
    assert answer.rc == 0, f"pgbackrest check: {answer.stdout} {answer.stderr}"


def test_archiving_succeeds_from_the_primary(on, variables):
    ask = (
        "SELECT NOT pg_is_in_recovery(), coalesce(last_failed_time > last_archived_time,"
        " last_failed_time IS NOT NULL) FROM pg_stat_archiver"
    )
    for name in variables["groups"]["databases"]:
        told = on(name).run("psql -U postgres -h /run/postgresql -XAtqc %s", ask).stdout.strip()
        assert told != "t|t", f"the last segment that {name} tried to archive failed"


def test_nobody_ordered_it_to_stop(host, on, variables):
    places = {variables["inventory_hostname"]: host}
    places |= {name: on(name) for name in variables["groups"]["databases"]}
    stops = {name: place.run("ls /tmp/pgbackrest/*.stop 2>/dev/null").stdout.split()
             for name, place in places.items()}  # fmt: skip
    assert not any(stops.values()), f"stop files: {stops}"


def test_backups_are_taken_on_schedule(host):
    state = host.run("systemctl is-active backups.timer").stdout.strip()
    assert state == "active", f"backups.timer is {state}"
