"""Cron expressions as systemd, cron and Kubernetes understand them."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.timers import (
    Timer,
    calendar,
    cron_line,
    kubernetes_text,
    next_times,
    read_timer,
    systemd_units,
)

WORDS = ("/opt/a b/drcli", "drill", "--site", "hosting-a", "--scenario", "50%$HOME\"'")
TIMER = Timer(
    name="weekly",
    site="hosting-a",
    cron="0 3 * * 1",
    zone="Europe/Paris",
    words=WORDS,
    delay=600,
    failure="mail -s 'drill failed' root",
    environment=(("PATH", "/usr/bin"),),
)
AT = datetime(2026, 3, 27, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "events"),
    [
        ("0 3 * * 1", ("Mon *-*-* 03:00:00 UTC",)),
        ("*/15 0-2 * * *", ("*-*-* 00,01,02:00,15,30,45:00 UTC",)),
        ("30 4 1 1,7 *", ("*-01,07-01 04:30:00 UTC",)),
        ("0 3 1 * 0", ("*-*-01 03:00:00 UTC", "Sun *-*-* 03:00:00 UTC")),  # cron: either day
        ("0 3 * * 7", ("Sun *-*-* 03:00:00 UTC",)),
        ("* * * * *", ("*-*-* *:*:00 UTC",)),
    ],
)
def test_a_cron_expression_becomes_calendar_events(cron, events):
    assert calendar(cron, "UTC") == events


def test_the_next_times_are_of_the_zone_also_over_a_change_of_the_clock():
    timer = replace(TIMER, cron="0 3 * * *")
    times = next_times(timer, AT, 3)
    assert [f"{time:%d %H:%M %Z}" for time in times] == [
        "28 03:00 CET",
        "29 03:00 CEST",
        "30 03:00 CEST",
    ]


@pytest.mark.parametrize(
    ("cron", "zone", "told"),
    [
        ("0 3 * *", "UTC", "--cron '0 3 * *'"),
        ("0 0 3 * * 1", "UTC", "--cron"),
        ("61 3 * * *", "UTC", "bad minute"),
        ("0 3 * * 1", "Mars/Olympus", "--zone 'Mars/Olympus'"),
        ("0 3 * * 1", "../../etc/passwd", "--zone"),
        ("0 3 * * 5#2", "UTC", "no words for L and #"),
        ("0 3 L * *", "UTC", "no words for L and #"),
    ],
)
def test_what_is_no_time_is_told(cron, zone, told):
    with pytest.raises(InputError) as error:
        calendar(cron, zone)
    assert told in error.value.message


def test_a_time_that_never_comes_has_no_next():
    assert next_times(replace(TIMER, cron="0 0 30 2 1,2"), AT, 1) != ()  # or a Monday, a Tuesday
    with pytest.raises(InputError):
        next_times(replace(TIMER, cron="0 0 31 2 *"), AT, 1)


def test_units_say_all_that_systemd_must_know_and_are_read_back():
    units = systemd_units(TIMER)
    timer, service = units[f"{TIMER.unit}.timer"], units[f"{TIMER.unit}.service"]
    for line in (
        "OnCalendar=Mon *-*-* 03:00:00 Europe/Paris",
        "Persistent=true",
        "RandomizedDelaySec=600",
        "WantedBy=timers.target",
    ):
        assert line in timer.splitlines()
    assert 'ExecStart="/opt/a b/drcli"' in service
    assert "50%%$$HOME" in service
    assert "OnFailure=drcli-drill-hosting-a-weekly-failed.service" in service
    assert "mail -s" in units[f"{TIMER.unit}-failed.service"]
    assert read_timer(timer) == TIMER
    assert read_timer(service) is None
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(timer)
    assert set(parser.sections()) == {"Unit", "Timer", "Install", "X-Drcli"}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd says whether it agrees")
@given(
    st.sampled_from(["0", "*/7", "5,10-12"]),
    st.sampled_from(["3", "*", "1-5"]),
    st.sampled_from(["*", "1", "10-20", "31"]),
    st.sampled_from(["*", "1-6", "12"]),
    st.sampled_from(["*", "1", "5-7", "MON,WED"]),
)
def test_systemd_starts_when_cron_would(minute, hour, day, month, weekday):
    cron = f"{minute} {hour} {day} {month} {weekday}"
    expected = next_times(replace(TIMER, cron=cron, zone="UTC"), AT, 1)[0]
    firsts = []
    for event in calendar(cron, "UTC"):
        said = subprocess.run(
            ["systemd-analyze", "calendar", "--base-time", f"{AT:%Y-%m-%d %H:%M:%S} UTC", event],
            capture_output=True, text=True, check=True, env={"TZ": "UTC", "PATH": "/usr/bin:/bin"},
        ).stdout  # fmt: skip
        found = re.search(r"(?:Next elapse|\(in UTC\)): \w{3} ([-\d]+ [:\d]+)", said)
        firsts += [datetime.fromisoformat(found[1]).replace(tzinfo=UTC)] if found else []
    assert min(firsts) == expected


def test_a_cron_line_is_what_a_shell_reads_as_meant():
    _, told = cron_line(replace(TIMER, failure="date +%F")).splitlines()
    assert told.endswith(r"{ date +\%F; }")
    comment, line = cron_line(TIMER).splitlines()
    assert "Europe/Paris" in comment
    assert line.startswith("0 3 * * 1 root PATH=/usr/bin ")
    command, _, failed = line.removeprefix("0 3 * * 1 root ").partition(" || ")
    assert shlex.split(command.replace(r"\%", "%")) == ["PATH=/usr/bin", *WORDS]
    assert "%" not in command.replace(r"\%", "")  # cron would end the command there
    assert failed == "[ $? -eq 75 ] || { mail -s 'drill failed' root; }"


def test_a_cron_job_of_kubernetes_never_overlaps_itself():
    job = json.loads(kubernetes_text(TIMER, "registry/drcli:1"))
    assert job["kind"] == "CronJob"
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    assert job["spec"]["timeZone"] == "Europe/Paris"
    container = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry/drcli:1"
    assert container["command"] == list(WORDS)
