"""When drills start by themselves, as text for systemd, cron and Kubernetes. Pure.

A time is a cron expression in a time zone (cronsim reads it, as Debian's cron does); systemd wants
calendar events (systemd.time(7)).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from orchestrator.errors import InputError

OVERLAP = 75  # EX_TEMPFAIL of sysexits.h: the site is being recovered; no failure of the drill
FIELDS = 5  # cronsim would take a sixth, for seconds
_DAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


@dataclass(frozen=True, kw_only=True)
class Timer:
    """A drill that starts by itself: `words` is its whole command, `delay` seconds at random.

    `name` is unique on the machine; `failure` is a command that is run when the drill fails.
    """

    name: str
    site: str
    cron: str
    zone: str
    words: tuple[str, ...]
    delay: int = 0
    failure: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def unit(self) -> str:
        """The name of its units, without their suffix."""
        return f"drcli-drill-{self.site}-{self.name}"


def next_times(timer: Timer, after: datetime, number: int) -> tuple[datetime, ...]:
    """The next times after a moment, in the timer's zone; fewer where there are no more.

    Raises:
        InputError: no cron expression, no time zone, or one that never comes.
    """
    return tuple(islice(_times(timer.cron, timer.zone, after), number))


def calendar(cron: str, zone: str) -> tuple[str, ...]:
    """A cron expression as systemd's calendar events; two where cron means either of two days.

    Raises:
        InputError: it is none, or says what systemd has no words for (`L`, `#`).
    """
    found = _parsed(cron, zone, datetime.now(ZoneInfo("UTC")))
    weekdays = {day % 7 if isinstance(day, int) else -1 for day in found.weekdays}
    if min(weekdays) < 0 or min(found.days) < 0:
        raise InputError(f"--cron {cron!r}: a timer has no words for L and #")
    clock = f"{_listed(found.hours, 24)}:{_listed(found.minutes, 60)}:00"
    months, days = _listed(found.months, 12), _listed(found.days, 31)
    named = ",".join(_DAYS[day] for day in sorted(weekdays)) if len(weekdays) < len(_DAYS) else ""
    of_days, of_weekdays = f"*-{months}-{days}", f"{named} *-{months}-*".strip()
    if found.day_and:
        return (f"{named} {of_days} {clock} {zone}".strip(),)
    return (f"{of_days} {clock} {zone}", f"{of_weekdays} {clock} {zone}")


def systemd_units(timer: Timer) -> dict[str, str]:
    """Its units, by file name."""
    failed = f"{timer.unit}-failed.service"
    on_failure = f"OnFailure={failed}\n" if timer.failure else ""
    environment = "".join(
        f"Environment={_quoted(f'{name}={value}')}\n" for name, value in timer.environment
    )
    units = {
        f"{timer.unit}.service": (
            f"[Unit]\nDescription=Drill of {timer.site} ({timer.name})\n{on_failure}\n"
            f"[Service]\nType=oneshot\n{environment}"
            f"ExecStart={' '.join(map(_quoted, timer.words))}\n"
            f"SuccessExitStatus={OVERLAP}\n"
        ),
        f"{timer.unit}.timer": (
            f"[Unit]\nDescription=Starts the drill of {timer.site} ({timer.name})\n\n[Timer]\n"
            + "".join(f"OnCalendar={each}\n" for each in calendar(timer.cron, timer.zone))
            + f"Persistent=true\nAccuracySec=1s\nRandomizedDelaySec={timer.delay}\n\n"
            "[Install]\nWantedBy=timers.target\n\n"
            f"[X-Drcli]\nTimer={json.dumps(_as_json(timer))}\n"
        ),
    }
    if timer.failure:
        units[failed] = (
            f"[Unit]\nDescription=Tells that the drill of {timer.site} ({timer.name}) failed\n\n"
            f"[Service]\nType=oneshot\nExecStart=/bin/sh -c {_quoted(timer.failure)}\n"
        )
    return units


def cron_line(timer: Timer) -> str:
    """A file for /etc/cron.d; without a time zone of its own, since not every cron has them."""
    environment = " ".join(f"{name}={shlex.quote(value)}" for name, value in timer.environment)
    words = " ".join(map(shlex.quote, timer.words))
    failed = f" || [ $? -eq {OVERLAP} ] || {{ {timer.failure}; }}" if timer.failure else ""
    command = f"{environment} {words}{failed}".strip().replace("%", r"\%")  # else it ends there
    fields = " ".join(timer.cron.split())
    return (
        f"# {timer.unit}: the times are {timer.zone}; cron takes them as this machine's own zone.\n"
        f"{fields} root {command}\n"
    )


def kubernetes_text(timer: Timer, image: str) -> str:
    """A CronJob of batch/v1, as JSON, which is YAML too."""
    container = {
        "name": "drill",
        "image": image,
        "command": list(timer.words),
        "env": [{"name": name, "value": value} for name, value in timer.environment],
    }
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": timer.unit},
        "spec": {
            "schedule": " ".join(timer.cron.split()),
            "timeZone": timer.zone,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": 3600,
            "jobTemplate": {"spec": {"backoffLimit": 0, "template": template}},
        },
    }
    return json.dumps(job, indent=2) + "\n"


def read_timer(text: str) -> Timer | None:
    """The timer that a unit was written for; None of any other file."""
    for line in text.splitlines():
        if line.startswith("Timer={"):
            try:
                known = json.loads(line.removeprefix("Timer="))
                return Timer(
                    **{**known, "words": tuple(known["words"]),
                       "environment": tuple(map(tuple, known["environment"]))}
                )  # fmt: skip
            except (ValueError, TypeError, KeyError):
                return None
    return None


def _as_json(timer: Timer) -> dict[str, object]:
    return {**vars(timer)}


def _times(cron: str, zone: str, after: datetime) -> Iterator[datetime]:
    found = _parsed(cron, zone, after)
    while True:
        try:
            yield next(found)
        except (StopIteration, CronSimError):
            return


def _parsed(cron: str, zone: str, after: datetime) -> CronSim:
    try:
        return CronSim(
            cron if len(cron.split()) == FIELDS else "", after.astimezone(ZoneInfo(zone))
        )
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InputError(
            f"--zone {zone!r}: no such time zone", hint="Write it as Europe/Paris, or UTC."
        ) from None
    except CronSimError as error:
        raise InputError(
            f"--cron {cron!r}: {str(error)[:1].lower()}{str(error)[1:]}",
            hint="Write minute, hour, day of the month, month, day of the week: '0 3 * * 1'.",
        ) from None


def _listed(values: Sequence[int] | set[int], of: int) -> str:
    return "*" if len(values) == of else ",".join(f"{value:02}" for value in sorted(values))


def _quoted(word: str) -> str:
    """A word of a unit file: quoted as systemd.service(5) has it, nothing of it is expanded."""
    for char, safe in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$"), ("\n", "\\n")):
        word = word.replace(char, safe)
    return f'"{word}"'
