"""What a person may ask of a run from another terminal: values, as they lie in the journal.

A request is only asked here. The run takes it or refuses it, and says so with an event that bears
the request's number: `decisions.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

LONGEST = 500  # characters of a reason or a name

_Word = Annotated[str, Field(min_length=1, max_length=LONGEST)]
_Reason = Annotated[str, Field(max_length=LONGEST)]


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: _Reason = ""


class Approve(_Request):
    """Let a component go on that asks for approval."""

    kind: Literal["approve"] = "approve"
    component: _Word


class Deny(_Request):
    """Answer no: the component stays held."""

    kind: Literal["deny"] = "deny"
    component: _Word


class Hold(_Request):
    """Start nothing new; what is under way ends."""

    kind: Literal["hold"] = "hold"


class Release(_Request):
    """Go on after a hold."""

    kind: Literal["release"] = "release"


class Cancel(_Request):
    """End the run in good order."""

    kind: Literal["cancel"] = "cancel"


class Retry(_Request):
    """Try a failed or held component again."""

    kind: Literal["retry"] = "retry"
    component: _Word


class Waive(_Request):
    """Accept what is bad until a time: of a host, of a check, or (with neither) a whole component.

    A host without a component is waived in every component that has it.
    """

    kind: Literal["waive"] = "waive"
    component: _Word | None = None
    host: _Word | None = None
    check: _Word | None = None
    until: AwareDatetime


Request = Annotated[
    Approve | Deny | Hold | Release | Cancel | Retry | Waive, Field(discriminator="kind")
]
_REQUEST: TypeAdapter[Request] = TypeAdapter(Request)


@dataclass(frozen=True, kw_only=True)
class Requested:
    """A request as it reached the run; `request` is None when this version cannot read it.

    `late`: it was asked before this process went on with the run, which may not be meant any more.
    """

    id: int
    by: str
    at: datetime
    request: Request | None
    late: bool = False


def read_request(text: str) -> Request | None:
    """A request from its JSON; None when it is none that this version knows."""
    try:
        return _REQUEST.validate_json(text)
    except ValidationError:
        return None


def title(request: Request | None) -> str:
    """What is asked, in a few words: `approve database`, `waive host db2`."""
    match request:
        case None:
            return "a request of another version"
        case Waive(host=host, check=check, component=component):
            what = f"host {host}" if host else f"check {check}" if check else ""
            words = [request.kind, what, f"of {component}" if what and component else component]
        case Approve(component=component) | Deny(component=component) | Retry(component=component):
            words = [request.kind, component]
        case _:
            words = [request.kind]
    return " ".join(word for word in words if word)
