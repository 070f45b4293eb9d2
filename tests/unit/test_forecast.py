"""The range of a recovery: what the schedule, few runs and time already passed make of it."""

from __future__ import annotations

import pytest

from orchestrator import order
from orchestrator.calibration import Calibration, leave_one_out, simulated
from orchestrator.forecast import Ahead, forecast, quantile
from orchestrator.past import Basis, PastRun, Recovered
from orchestrator.published import Span

GRAPH = {"routing": (), "dns": ("routing",), "time": ("routing",)}
LAYERS = {"routing": "network", "dns": "services", "time": "services"}
SEEN = Basis(seconds=(95.0, 100.0, 105.0, 110.0, 90.0))
ALL = dict.fromkeys(GRAPH, SEEN)


def ahead(graph=GRAPH, *, max_parallel=4, **given):
    way = order.remaining(graph, dict.fromkeys(graph, 1.0))
    return Ahead(graph=graph, layers=LAYERS, way=way, max_parallel=max_parallel, **given)


def test_each_part_is_up_when_what_it_stands_on_is_and_the_whole_when_all_is():
    found = forecast(ahead(), ALL)
    assert found.components["routing"].p50 == pytest.approx(100, rel=0.1)
    assert found.components["dns"].p50 == pytest.approx(200, rel=0.1)
    assert found.layers["network"] == found.components["routing"]
    assert found.site == found.layers["services"]
    assert 200 < found.site.p50 < found.site.p90 < 260


def test_one_at_a_time_takes_longer():
    assert forecast(ahead(max_parallel=1), ALL).site.p50 == pytest.approx(300, rel=0.1)


def test_the_same_past_gives_the_same_figures():
    assert forecast(ahead(), ALL, seed=3) == forecast(ahead(), ALL, seed=3)


def test_without_basis_nothing_is_said():
    found = forecast(ahead(), {})
    assert found.site is None
    assert (found.components, found.layers) == ({}, {})
    assert found.no_basis == tuple(GRAPH)


def test_what_stands_on_something_without_basis_has_none_and_the_whole_is_at_the_least():
    found = forecast(ahead(), {"dns": SEEN, "time": SEEN})
    assert found.no_basis == ("routing",)
    assert found.components == {}
    assert found.site.p50 == pytest.approx(100, rel=0.1)


def test_one_run_of_each_gives_a_figure_and_no_range():
    found = forecast(ahead(), dict.fromkeys(GRAPH, Basis(seconds=(100.0,))))
    assert found.site == Span(p50=200.0, p90=None)


def test_what_has_run_for_some_time_has_less_left_and_never_less_than_nothing():
    begun = forecast(ahead(spent={"routing": 60.0}, running=["routing"]), ALL)
    assert begun.components["routing"].p50 == pytest.approx(40, rel=0.3)
    late = forecast(ahead(spent={"routing": 5000.0}, running=["routing"]), ALL)
    assert late.components["routing"].p50 >= 0
    assert late.site.p50 > 90  # what stands on it takes its time all the same


def test_what_takes_long_already_is_expected_to_take_longer_than_was_thought():
    basis = {"dns": Basis(seconds=(10.0, 60.0, 20.0, 200.0))}
    fresh = forecast(ahead({"dns": ()}), basis).site
    late = forecast(ahead({"dns": ()}, spent={"dns": 150.0}, running=["dns"]), basis).site
    assert late.p50 + 150 > fresh.p50


def test_retries_that_were_needed_before_make_the_end_later():
    retried = Basis(seconds=SEEN.seconds, retries=(900.0, 900.0))
    found = forecast(ahead({"dns": ()}), {"dns": retried}).site
    assert found.p50 < 200
    assert found.p90 > 900


def test_more_simulations_than_a_large_site_can_bear_are_not_made():
    graph = {f"c{number}": () for number in range(400)}
    layers = dict.fromkeys(graph, "network")
    large = Ahead(graph=graph, layers=layers, way=dict.fromkeys(graph, 1.0), max_parallel=8)
    basis = dict.fromkeys(graph, SEEN)
    assert forecast(large, basis, simulations=50) == forecast(large, basis, simulations=10_000)


def test_a_quantile_goes_by_weights():
    assert quantile([3.0, 1.0, 2.0], [1.0, 1.0, 1.0], 0.5) == 2.0
    assert quantile([3.0, 1.0, 2.0], [0.0, 1.0, 0.1], 0.9) == 1.0


def test_on_made_up_recoveries_p90_is_honest():
    found = simulated(60, seed=1)
    assert found.judged == 60
    assert 0.35 <= found.under_p50 / 60 <= 0.65
    assert 0.85 <= found.under_p90 / 60 <= 0.97


def past(seconds, name="r"):
    each = Recovered(component="routing", hosts=1, seconds=seconds)
    return PastRun(run=name, seconds=seconds, recovered=(each,), failed=())


def test_each_run_is_forecast_from_the_others():
    runs = [past(100.0), past(104.0), past(96.0), past(5000.0)]
    site, each = leave_one_out(runs, ahead(), {"routing": 1})
    assert site.judged == each["routing"].judged == 4
    assert site.under_p90 == 3  # nothing of the others says that it would take so long


def test_too_few_runs_judge_nothing():
    site, _ = leave_one_out([past(100.0), past(100.0)], ahead(), {"routing": 1})
    assert site == Calibration(unjudged=2)
