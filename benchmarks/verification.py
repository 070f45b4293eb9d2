"""Verification of ten servers, twenty checks each: cold, again, far away, and of 200 hosts."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks import measure, questions, servers
from benchmarks.bench import Bench
from benchmarks.command import run
from benchmarks.measure import Sample, Take, sample
from benchmarks.outputs import drcli_work, pytest_work
from benchmarks.results import Row, answer
from benchmarks.servers import GATE, HOSTS, SITE, Servers
from benchmarks.world import DRCLI, PEERS, fresh_home, require_cold

XDIST = ("", "-n 2", "-n 8")
ROUND_TRIP = 20.0  # milliseconds
_OURS, _AGAIN, _STOCK = "drcli verify", "drcli, again", "stock"


def near(bench: Bench) -> Iterator[Row]:
    """Cold as whole processes, and again within a run."""
    with servers.as_they_are(bench.servers) as there:
        takes = [_drcli(there), _again(there), _stock(there), *_tuned(there, again=True)]
        found = measure.alternate(takes, rounds=bench.rounds, tell=bench.tell)
    cold = measure.best(found, [_name(xdist) for xdist in XDIST])
    warm = measure.best(found, [_warm(xdist) for xdist in XDIST])
    yield answer(
        questions.VERIFY_STOCK,
        measure.ratio(found[_STOCK], found[_OURS]),
        samples={_OURS: found[_OURS], _STOCK: found[_STOCK]},
    )
    yield answer(
        questions.VERIFY_TUNED,
        measure.ratio(found[cold], found[_OURS]),
        samples={name: found[name] for name in map(_name, XDIST)},
        note=f"(best: {cold})",
    )
    # Without a control path nothing of a stock run is left that a second one could use.
    yield answer(
        questions.AGAIN_STOCK,
        measure.ratio(found[_STOCK], found[_AGAIN]),
        samples={_AGAIN: found[_AGAIN]},
    )
    yield answer(
        questions.AGAIN_TUNED,
        measure.ratio(found[warm], found[_AGAIN]),
        samples={name: found[name] for name in map(_warm, XDIST)},
        note=f"(best: {warm})",
    )


def far(bench: Bench) -> Iterator[Row]:
    """Cold as whole processes, every byte ten milliseconds under way."""
    with servers.delayed(bench.servers, milliseconds=ROUND_TRIP / 2) as there:
        takes = [_drcli(there), *_tuned(there, again=False)]
        found = measure.alternate(takes, rounds=bench.rounds, tell=bench.tell)
    peer = measure.best(found, [_name(xdist) for xdist in XDIST])
    yield answer(
        questions.DELAYED,
        measure.ratio(found[peer], found[_OURS]),
        samples=found,
        note=f"(best: {peer})",
    )


def wide(bench: Bench) -> Iterator[Row]:
    """Checks a second on 200 hosts over those on 10, both cold as whole processes."""
    few: list[Sample] = []
    lots: list[Sample] = []
    with servers.as_they_are(bench.servers) as ten, servers.many(bench.servers) as many:
        for number in range(bench.rounds):
            for into, there in ((few, ten), (lots, many))[:: 1 if number % 2 == 0 else -1]:
                into.append(_drcli(there)()[_OURS])
                bench.tell(f"round {number + 1}: {into[-1].work} {into[-1].seconds:.2f} s")
    throughput = [[one.work["checks"] / one.seconds for one in side] for side in (few, lots)]
    yield answer(
        questions.MANY_HOSTS,
        measure.spread([b / a for a, b in zip(*throughput, strict=True)]),
        samples={"10 hosts": few, "200 hosts": lots},
    )


def _name(xdist: str) -> str:
    return f"tuned, {xdist or 'no xdist'}"


def _warm(xdist: str) -> str:
    return f"{_name(xdist)}, warm"


def _drcli(there: Servers) -> Take:
    def take() -> Mapping[str, Sample]:
        require_cold(there.endpoints)
        with fresh_home() as env:
            command: list[str | Path] = [DRCLI, "verify", "--site", SITE, "--json"]
            ended = run(command, cwd=there.project, env=env)
        return {_OURS: sample(ended, drcli_work(ended.out))}

    return take


def _again(there: Servers) -> Take:
    def take() -> Mapping[str, Sample]:
        require_cold(there.endpoints)
        with fresh_home() as env:
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "benchmarks.again",
                there.project,
                SITE,
            ]
            ended = run(command, cwd=Path(__file__).parents[1], env=env)
        return {_AGAIN: Sample(**json.loads(ended.out))}

    return take


def _stock(there: Servers) -> Take:
    def take() -> Mapping[str, Sample]:
        require_cold(there.endpoints)
        with fresh_home() as env:
            ended = run([PEERS / "verify-stock.sh", HOSTS, GATE], cwd=there.project, env=env)
        return {_STOCK: sample(ended, pytest_work(ended.out))}

    return take


def _tuned(there: Servers, *, again: bool) -> list[Take]:
    """A side for each setting of xdist; each runs a second time while its connections live."""

    def side(xdist: str) -> Take:
        def take() -> Mapping[str, Sample]:
            require_cold(there.endpoints)
            found = {}
            with fresh_home(XDIST=xdist) as env:
                for name in [_name(xdist), _warm(xdist)] if again else [_name(xdist)]:
                    command: list[str | Path] = [PEERS / "verify-tuned.sh", HOSTS, GATE]
                    ended = run(command, cwd=there.project, env=env)
                    found[name] = sample(ended, pytest_work(ended.out))
            return found

        return take

    return [side(xdist) for xdist in XDIST]
