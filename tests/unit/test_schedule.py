"""The schedule is played by the engine's own rule, and what would shorten it comes of that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestrator import order
from orchestrator.schedule import Saving, outlook, play

SECONDS = st.floats(0.1, 100.0)


@st.composite
def sites(draw):
    """A graph without cycles, and the seconds of each component."""
    names = [f"c{number}" for number in range(draw(st.integers(1, 9)))]
    graph = {
        name: tuple(sorted(draw(st.sets(st.sampled_from(names[:place]))))) if place else ()
        for place, name in enumerate(names)
    }
    return graph, {name: draw(SECONDS) for name in names}


@given(site=sites(), max_parallel=st.integers(1, 10))
def test_a_recovery_takes_no_less_than_its_longest_chain_and_no_more_than_one_after_the_other(
    site, max_parallel
):
    graph, seconds = site
    longest = sum(seconds[name] for name in order.critical_path(graph, seconds))
    everything = sum(seconds.values())
    took = play(graph, seconds, max_parallel)
    assert max(longest, everything / max_parallel) <= took + 1e-6
    assert took <= everything + 1e-6
    if max_parallel >= len(graph):
        assert abs(took - longest) < 1e-6


@given(site=sites())
def test_the_longest_way_from_the_start_is_the_critical_path(site):
    graph, seconds = site
    longest = sum(seconds[name] for name in order.critical_path(graph, seconds))
    assert abs(max(order.remaining(graph, seconds).values()) - longest) < 1e-6


def test_the_longest_way_goes_first():
    graph = {"quick": (), "slow": (), "after": ("slow",)}
    seconds = {"quick": 10.0, "slow": 5.0, "after": 10.0}
    assert play(graph, seconds, 1) == 25
    assert play(graph, seconds, 2) == 15  # slow and quick first, then after


def test_more_at_once_is_advised_only_as_far_as_it_helps():
    graph = dict.fromkeys("abcdef", ())
    found = outlook(graph, dict.fromkeys(graph, 10.0), max_parallel=2)
    assert (found.seconds, found.longest) == (30.0, 10.0)
    assert found.savings == (Saving(change="max_parallel: 6", seconds=20.0),)


def test_an_order_by_dependencies_is_advised_with_what_it_saves():
    layers = {"a": (), "slow": (), "b": ("a", "slow")}
    needs = {"a": (), "slow": (), "b": ("a",)}
    seconds = {"a": 1.0, "slow": 10.0, "b": 5.0}
    found = outlook(layers, seconds, max_parallel=4, by_needs=needs)
    assert found.savings == (Saving(change="order: dependencies", seconds=5.0),)


def test_what_saves_nothing_is_not_advised():
    chain = {"a": (), "b": ("a",)}
    found = outlook(chain, {"a": 1.0, "b": 3.0}, max_parallel=1, by_needs=chain)
    assert found.savings == ()
    assert list(found.shares.items()) == [("b", 0.75), ("a", 0.25)]
