"""Events: frozen, past-tense, in one union; the only language of the engine and all that watches.

A `Record` is one line of the journal: which run, its place in the run (`seq`, from 1, no gaps), the
wall-clock time it was made (`at`, UTC) and the monotonic seconds since the run started (`elapsed`).
Order is `seq`, never `at`: after a power cut the clock may be wrong.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class CheckOutcome(StrEnum):
    """What one check on one host came to; only `passed` is good."""

    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    SKIPPED = "skipped"
    UNREACHABLE = "unreachable"


class GatePurpose(StrEnum):
    """Why a gate runs: before the playbook, after it, or again while others stand on it."""

    OBSERVE = "observe"
    VERIFY = "verify"
    RECHECK = "recheck"


class PlaybookOutcome(StrEnum):
    """What a playbook came to; only the gate opens anything."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class RunOutcome(StrEnum):
    """What a run came to; `verified` and `not_verified` when the gates ran alone.

    `degraded`: all is up, but some of it only by a rule of the site file: open work.
    """

    RECOVERED = "recovered"
    DEGRADED = "degraded"
    NOT_RECOVERED = "not_recovered"
    VERIFIED = "verified"
    NOT_VERIFIED = "not_verified"
    DRY_RUN_ENDED_WELL = "dry_run_ended_well"
    DRY_RUN_FAILED = "dry_run_failed"
    INTERRUPTED = "interrupted"


class PlannedComponent(_Frozen):
    """A component as the run's plan had it, so that a journal can be read without the site file."""

    name: str
    layer: str
    hosts: tuple[str, ...]
    needs: tuple[str, ...] = ()


class HostStats(_Frozen):
    """One host's line of `playbook_on_stats`: counts of tasks."""

    ok: int = 0
    changed: int = 0
    failures: int = 0
    unreachable: int = 0
    skipped: int = 0
    rescued: int = 0
    ignored: int = 0


class RunStarted(_Frozen):
    """A run of a site began; `layers`, `selected`, `limit`, `start`: what a person narrowed it to.

    A `dry_run` changes nothing. `lab`: its hosts are those of this lab, not the site's own.
    """

    kind: Literal["run_started"] = "run_started"
    site: str
    plan_hash: str
    components: tuple[PlannedComponent, ...]
    gates_only: bool = False
    by: str = ""
    controller: str = ""
    pid: int = 0
    layers: tuple[str, ...] = ()
    selected: tuple[str, ...] = ()
    approved: tuple[str, ...] = ()
    limit: str = ""
    start: str = ""
    dry_run: bool = False
    lab: str = ""


class GateStarted(_Frozen):
    """A component's gate began."""

    kind: Literal["gate_started"] = "gate_started"
    component: str
    purpose: GatePurpose
    attempt: int


class GateCollected(_Frozen):
    """A gate's checks are known: so many will be run, on all its hosts together."""

    kind: Literal["gate_collected"] = "gate_collected"
    component: str
    checks: int


class CheckFinished(_Frozen):
    """One check ended on one host (`host` is None for a check that takes no host)."""

    kind: Literal["check_finished"] = "check_finished"
    component: str
    check: str
    host: str | None
    outcome: CheckOutcome
    seconds: float
    message: str = ""


class GateFinished(_Frozen):
    """A gate ended; green only when every declared check ran on every host and passed."""

    kind: Literal["gate_finished"] = "gate_finished"
    component: str
    purpose: GatePurpose
    attempt: int
    green: bool
    passed: int
    total: int
    unreachable: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    seconds: float


class PlaybookStarted(_Frozen):
    """A component's playbook is about to start: on disk before the process is."""

    kind: Literal["playbook_started"] = "playbook_started"
    component: str
    playbook: str
    hosts: tuple[str, ...]
    attempt: int


class TaskStarted(_Frozen):
    """A task of a playbook began."""

    kind: Literal["task_started"] = "task_started"
    component: str
    play: str
    task: str


