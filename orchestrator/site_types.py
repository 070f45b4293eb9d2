"""What the values of a site file are made of: names, texts, durations, and files of playbooks."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from orchestrator.project import SLUG

DURATION = r"^(?=\d)(\d+h)?(\d+m)?(\d+s)?$"
AFTER = DURATION.replace("^", "^after ", 1)
_MAX_DURATION = timedelta(days=7)
_SECONDS = {"h": 3600, "m": 60, "s": 1}
LANGUAGE = r"^[a-z]{2}$"
ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f]*$"


def parse_duration(text: object) -> timedelta:
    """`90s`, `30m`, `4h`, `1h30m` -> the time it means.

    Raises:
        PydanticCustomError: it is not written so, or is no time between 0s and a week.
    """
    if not isinstance(text, str) or len(text) > 20 or not re.fullmatch(DURATION, text, re.ASCII):  # noqa: PLR2004 -- longer is none
        raise PydanticCustomError("duration", "not a duration; write it as 90s, 30m, 4h or 1h30m")
    parts = re.findall(r"(\d+)([hms])", text)
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in parts)
    if seconds > _MAX_DURATION.total_seconds():
        raise PydanticCustomError("duration", "longer than a week; write a shorter time")
    return timedelta(seconds=seconds)


def written(seconds: float) -> str:
    """Seconds as a site file says them: `10m`, `1h30m`, `90s` as `1m30s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = ((hours, "h"), (minutes, "m"), (rest, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count) or "0s"


def parse_after(text: object) -> timedelta:
    """`after 10m` -> ten minutes.

    Raises:
        PydanticCustomError: it is not written so, or the time is none.
    """
    word, _, time = text.partition(" ") if isinstance(text, str) else ("", "", "")
    if word != "after":
        raise PydanticCustomError("after", "not a rule; write it as `after 10m`")
    return parse_duration(time)


def _positive(value: timedelta) -> timedelta:
    if not value:
        raise PydanticCustomError("duration", "must be longer than 0s; write it as 90s or 30m")
    return value


def _path(text: str) -> str:
    parts = PurePosixPath(text).parts
    if parts[:1] != ("playbooks",) or ".." in parts:
        raise PydanticCustomError("path", "is not in playbooks/; write playbooks/LAYER/FILE")
    return text


Name = Annotated[str, Field(pattern=SLUG)]
Text = Annotated[str, Field(min_length=1, max_length=500, pattern=ONE_LINE)]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["90s", "30m", "1h30m"]}),
]
After = Annotated[
    timedelta,
    BeforeValidator(parse_after),
    WithJsonSchema({"type": "string", "pattern": AFTER, "examples": ["after 10m"]}),
]
Time = Annotated[Duration, AfterValidator(_positive)]
File = Annotated[Text, AfterValidator(_path)]


class Strict(BaseModel):
    """A part of a site file: no other fields, and never changed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
