"""The order of a site's components: who stands on whom, stages, cycles, the critical path. Pure.

A graph maps each component to those it stands on directly. Names keep the order of the site file
wherever the graph leaves a choice, so that a plan never changes without its site file.
"""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

Graph = Mapping[str, tuple[str, ...]]


def find_cycle(graph: Graph) -> tuple[str, ...]:
    """A cycle as it is read, `a, b, a`: a needs b, which needs a; empty when there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib lists each node before the one that needs it. Begin where the file begins.
        nodes: list[str] = error.args[1][:0:-1]
        place = {name: number for number, name in enumerate(graph)}
        first = min(range(len(nodes)), key=lambda n: place[nodes[n]])
        turned = nodes[first:] + nodes[:first]
        return (*turned, turned[0])
    return ()


def stages(graph: Graph) -> tuple[tuple[str, ...], ...]:
    """Sets of components that may run side by side, each as early as it may."""
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    place = {name: number for number, name in enumerate(graph)}
    found = []
    while sorter.is_active():
        ready = tuple(sorted(sorter.get_ready(), key=place.__getitem__))
        sorter.done(*ready)
        found.append(ready)
    return tuple(found)


def stands_on(graph: Graph) -> Graph:
    """All that each component stands on, directly or not, in the order of the plan."""
    ordered = [name for stage in stages(graph) for name in stage]
    reach: dict[str, set[str]] = {}
    for name in ordered:
        reach[name] = set(graph[name]).union(*(reach[below] for below in graph[name]))
    return {name: tuple(n for n in ordered if n in reach[name]) for name in graph}


def critical_path(graph: Graph) -> tuple[str, ...]:
    """The longest chain, by the number of components in it."""
    best: dict[str, tuple[str, ...]] = {}
    for name in (name for stage in stages(graph) for name in stage):
        best[name] = (*max((best[n] for n in graph[name]), key=len, default=()), name)
    return max(best.values(), key=len, default=())


def above(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Those that stand on each component directly, in the order of the plan."""
    found: dict[str, list[str]] = {name: [] for name in graph}
    for name, below in graph.items():
        for standing_on in below:
            found[standing_on].append(name)
    return {name: tuple(names) for name, names in found.items()}


def restricted(graph: Graph, names: tuple[str, ...]) -> Graph:
    """The graph of some components alone; what stood on another through one left out still does."""
    if graph.keys() <= set(names):
        return graph
    reach = stands_on(graph)
    return {n: tuple(below for below in reach[n] if below in names) for n in graph if n in names}
