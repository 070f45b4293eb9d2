"""A component's hosts in parts, each for one worker, and what the parts came to together: pure.

A playbook is divided only where the site file gives its component a `shard_size`: one that elects a
primary among its hosts must see them all. A gate looks and changes nothing, and its inventory stays
whole; it is divided from `GATE_SHARD` hosts on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

from orchestrator.events import PlaybookOutcome
from orchestrator.work import GateRequest, GateResult, PlaybookRequest, PlaybookResult

Request = TypeVar("Request", PlaybookRequest, GateRequest)

GATE_SHARD = 50
# The first of these that a part came to is what the whole came to.
_WORST = (
    PlaybookOutcome.CANCELLED,
    PlaybookOutcome.FAILED,
    PlaybookOutcome.TIMED_OUT,
    PlaybookOutcome.LOST,
    PlaybookOutcome.SUCCEEDED,
)


def shards(request: Request) -> list[Request]:
    """The request once for each part of its hosts, in their order; the parts differ by 1 at most.

    As few parts as keep each within the size, so that none is much quicker done than another.
    """
    hosts = request.hosts
    size = request.shard_size or (GATE_SHARD if isinstance(request, GateRequest) else len(hosts))
    parts = -(-len(hosts) // size) if hosts and size else 1
    cuts = [len(hosts) * part // parts for part in range(parts + 1)]
    return [replace(request, hosts=hosts[a:b]) for a, b in pairwise(cuts)]


def joined_playbooks(results: Sequence[PlaybookResult]) -> PlaybookResult:
    """What an attempt came to, from what each of its parts did: the worst of them."""
    if len(results) == 1:
        return results[0]
    outcomes = {result.outcome for result in results}
    artifacts = [result.artifact for result in results if result.artifact]
    return PlaybookResult(
        outcome=next(outcome for outcome in _WORST if outcome in outcomes),
        reasons=tuple(dict.fromkeys(r for result in results for r in result.reasons)),
        lost=tuple(host for result in results for host in result.lost),
        stats={host: line for result in results for host, line in result.stats.items()},
        artifact=", ".join(artifacts),
    )


def joined_gates(results: Sequence[GateResult]) -> GateResult:
    """What a gate came to, from what each of its parts did: green when all are."""
    if len(results) == 1:
        return results[0]
    return GateResult(
        green=all(result.green for result in results),
        lost=any(result.lost for result in results),
        checks=tuple(check for result in results for check in result.checks),
        unreachable=tuple(host for result in results for host in result.unreachable),
        short=tuple(host for result in results for host in result.short),
        attributed=all(result.attributed for result in results),
        reasons=tuple(dict.fromkeys(r for result in results for r in result.reasons)),
    )
