"""The verdict on one run of a gate: pure, from what was reported and how its process ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from orchestrator.events import CheckFinished, CheckOutcome
from orchestrator.redaction import cut
from orchestrator.work import GateResult

_MOST_CHECKS = 8  # bad checks named in the reasons; all stand in the checks themselves
_LONGEST = 300
_CHECKS_FAILED = 1  # pytest's exit codes
_NOTHING_COLLECTED = 5


@dataclass(kw_only=True)
class Seen:
    """What was seen of one run of a gate.

    `announced` is the exit code that pytest announced, `ended` the one its process ended with.
    """

    checks: list[CheckFinished] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)
    collected: int = 0
    announced: int | None = None
    ended: int | None = None
    printed: str = ""


def judge(
    seen: Seen,
    hosts: Iterable[str],
    minimum: int,
    *,
    to_the_end: bool = True,
    one_is_enough: bool = False,
) -> GateResult:
    """Green only when every host had at least `minimum` checks and every single check passed.

    With `to_the_end` false the gate was to stop at its first bad check: what ran no more is then
    not held against it a second time. With `one_is_enough` it is green, too, when all checks ran
    and all that is bad is of some hosts, and another is whole; what is bad stays in the reasons.
    """
    hosts = tuple(hosts)
    reasons = [*seen.trouble, *seen.unreachable.values()]
    bad = [check for check in seen.checks if check.outcome is not CheckOutcome.PASSED]
    shown = [check for check in bad if check.host not in seen.unreachable]
    reasons += [_line(check) for check in shown[:_MOST_CHECKS]]
    if len(shown) > _MOST_CHECKS:
        reasons.append(f"and {len(shown) - _MOST_CHECKS} more")
    if not seen.checks and not seen.trouble:
        reasons.append("no check was run")
    for host in hosts if seen.checks and (to_the_end or not bad) else ():
        ran = sum(check.host == host for check in seen.checks)
        if ran < max(minimum, 1) and host not in seen.unreachable:
            reasons.append(f"{host}: {ran} checks ran on it, at least {max(minimum, 1)} must")
    clean = seen.announced == seen.ended == 0
    if not (seen.trouble or bad or seen.announced == seen.ended == _NOTHING_COLLECTED):
        if not clean:
            printed = f": {seen.printed}" if seen.printed else ""
            reasons.append(f"pytest ended with code {seen.ended}{printed}")
        elif len(seen.checks) != seen.collected:
            reasons.append(f"{len(seen.checks)} of {seen.collected} checks were run")
    green = clean and not reasons and not bad
    if one_is_enough and not green:
        green = _one_is_whole(seen, hosts, minimum)
    return GateResult(
        green=green,
        checks=tuple(seen.checks),
        unreachable=tuple(seen.unreachable),
        reasons=tuple(dict.fromkeys(reasons)),
    )


def _one_is_whole(seen: Seen, hosts: tuple[str, ...], minimum: int) -> bool:
    """All checks ran, a host is without a fault, and every fault is of another host."""
    bad = {check.host for check in seen.checks if check.outcome is not CheckOutcome.PASSED}
    faulty = bad | seen.unreachable.keys()
    whole = [
        host
        for host in hosts
        if host not in faulty
        and sum(check.host == host for check in seen.checks) >= max(minimum, 1)
    ]
    ran = len(seen.checks) == seen.collected and seen.announced == seen.ended
    over = ran and seen.ended in {0, _CHECKS_FAILED} and not seen.trouble
    return bool(over and whole and faulty <= set(hosts))


def _line(check: CheckFinished) -> str:
    where = check.host or "controller"
    first = check.message.partition("\n")[0]
    return cut(f"{where}: {check.check} {check.outcome.value}: {first}", _LONGEST)
