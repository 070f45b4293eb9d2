"""How far forecasts can be trusted: what was said, or would have been, against what it took. Pure.

A p90 is honest when the truth lies under it nine times in ten; far more often is as wrong as far
less: people plan with it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator import order
from orchestrator.forecast import Ahead, forecast
from orchestrator.past import PastRun, Recovered, basis_of
from orchestrator.published import Span
from orchestrator.schedule import ends


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Of `judged` forecasts, the truth lay under p50 and under p90 so often.

    `unjudged` had no range to be judged by: too few other runs.
    """

    judged: int = 0
    under_p50: int = 0
    under_p90: int = 0
    unjudged: int = 0

    def and_one(self, span: Span | None, truth: float) -> Calibration:
        """With one more forecast, of which the truth is known."""
        if span is None or span.p90 is None:
            return Calibration(**{**vars(self), "unjudged": self.unjudged + 1})
        return Calibration(
            judged=self.judged + 1,
            under_p50=self.under_p50 + (truth <= span.p50),
            under_p90=self.under_p90 + (truth <= span.p90),
            unjudged=self.unjudged,
        )


def leave_one_out(
    runs: Sequence[PastRun], plan: Ahead, hosts: dict[str, int]
) -> tuple[Calibration, Mapping[str, Calibration]]:
    """The site's calibration and each component's: every run forecast from all the others.

    A run is forecast as it was to be at its first look: with the components it brought back. Only
    runs that came to their end recovered and in one go say what the whole took.
    """
    site = Calibration()
    each: dict[str, Calibration] = {}
    for run in runs:
        basis = basis_of((other for other in runs if other is not run), hosts)
        for recovered in run.recovered:
            name = recovered.component
            if name in plan.graph:
                alone = forecast(_part(plan, (name,)), basis).components.get(name)
                truth = recovered.seconds + recovered.retry
                each[name] = each.get(name, Calibration()).and_one(alone, truth)
        down = tuple(n for n in plan.graph if n in {r.component for r in run.recovered})
        if run.seconds is not None and down:
            whole = forecast(_part(plan, down), basis)
            site = site.and_one(None if whole.no_basis else whole.site, run.seconds)
    return site, each


def simulated(number: int, *, seed: int, past: int = 8) -> Calibration:
    """Calibration on so many made-up recoveries of known distribution, each with its own history.

    Every one has a plan of its own, two to four components in each of three layers, whose spreads
    differ tenfold; `past` recoveries are drawn from it for a basis, and one more for the truth.
    """
    # S311: a seeded simulation, no secret: a figure has to come out the same again.
    dice, found = random.Random(seed), Calibration()  # noqa: S311
    for each in range(number):
        ahead, true = _made_up(dice)
        runs = [_drawn(f"r{count}", true, dice) for count in range(past)]
        whole = forecast(ahead, basis_of(runs), seed=seed + each)
        truth = {r.component: r.seconds for r in _drawn("truth", true, dice).recovered}
        ended = ends(ahead.graph, truth, ahead.max_parallel, way=ahead.way)
        found = found.and_one(whole.site, max(ended.values()))
    return found


def _made_up(dice: random.Random) -> tuple[Ahead, Mapping[str, tuple[float, float]]]:
    graph: dict[str, tuple[str, ...]] = {}
    layers: dict[str, str] = {}
    below: tuple[str, ...] = ()
    for layer in ("network", "storage", "applications"):
        names = tuple(f"{layer}-{place}" for place in range(dice.randint(2, 4)))
        graph |= dict.fromkeys(names, below)
        layers |= dict.fromkeys(names, layer)
        below = names
    true = {name: (dice.uniform(2.0, 7.0), dice.uniform(0.05, 0.5)) for name in graph}
    way = order.remaining(graph, dict.fromkeys(graph, 1.0))
    return Ahead(graph=graph, layers=layers, way=way, max_parallel=dice.randint(1, 4)), true


def _drawn(run: str, true: Mapping[str, tuple[float, float]], dice: random.Random) -> PastRun:
    recovered = tuple(
        Recovered(component=name, hosts=1, seconds=dice.lognormvariate(mean, spread))
        for name, (mean, spread) in true.items()
    )
    return PastRun(run=run, seconds=None, recovered=recovered, failed=())


def _part(plan: Ahead, names: tuple[str, ...]) -> Ahead:
    return Ahead(
        graph=order.restricted(plan.graph, names),
        layers=plan.layers,
        way=plan.way,
        max_parallel=plan.max_parallel,
    )
