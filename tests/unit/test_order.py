from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.order import critical_path, find_cycle, restricted, stages, stands_on

DIAMOND = {"d": ("b", "c"), "a": (), "c": ("a",), "b": ("a",)}


def test_stages_hold_what_may_run_side_by_side_in_the_order_of_the_file():
    assert stages(DIAMOND) == (("a",), ("c", "b"), ("d",))


def test_a_component_stands_on_everything_below_it_directly_or_not():
    assert stands_on(DIAMOND)["d"] == ("a", "c", "b")


@pytest.mark.parametrize(
    ("graph", "cycle"),
    [
        ({"a": ("b",), "b": ("a",)}, ("a", "b", "a")),
        ({"a": ("a",)}, ("a", "a")),
        ({"x": (), "a": ("b",), "b": ("c", "x"), "c": ("a",)}, ("a", "b", "c", "a")),
        ({"b": ("c",), "c": ("a",), "a": ("b",)}, ("b", "c", "a", "b")),
        (DIAMOND, ()),
        ({}, ()),
    ],
)
def test_a_cycle_is_named_so_that_each_needs_the_next(graph, cycle):
    assert find_cycle(graph) == cycle


def test_the_critical_path_is_the_longest():
    graph = {"a": (), "b": ("a",), "c": ("b",), "slow": ("a",)}
    assert critical_path(graph) == ("a", "b", "c")


def test_the_critical_path_of_nothing_is_empty():
    assert critical_path({}) == ()


def test_what_stood_on_another_through_one_left_out_still_does():
    graph = {"a": (), "b": ("a",), "c": ("b",)}
    assert restricted(graph, ("a", "c")) == {"a": (), "c": ("a",)}


@st.composite
def graphs(draw):
    """Any graph without a cycle: names in any order, each standing on some made before it."""
    made = draw(st.lists(st.integers(0, 30), unique=True, max_size=12))
    below = {
        str(name): tuple(str(n) for n in made[:number] if draw(st.booleans()))
        for number, name in enumerate(made)
    }
    return {name: below[name] for name in draw(st.permutations(list(below)))}


@given(graphs())
def test_nothing_starts_before_what_it_stands_on_and_everything_starts_once(graph):
    order = [name for stage in stages(graph) for name in stage]
    assert sorted(order) == sorted(graph)
    for name, below in stands_on(graph).items():
        assert all(order.index(n) < order.index(name) for n in below)


@given(graphs())
def test_any_edge_back_up_makes_a_cycle_that_is_named_truly(graph):
    reach = stands_on(graph)
    for name, below in reach.items():
        for n in below[:2]:
            cycle = find_cycle({**graph, n: (*graph[n], name)})
            edges = {**graph, n: (*graph[n], name)}
            assert cycle[0] == cycle[-1]
            assert all(after in edges[one] for one, after in pairwise(cycle))
