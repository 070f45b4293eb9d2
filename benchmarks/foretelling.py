"""How good forecasts are, on recoveries whose distribution is known."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import measure, questions
from benchmarks.bench import Bench
from benchmarks.results import Row, answer
from orchestrator.calibration import simulated

RECOVERIES = 200
WANTED = 0.9


def calibration(bench: Bench) -> Iterator[Row]:
    """Two hundred simulated recoveries a round, each forecast before it happens."""
    covered, half = [], []
    for number in range(bench.rounds):
        found = simulated(RECOVERIES, seed=number)
        covered.append(found.under_p90 / found.judged)
        half.append(found.under_p50 / found.judged)
        bench.tell(f"{covered[-1]:.1%} under p90, {half[-1]:.1%} under p50")
    yield answer(
        questions.FORECAST,
        measure.spread([abs(share - WANTED) for share in covered]),
        note=f"(under p90 {min(covered):.1%} to {max(covered):.1%}, "
        f"under p50 {min(half):.1%} to {max(half):.1%})",
    )
