"""A forecast as it was told, as an event: each one stays in the journal, with why it moved."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class Span(BaseModel):
    """When something is up, in seconds of the run: as likely before `p50` as after.

    Nine times in ten before `p90`, which is None where too few runs say how much they differ.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    p50: float
    p90: float | None


class ForecastPublished(BaseModel):
    """When components, layers, services and the site are expected to be up.

    What has no basis is left out.

    The site's is "at the least" where `no_basis` names components; it is None when it can say
    nothing, as while something has failed. `waits` says for what a person is needed; `overdue` are
    the components under way for longer than was ever seen. `reason` is why it is another forecast
    than the one before.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["forecast_published"] = "forecast_published"
    site: Span | None
    layers: dict[str, Span] = {}
    components: dict[str, Span] = {}
    services: dict[str, Span] = {}
    no_basis: tuple[str, ...] = ()
    overdue: tuple[str, ...] = ()
    waits: str = ""
    runs: int = 0
    reason: str = ""
