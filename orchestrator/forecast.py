"""When a recovery will be over, as a range p50 to p90: its schedule, simulated many times. Pure.

What a component takes is drawn from what it took before: log-normal, the spread of few runs filled
up with that of the site's other components (a predictive draw: mean and spread are drawn too, as in
Gelman et al., Bayesian Data Analysis, 3.2). What is under way is drawn from what takes longer than
it has run already, and each simulation weighs as much as it was likely to come so far.
"""

from __future__ import annotations

import math
import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist, fmean, median

from orchestrator import order
from orchestrator.past import Basis
from orchestrator.published import Span
from orchestrator.schedule import ends

SIMULATIONS = 200
MOST_DRAWN = 20_000  # components drawn in one forecast: a large site is simulated less often
FEWEST = 50
BORROWED = 4.0  # degrees of freedom that a component's spread takes from the others
NEEDED = 2.0  # degrees of freedom below which nothing is said of a spread
LEAST_SPREAD = 0.01  # no two recoveries are alike to one in a hundred
_NORMAL = NormalDist()


@dataclass(frozen=True, kw_only=True)
class Ahead:
    """What is left of a plan: `graph` without what is up; of what has begun the seconds `spent`.

    `services` are what serves each; `running` take slots already; `way` is what decides who starts
    first, as the engine has it.
    """

    graph: order.Graph
    layers: Mapping[str, str]
    way: Mapping[str, float]
    max_parallel: int
    spent: Mapping[str, float] = field(default_factory=dict)
    running: Collection[str] = ()
    services: Mapping[str, Collection[str]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Seconds from now; what has no basis (or stands on it) is left out of the components'."""

    site: Span | None
    layers: Mapping[str, Span]
    components: Mapping[str, Span]
    services: Mapping[str, Span]
    no_basis: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class _Logs:
    """The logarithms of what a component took: how many, their mean, their squared deviations."""

    number: int
    mean: float
    squares: float


def forecast(
    ahead: Ahead, basis: Mapping[str, Basis], *, seed: int = 0, simulations: int = SIMULATIONS
) -> Forecast:
    """When each component, layer and the site will be up, all going on as it did in past runs.

    The same arguments give the same answer. Without any basis, or when only one run of each
    component is known, no p90 is made up: it is None.
    """
    names = tuple(ahead.graph)
    unknown = tuple(name for name in names if name not in basis)
    if unknown and len(unknown) == len(names):
        return Forecast(site=None, layers={}, components={}, services={}, no_basis=unknown)
    logs = {name: _logs(each.seconds) for name, each in basis.items()}
    spread, freedom = _pooled(logs.values())
    drawn: list[tuple[float, Mapping[str, float]]] = []
    if freedom >= NEEDED:
        # S311: a seeded simulation, no secret. The seed makes the figure one that can be repeated.
        dice = random.Random(seed)  # noqa: S311
        fewer = MOST_DRAWN // max(1, len(names))
        times = max(FEWEST, min(simulations, fewer))
        drawn += (_once(ahead, basis, logs, dice, pooled=(spread, freedom)) for _ in range(times))
    else:
        seconds = {
            name: max(0.0, median(basis[name].seconds) - ahead.spent.get(name, 0.0))
            if name in basis
            else 0.0
            for name in names
        }
        drawn.append((1.0, _play(ahead, seconds)))
    return _summary(ahead, drawn, unknown, ranged=freedom >= NEEDED)


def _logs(seconds: Sequence[float]) -> _Logs:
    values = [math.log(max(each, 0.05)) for each in seconds]
    mean = fmean(values)
    return _Logs(number=len(values), mean=mean, squares=sum((v - mean) ** 2 for v in values))


def _pooled(logs: Collection[_Logs]) -> tuple[float, float]:
    """The variance that all components have in common, and its degrees of freedom."""
    freedom = float(sum(each.number - 1 for each in logs))
    squares = sum(each.squares for each in logs)
    return (squares / freedom if freedom else 0.0), freedom


def _once(
    ahead: Ahead,
    basis: Mapping[str, Basis],
    logs: Mapping[str, _Logs],
    dice: random.Random,
    *,
    pooled: tuple[float, float],
) -> tuple[float, Mapping[str, float]]:
    """One simulated rest of the recovery: its weight, and when each component ends."""
    weight, seconds = 1.0, {}
    spread, freedom = pooled
    for name in ahead.graph:
        if name not in basis:
            seconds[name] = 0.0
            continue
        known, borrowed = logs[name], min(BORROWED, freedom)
        degrees = borrowed + known.number - 1
        squares = borrowed * spread + known.squares
        sigma = math.sqrt(squares / (2 * dice.gammavariate(degrees / 2, 1.0)))
        sigma = max(sigma, LEAST_SPREAD)
        mean = dice.gauss(known.mean, sigma / math.sqrt(known.number))
        spent = ahead.spent.get(name, 0.0)
        passed = _NORMAL.cdf((math.log(spent) - mean) / sigma) if spent > 0 else 0.0
        weight *= 1.0 - passed
        likely = passed + (1.0 - passed) * dice.random()
        whole = math.exp(mean + sigma * _NORMAL.inv_cdf(min(max(likely, 1e-9), 1 - 1e-9)))
        retries = basis[name].retries
        if retries and dice.random() < len(retries) / known.number:
            whole += dice.choice(retries)
        seconds[name] = max(0.0, whole - spent)
    return weight, _play(ahead, seconds)


def _play(ahead: Ahead, seconds: Mapping[str, float]) -> Mapping[str, float]:
    return ends(ahead.graph, seconds, ahead.max_parallel, way=ahead.way, running=ahead.running)


def _summary(
    ahead: Ahead,
    drawn: Sequence[tuple[float, Mapping[str, float]]],
    unknown: tuple[str, ...],
    *,
    ranged: bool,
) -> Forecast:
    weights = [weight for weight, _ in drawn]
    if sum(weights) <= 0:  # it has run longer than any simulation would: all are as unlikely
        weights = [1.0] * len(drawn)

    def span(names: Collection[str]) -> Span:
        values = [max((ended[name] for name in names), default=0.0) for _, ended in drawn]
        p90 = quantile(values, weights, 0.9) if ranged else None
        return Span(p50=quantile(values, weights, 0.5), p90=p90)

    reach = order.stands_on(ahead.graph)
    known = [n for n in ahead.graph if n not in unknown and not set(reach[n]) & set(unknown)]
    of_layer: dict[str, list[str]] = {}
    for name in ahead.graph:
        of_layer.setdefault(ahead.layers[name], []).append(name)
    ahead_of = {n: [c for c in cs if c in ahead.graph] for n, cs in ahead.services.items()}
    services = {name: left for name, left in ahead_of.items() if left}  # the others are up
    return Forecast(
        site=span(tuple(ahead.graph)),
        layers={layer: span(names) for layer, names in of_layer.items() if set(names) <= {*known}},
        components={name: span((name,)) for name in known},
        services={name: span(left) for name, left in services.items() if set(left) <= {*known}},
        no_basis=unknown,
    )


def quantile(values: Sequence[float], weights: Sequence[float], share: float) -> float:
    """The value below which lies this share of the weights."""
    pairs = sorted(zip(values, weights, strict=True))
    wanted, so_far = share * sum(weights), 0.0
    for value, weight in pairs:
        so_far += weight
        if so_far >= wanted:
            return value
    return pairs[-1][0]
