"""What people decided about a run, as events: who, why, and which request it answers.

`request` is the number of the request in the journal. A request that cannot be honoured has its
event too, so that whoever asked is told, and the journal keeps that it was asked. Then, what came
by itself: a time that is over, a terminal that is gone.
"""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Decision(_Event):
    by: str
    reason: str = ""
    request: int = 0


class ApprovalGiven(_Decision):
    """A person said yes: the component goes on."""

    kind: Literal["approval_given"] = "approval_given"
    component: str


class ApprovalDenied(_Decision):
    """A person said no: the component stays held until it is retried."""

    kind: Literal["approval_denied"] = "approval_denied"
    component: str


class RunHeld(_Decision):
    """A person holds the run: nothing new starts, what was under way ends."""

    kind: Literal["run_held"] = "run_held"


class RunReleased(_Decision):
    """The hold is over."""

    kind: Literal["run_released"] = "run_released"


class RunCancelled(_Decision):
    """A person ends the run; its children are ended before `run_finished`."""

    kind: Literal["run_cancelled"] = "run_cancelled"


class RetryAsked(_Decision):
    """A failed or held component is tried again, and what it blocked waits again."""

    kind: Literal["retry_asked"] = "retry_asked"
    component: str


class Waived(_Decision):
    """A person accepts what is bad of a component, until a time.

    All of one host, one check on all hosts, or with neither the whole component.
    """

    kind: Literal["waived"] = "waived"
    component: str
    host: str | None = None
    check: str | None = None
    until: AwareDatetime


class RequestRefused(_Decision):
    """A request was not honoured; `asked` says what it was, `reason` why not."""

    kind: Literal["request_refused"] = "request_refused"
    asked: str


class ApprovalExpired(_Event):
    """Nobody approved the component in time: it stays held until it is retried."""

    kind: Literal["approval_expired"] = "approval_expired"
    component: str


class WaiverExpired(_Event):
    """A waiver is over: what it accepted counts again."""

    kind: Literal["waiver_expired"] = "waiver_expired"
    component: str
    host: str | None = None
    check: str | None = None


class TerminalLost(_Event):
    """The run has lost its terminal and goes on without: `drcli watch` follows it."""

    kind: Literal["terminal_lost"] = "terminal_lost"


Decision = (
    ApprovalGiven
    | ApprovalDenied
    | RunHeld
    | RunReleased
    | RunCancelled
    | RetryAsked
    | Waived
    | RequestRefused
)
Consequence = ApprovalExpired | WaiverExpired | TerminalLost
