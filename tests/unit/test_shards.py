"""A component's hosts in parts, and what the parts come to together."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.events import CheckFinished, CheckOutcome, GatePurpose, HostStats, PlaybookOutcome
from orchestrator.shards import GATE_SHARD, joined_gates, joined_playbooks, shards
from orchestrator.work import GateRequest, GateResult, PlaybookRequest, PlaybookResult

PLACES = {"project": Path("/p"), "inventory": Path("/p/hosts.yml"), "timeout": 60.0}


def hosts(count):
    return tuple(f"n{number}" for number in range(count))


def playbook(count, size=None):
    return PlaybookRequest(
        run="r", component="web", attempt=1, playbook=Path("/p/web.yml"), hosts=hosts(count),
        shard_size=size, **PLACES,
    )  # fmt: skip


def gate(count, size=None):
    return GateRequest(
        run="r", component="web", attempt=1, gate=Path("/p/test_web.py"), hosts=hosts(count),
        shard_size=size, minimum=1, purpose=GatePurpose.VERIFY, **PLACES,
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 50, 51, 500])
def test_a_playbook_is_never_divided_unasked(count):
    assert shards(playbook(count)) == [playbook(count)]


@pytest.mark.parametrize(
    ("count", "size", "sizes"), [(6, 2, [2, 2, 2]), (7, 3, [2, 2, 3]), (3, 5, [3])]
)
def test_shards_hold_every_host_once_and_are_of_like_size(count, size, sizes):
    for request in (playbook(count, size), gate(count, size)):
        parts = shards(request)
        assert [len(part.hosts) for part in parts] == sizes
        assert tuple(host for part in parts for host in part.hosts) == request.hosts


def test_a_gate_is_divided_when_it_is_large():
    assert len(shards(gate(GATE_SHARD))) == 1
    assert [len(part.hosts) for part in shards(gate(GATE_SHARD + 1))] == [25, 26]


def test_a_request_without_hosts_stays_one():
    assert shards(playbook(0, 5)) == [playbook(0, 5)]


@pytest.mark.parametrize(
    ("outcomes", "whole"),
    [
        (["succeeded", "succeeded"], "succeeded"),
        (["succeeded", "lost"], "lost"),
        (["lost", "timed_out"], "timed_out"),
        (["timed_out", "failed", "lost"], "failed"),
        (["failed", "cancelled"], "cancelled"),
    ],
)
def test_playbooks_come_to_the_worst_of_their_parts(outcomes, whole):
    parts = [
        PlaybookResult(
            outcome=PlaybookOutcome(outcome),
            lost=(f"n{number}",) if outcome == "lost" else (),
            stats={f"n{number}": HostStats(ok=1)},
            artifact=f"/log-{number}",
        )
        for number, outcome in enumerate(outcomes)
    ]
    joined = joined_playbooks(parts)
    assert joined.outcome == PlaybookOutcome(whole)
    assert joined.lost == tuple(host for part in parts for host in part.lost)
    assert len(joined.stats) == len(outcomes)


def test_a_gate_is_green_only_when_every_part_is():
    check = CheckFinished(
        component="web", check="t", host="n0", outcome=CheckOutcome.PASSED, seconds=0.1
    )
    green = GateResult(green=True, checks=(check,))
    red = GateResult(green=False, unreachable=("n1",), reasons=("n1: gone",))
    assert joined_gates([green, green]).green
    assert len(joined_gates([green, green]).checks) == 2
    joined = joined_gates([green, red])
    assert not joined.green
    assert (joined.unreachable, joined.reasons, joined.lost) == (("n1",), ("n1: gone",), False)
    assert joined_gates([green, GateResult(green=False, lost=True)]).lost
