"""The repository answers, its last backup verifies and restores, the primary's log reaches it."""

from __future__ import annotations

import json
import math
import re
import time

import pytest

minimum_checks = 12
SYSTEM = (
    "timeout 10 psql -U postgres -h /run/postgresql -XAtqc"
    " 'SELECT system_identifier, pg_is_in_recovery() FROM pg_control_system()'"
)

# The timeline of a primary, and the lines of its history file; of a standby nothing.
HISTORY = (
    "timeout 10 psql -U postgres -h /run/postgresql -XAtqc"
    " \"SELECT ('x' || id)::bit(32)::int || chr(10) ||"
    " coalesce(pg_read_file('pg_wal/' || id || '.history', 0, 100000, true), '')"
    " FROM left(CASE WHEN NOT pg_is_in_recovery()"
    " THEN pg_walfile_name(pg_current_wal_lsn()) END, 8)"
    ' AS id WHERE id IS NOT NULL"'
)


@pytest.fixture
def stanza(variables):
    return variables["backups_stanza"]


@pytest.fixture
def repository(variables):
    return f"{variables['backups_mount_point']}/repository"


@pytest.fixture
def pgbackrest(host, stanza):
    """Run pgBackRest on the repository host, as its account."""

    def run(command):
        words = f"timeout 60 runuser -u postgres -- pgbackrest --stanza={stanza} {command}"
        return host.run(f"cd / && {words}")

    return run


@pytest.fixture
def told(printed, variables):
    """What a command prints on each database host; a dark one is left to its own gate."""
    return lambda command, *words: printed(variables["groups"]["databases"], command, *words)


@pytest.fixture
def info(pgbackrest):
    answer = pgbackrest("--output=json info")
    assert answer.rc == 0, f"pgbackrest info: {answer.stdout} {answer.stderr}"
    (found,) = json.loads(answer.stdout)
    return found


def test_the_repository_lies_on_its_own_filesystem(host, variables):
    place = variables["backups_mount_point"]
    recorded = host.run("findmnt --fstab --noheadings --output SOURCE %s", place).stdout.strip()
    assert recorded.startswith("UUID="), f"fstab names no UUID for {place}"
    mounted = host.run("findmnt --noheadings --output FSTYPE,SOURCE --mountpoint %s", place)
    assert mounted.rc == 0, f"nothing is mounted at {place}: backups would go to the root disk"
    _, device = mounted.stdout.split()
    carried = host.run("timeout 10 blkid -p -s UUID -o value %s", device).stdout.strip()
    assert f"UUID={carried}" == recorded, f"{place} is {device}, {carried}, not {recorded}"


def test_there_is_room(host, variables):
    place = variables["backups_mount_point"]
    used = host.check_output("timeout 10 df --output=pcent %s", place).split()[-1]
    assert int(used.rstrip("%")) <= 90, f"{place} is {used} full: soon no log arrives"


def test_the_repository_answers(info):
    assert info["status"]["code"] == 0, f"status of the stanza: {info['status']}"


def test_the_last_backup_is_whole_and_young_enough(info, variables):
    assert info["backup"], "there is no backup"
    last = info["backup"][-1]
    assert last["error"] is False, f"backup {last['label']} has page errors: {last['error']}"
    age = (time.time() - last["timestamp"]["stop"]) / 86400
    most = variables["backups_maximum_age_days"]
    assert age <= most, f"backup {last['label']} is {age:.1f} days old, must be at most {most}"
    assert age > -0.01, f"backup {last['label']} is of tomorrow: the clock of a server was wrong"


@pytest.mark.dark_peers_allowed
def test_it_belongs_to_the_database_that_runs(info, told):
    (current,) = [db for db in info["db"] if db["id"] == max(one["id"] for one in info["db"])]
    answers = told(SYSTEM)
    running = {name: answer.split("|")[0] for name, answer in answers.items() if answer}
    assert any(a.endswith("|f") for a in answers.values()), f"no primary answers: {answers}"
    others = {name: system for name, system in running.items()
              if system != str(current["system-id"])}  # fmt: skip
    assert not others, f"the repository holds {current['system-id']}, but {others} run"