class TaskFailed(_Frozen):
    """A task failed on a host or could not reach it; ignored and rescued failures are shown too."""

    kind: Literal["task_failed"] = "task_failed"
    component: str
    host: str
    task: str
    message: str
    unreachable: bool = False
    ignored: bool = False
    rescued: bool = False


class TaskDiffed(_Frozen):
    """What a task changed in a file on a host, or would change; redacted and bounded."""

    kind: Literal["task_diffed"] = "task_diffed"
    component: str
    host: str
    task: str
    diff: str


class PlaybookFinished(_Frozen):
    """A playbook ended and none of its processes is left; `artifact` is its log."""

    kind: Literal["playbook_finished"] = "playbook_finished"
    component: str
    attempt: int
    outcome: PlaybookOutcome
    reasons: tuple[str, ...] = ()
    stats: dict[str, HostStats] = Field(default_factory=dict)
    seconds: float
    artifact: str = ""


class ComponentHealthy(_Frozen):
    """The component was already up: nothing was done."""

    kind: Literal["component_healthy"] = "component_healthy"
    component: str


class ComponentVerified(_Frozen):
    """The component's gate is green after its playbook."""

    kind: Literal["component_verified"] = "component_verified"
    component: str


class ComponentWouldRecover(_Frozen):
    """In a dry run: the component is not up, and its playbook ended well without a change."""

    kind: Literal["component_would_recover"] = "component_would_recover"
    component: str


class ComponentFailed(_Frozen):
    """The component could not be brought back."""

    kind: Literal["component_failed"] = "component_failed"
    component: str
    reason: str


class ComponentHeld(_Frozen):
    """The component waits for a person: `reason` is the question."""

    kind: Literal["component_held"] = "component_held"
    component: str
    reason: str


class RuleAwaited(_Frozen):
    """The component is not whole; a rule of the site file lets it go on so in so many `seconds`.

    Until then it is held, and its gate is repeated. `rule` is as the site file has it.
    """

    kind: Literal["rule_awaited"] = "rule_awaited"
    component: str
    rule: str
    seconds: float
    reason: str


class RuleApplied(_Frozen):
    """The time of a site file's rule has come: the component goes on by it, as open work."""

    kind: Literal["rule_applied"] = "rule_applied"
    component: str
    rule: str


class ComponentBlocked(_Frozen):
    """The component was not started: something it stands on is not verified."""

    kind: Literal["component_blocked"] = "component_blocked"
    component: str
    by: tuple[str, ...]


class ComponentTurnedRed(_Frozen):
    """A component that was up is down again, for the `times`-th time: two looks said so.

    It is brought back again, and nothing that stands on it starts before that.
    """

    kind: Literal["component_turned_red"] = "component_turned_red"
    component: str
    times: int
    reason: str


class ComponentHeldBack(_Frozen):
    """What was known of the component no longer counts: something it stands on turned red.

    It waits for these; then its gate is run before anything is done to it.
    """

    kind: Literal["component_held_back"] = "component_held_back"
    component: str
    by: tuple[str, ...]


class RunFinished(_Frozen):
    """The run ended."""

    kind: Literal["run_finished"] = "run_finished"
    outcome: RunOutcome
    seconds: float
    reason: str = ""


Event = Annotated[
    RunStarted | GateStarted | GateCollected | CheckFinished | GateFinished | PlaybookStarted
    | TaskStarted | TaskFailed | PlaybookFinished | ComponentHealthy | ComponentVerified
    | ComponentFailed | ComponentHeld | ComponentBlocked | ComponentTurnedRed | ComponentHeldBack
    | ComponentWouldRecover | RuleAwaited | RuleApplied | TaskDiffed | RunFinished,
    Field(discriminator="kind"),
]  # fmt: skip


class UnknownEvent(BaseModel):
    """An event this version cannot read: kept whole, never refused (a newer drcli wrote it)."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: str


class Record(_Frozen):
    """One line of the journal."""

    run: str
    seq: int
    at: AwareDatetime
    elapsed: float
    event: Annotated[Event | UnknownEvent, Field(union_mode="left_to_right")]
