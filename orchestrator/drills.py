"""What makes a run a drill, and what a drill came to, as values that the journal keeps.

The kinds are those of NIST SP 800-34 rev. 1, 3.5 (tests, training and exercises): a tabletop walks
through the plan, a functional exercise brings something back.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class DrillKind(StrEnum):
    """What a drill does: nothing; gates and check mode; all of it, on a lab or on the site."""

    TABLETOP = "tabletop"
    CHECK = "check"
    LAB = "lab"
    LIVE = "live"


class Drill(_Frozen):
    """This run was made on purpose; `scenario` is empty where nothing was broken for it."""

    kind: DrillKind
    scenario: str = ""

    @property
    def on_lab(self) -> bool:
        """It says nothing of the site itself."""
        return self.kind is DrillKind.LAB


class FaultScore(_Frozen):
    """One fault that was given, and what drcli made of it.

    `noticed`: a gate of its component was red. `met`: as it is written in the catalogue; that is,
    for a fault to be `recovered`, its proof succeeded in every host afterwards; for one to be
    `held`, the run said its reason of its component, and did not verify it.
    """

    name: str
    component: str
    expect: Literal["recovered", "held"]
    noticed: bool
    met: bool
    note: str = ""


class TimeScore(_Frozen):
    """The recovery time objective and the actual one, in seconds of the run; None: none, not up."""

    objective: float | None
    actual: float | None

    @property
    def missed(self) -> bool:
        """There is an objective, and it was not kept."""
        return self.objective is not None and (self.actual is None or self.actual > self.objective)


class DrillScored(_Frozen):
    """What a drill came to, after the end of its run.

    `held` are the components that were to stay down for a person; `as_expected` says that the run
    ended just so; `untrue` are those it said to be up whose gates were red right after it. `lost`
    of `acknowledged` writes are gone; both None where no ledger is kept. `interventions` are what
    people did for the run, `untold` what the console alone should have told and did not, `broke`
    the conditions (of `CONDITIONS`) that make the drill fail. `proves` are the components that were
    brought back and verified, `files` what that stands for: the SHA-256 of each file, by its name
    in the project. `seconds` is the whole drill.
    """

    kind: Literal["drill_scored"] = "drill_scored"
    drill: Drill
    held: tuple[str, ...] = ()
    as_expected: bool
    site: TimeScore
    layers: dict[str, TimeScore] = Field(default_factory=dict)
    acknowledged: int | None = None
    lost: int | None = None
    untrue: tuple[str, ...] = ()
    checks: int = 0
    faults: tuple[FaultScore, ...] = ()
    cuts: int = 0
    deaths: int = 0
    interventions: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    expert_absent: bool = False
    broke: tuple[str, ...] = ()
    proves: tuple[str, ...] = ()
    files: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0