def test_everything_in_the_repository_verifies(pgbackrest):
    # Its exit code is 0 with corruption, too.
    answer = pgbackrest("--output=text --verbose --log-level-console=off verify")
    assert answer.rc == 0, f"pgbackrest verify: {answer.stdout} {answer.stderr}"
    assert "status: ok" in answer.stdout, f"pgbackrest verify: {answer.stdout} {answer.stderr}"


@pytest.mark.dark_peers_allowed
def test_the_archived_log_has_no_gap(host, info, repository, stanza, told):
    # verify says nothing of a segment that is not there, and one of the same place may be of
    # a server that was promoted by mistake: only those of the primary's own line count.
    last = info["backup"][-1]
    lines = [answer for answer in told(HISTORY).values() if answer]
    assert len(lines) == 1, f"no line of the log without exactly one primary: {lines}"
    timeline, *history = lines[0].splitlines()
    ends = {int(timeline): math.inf} | dict(switches(history))
    names = host.check_output(
        f"find {repository}/archive/{stanza}/{info['archive'][-1]['id']} -name '*-*' -printf '%f '"
    )
    segments = [name for name in names.split() if re.match(r"[0-9A-F]{24}-", name)]
    have = {number(name) for name in segments if number(name) <= ends.get(int(name[:8], 16), -1)}
    begin = number(last["archive"]["start"])
    missing = sorted(set(range(begin, max(have, default=begin) + 1)) - have)
    assert not missing, (
        f"the log since backup {last['label']} lacks {len(missing)} segments, the first is"
        f" {missing[0]:X}: nothing after it can be restored; take a new full backup"
    )


def switches(history):
    """Of a timeline's history file: each timeline before it, and the last segment that it has."""
    for line in history:
        if before := re.match(r"(\d+)\t([0-9A-F]+)/([0-9A-F]+)\t", line):
            timeline, high, low = before.groups()
            yield int(timeline), int(high, 16) * 256 + (int(low, 16) >> 24)


def number(segment):
    """A segment's place in the log, whatever its timeline: `00000001 00000002 000000A3`."""
    return int(segment[8:16], 16) * 256 + int(segment[16:24], 16)


@pytest.mark.dark_peers_allowed
def test_the_log_of_the_primary_arrives_now(told, on, stanza):
    # Asked there: the repository host wants an answer of every database host, also of a dark one.
    primaries = [name for name, answer in told(SYSTEM).items() if answer.endswith("|f")]
    assert len(primaries) == 1, f"no backup without exactly one primary: {primaries}"
    words = f"timeout 60 runuser -u postgres -- pgbackrest --stanza={stanza}"
    answer = on(primaries[0]).run(f"cd / && {words} --archive-timeout=20 check")
    assert answer.rc == 0, f"pgbackrest check: {answer.stdout} {answer.stderr}"


@pytest.mark.dark_peers_allowed
def test_archiving_succeeds_from_the_primary(told):
    ask = (
        "SELECT NOT pg_is_in_recovery(), coalesce(last_failed_time > last_archived_time,"
        " last_failed_time IS NOT NULL) FROM pg_stat_archiver"
    )
    for name, answer in told("psql -U postgres -h /run/postgresql -XAtqc %s", ask).items():
        assert answer != "t|t", f"the last segment that {name} tried to archive failed"


@pytest.mark.dark_peers_allowed
def test_nobody_ordered_it_to_stop(host, told, variables):
    look = "ls /tmp/pgbackrest/*.stop 2>/dev/null"
    stops = {variables["inventory_hostname"]: host.run(look).stdout.strip(), **told(look)}
    assert not any(stops.values()), f"stop files: {stops}"


def test_backups_are_taken_on_schedule(host):
    state = host.run("timeout 10 systemctl is-active backups.timer").stdout.strip()
    assert state == "active", f"backups.timer is {state}"


def test_the_backup_was_restored_after_this_boot(host):
    state = host.run("timeout 10 systemctl is-active backups-drill.service").stdout.strip()
    assert state == "active", f"backups-drill of this boot is {state}: no backup was restored"
    found = json.loads(host.check_output("cat /run/backups-drill/found.json"))
    wanted = json.loads(host.check_output("cat /var/lib/backups-drill.json"))
    assert found["token"] == wanted["token"], f"restored: {found}; written before that: {wanted}"
