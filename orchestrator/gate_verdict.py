"""The verdict on one run of a gate: pure, from what was reported and how its processes ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.decided import Waiver
from orchestrator.events import CheckFinished, CheckOutcome
from orchestrator.redaction import cut
from orchestrator.work import GateResult

_MOST_CHECKS = 8  # bad checks named in the reasons; all stand in the checks themselves
_LONGEST = 300
_NOTHING_COLLECTED = 5  # pytest's exit code
_CHECKS_FAILED = 1  # the same


@dataclass(kw_only=True)
class Seen:
    """What was seen of one run of a gate: of `collected` checks, run by `parts` processes.

    `ends` holds the code that each part's pytest announced, `exits` the one its process ended with.
    """

    checks: list[CheckFinished] = field(default_factory=list)
    unreachable: dict[str, str] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)
    collected: int = 0
    parts: int = 1
    ends: dict[int, int] = field(default_factory=dict)
    exits: dict[int, int] = field(default_factory=dict)
    printed: str = ""

    @property
    def bad(self) -> list[CheckFinished]:
        """The checks that did not pass."""
        return [check for check in self.checks if check.outcome is not CheckOutcome.PASSED]


def judge(seen: Seen, hosts: Iterable[str], minimum: int, *, to_the_end: bool = True) -> GateResult:
    """Green only when every host had at least `minimum` checks and every single check passed.

    With `to_the_end` false the gate was to stop at its first bad check: what ran no more is then
    not held against it a second time.
    """
    reasons = [*seen.trouble, *seen.unreachable.values()]
    bad = seen.bad
    shown = [check for check in bad if check.host not in seen.unreachable]
    reasons += [_line(check) for check in shown[:_MOST_CHECKS]]
    if len(shown) > _MOST_CHECKS:
        reasons.append(f"and {len(shown) - _MOST_CHECKS} more")
    if not seen.checks and not seen.trouble:
        reasons.append("no check was run")
    short = []
    for host in hosts if seen.checks and (to_the_end or not bad) else ():
        ran = sum(check.host == host for check in seen.checks)
        if ran < max(minimum, 1):
            short.append(host)
            if host not in seen.unreachable:
                reasons.append(f"{host}: {ran} checks ran on it, at least {max(minimum, 1)} must")
    unclean = [n for n in range(seen.parts) if not seen.ends.get(n) == seen.exits.get(n) == 0]
    told = seen.trouble or bad or seen.ends.get(0) == seen.exits.get(0) == _NOTHING_COLLECTED
    if not told:
        printed = f": {seen.printed}" if seen.printed else ""
        codes = [seen.exits.get(part) for part in unclean]
        reasons += [f"pytest ended with code {code}{printed}" for code in codes]
        if not unclean and len(seen.checks) != seen.collected:
            reasons.append(f"{len(seen.checks)} of {seen.collected} checks were run")
    return GateResult(
        green=not unclean and not reasons and not bad,
        checks=tuple(seen.checks),
        unreachable=tuple(seen.unreachable),
        reasons=tuple(dict.fromkeys(reasons)),
        short=tuple(short),
        attributed=to_the_end and _attributed(seen),
    )


def excused(result: GateResult, waivers: Sequence[Waiver]) -> GateResult:
    """The verdict when a person accepts some of what is bad: green when that is all of it.

    What is no fault of a check or a host (pytest itself failed, a time limit) is never accepted
    but with the whole component.
    """
    if result.green or not waivers:
        return result
    whole = [waiver.subject for waiver in waivers if waiver.whole]
    if whole:
        return replace(result, green=True, waived=tuple(whole))
    hosts = {waiver.host for waiver in waivers if waiver.host}
    gone = {*result.unreachable, *result.short}
    bad = [check for check in result.checks if check.outcome is not CheckOutcome.PASSED]
    if not result.attributed or not gone <= hosts:
        return result
    if any(not any(covers(waiver, check) for waiver in waivers) for check in bad):
        return result
    used = [w for w in waivers if w.host in gone or any(covers(w, check) for check in bad)]
    return replace(result, green=True, waived=tuple(waiver.subject for waiver in used))


def covers(waiver: Waiver, check: CheckFinished) -> bool:
    """The waiver accepts this check: by its host, or by its name with or without parameters."""
    if waiver.host:
        return waiver.host == check.host
    return waiver.check in {check.check, check.check.partition("[")[0]}


def within_quorum(result: GateResult, hosts: Sequence[str], quorum: int) -> GateResult:
    """The verdict when so many of the hosts are enough: green when at least they are up.

    A host is up when every declared check ran on it and passed; one that is unreachable is not. The
    hosts that are not up stand in `degraded`. What is no fault of a host (a check that takes none,
    pytest itself, a time limit) is red as ever.
    """
    bad = [check for check in result.checks if check.outcome is not CheckOutcome.PASSED]
    if result.green or not result.attributed or any(check.host not in hosts for check in bad):
        return result
    down = {*result.unreachable, *result.short, *(check.host for check in bad)}
    up = sum(host not in down for host in hosts)
    if up >= quorum:
        return replace(result, green=True, degraded=tuple(host for host in hosts if host in down))
    counted = f"{up} of {len(hosts)} hosts are up, at least {quorum} must be"
    return replace(result, reasons=(counted, *result.reasons))


def _attributed(seen: Seen) -> bool:
    """Every process of it ended by its own will, with or without bad checks, and ran all it had."""
    clean = {(0, 0), (_CHECKS_FAILED, _CHECKS_FAILED)} if seen.bad else {(0, 0)}
    ends = {(seen.ends.get(part), seen.exits.get(part)) for part in range(seen.parts)}
    return bool(
        ends <= clean and seen.checks and not seen.trouble and len(seen.checks) == seen.collected
    )


def _line(check: CheckFinished) -> str:
    where = check.host or "controller"
    first = check.message.partition("\n")[0]
    return cut(f"{where}: {check.check} {check.outcome.value}: {first}", _LONGEST)
