"""Of a site file: whom a site serves, who is told of its recovery, and how its plan is proven."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field

from orchestrator.site_types import DAYS, LANGUAGE, VARIABLE, Duration, Name, Strict, Text

Event = Literal[
    "started", "verified", "layer-up", "failed", "held", "turned-red", "forecast", "decided",
    "finished",
]  # fmt: skip


class Service(Strict):
    """What people outside know: medical imaging, for two hospitals."""

    hospitals: tuple[Name, ...] = Field((), description="Who uses it.")
    criticality: Literal["vital", "high", "normal", "low"] = Field(
        "normal", description="How much depends on it: what is vital is told first."
    )
    title: dict[Annotated[str, Field(pattern=LANGUAGE)], Text] = Field(
        default_factory=dict, description="Its name in each language: {en: ..., fr: ...}"
    )


class Hospital(Strict):
    """Who uses services, as people know it."""

    title: dict[Annotated[str, Field(pattern=LANGUAGE)], Text] = Field(
        default_factory=dict, description="Its name in each language: {en: ..., fr: ...}"
    )


class Proof(Strict):
    """How long what a green drill has proven stands."""

    valid: Annotated[str, Field(pattern=DAYS)] = Field(
        default="90d", description="How long a proof stands: `30d`."
    )

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return int(self.valid.removesuffix("d")) * 86_400.0


class Notice(Strict):
    """A rule of who is told of what."""

    when: tuple[Event, ...] = Field(min_length=1, description="Of what.")
    env: Annotated[str, Field(pattern=VARIABLE)] = Field(
        description="The environment variable with the URL of who is told, as Apprise writes it."
    )
    quiet: Duration = Field(
        timedelta(minutes=5),
        description="How long the same is not told again.",
        json_schema_extra={"default": "5m"},
    )


class Drills(Strict):
    """What drills may do."""

    live_from_schedule: bool = Field(
        default=False,
        strict=True,
        description="A schedule may start a live drill, which changes the site, with nobody there.",
    )
