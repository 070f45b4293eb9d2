"""Site and inventory -> Plan: what a recovery does, on which hosts, in which order.

The order is computed by `orchestrator.order`, files are read by `orchestrator.sources`; a plan is a
value. All that can be known to be wrong is told here, before the first layer starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from orchestrator import order
from orchestrator.durations import Expected, weights
from orchestrator.errors import InputError, join_errors, noting
from orchestrator.inventory import Inventory
from orchestrator.project import did_you_mean, require_inside
from orchestrator.site import Approval, Site, parse_quorum
from orchestrator.sources import content_hash, minimum_checks

DEFAULT_PARALLEL = 4  # components at once, where neither the site file nor a person says more
_RELATING = ("serial", "any_errors_fatal", "max_fail_percentage")
_IMPORTS = ("import_playbook", "ansible.builtin.import_playbook")


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component, ready to be recovered.

    `needs` is what the site file says; `stands_on` is all that must be verified before it, directly
    or not, also when that was not selected. `settle`, `timeout`, `recheck` are seconds; paths are
    absolute. Its gate must pass `passes` times in a row, over at least `over` seconds. `quorum` is
    how many of its hosts are enough; None: all. `approval` is what a person must answer before its
    playbook runs, within `approval_expires` seconds where that is set; with `by_another` not the
    one who started the run.
    """

    name: str
    layer: str
    hosts: tuple[str, ...]
    playbook: Path
    gate: Path
    minimum_checks: int
    needs: tuple[str, ...]
    stands_on: tuple[str, ...]
    settle: float
    timeout: float
    recheck: float = 60.0
    passes: int = 1
    over: float = 0.0
    quorum: int | None = None
    shard_size: int | None = None
    approval: str | None = None
    approval_expires: float | None = None
    by_another: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a recovery does; `components` are in an order in which each follows what it stands on.

    `graph` maps each to those of the plan it stands on directly; `stages` are the components that
    may run side by side; `weights` are the seconds each is expected to take (all equal when nothing
    is known): the longest way first. `hash` stands for every file that a recovery of the site runs,
    and for the hosts of an inventory that was asked, whatever was selected of it.
    """

    site: Site
    components: tuple[Component, ...]
    graph: order.Graph
    stages: tuple[tuple[str, ...], ...]
    weights: Mapping[str, float]
    critical_path: tuple[str, ...]
    hash: str
    warnings: tuple[str, ...] = ()


def make_plan(  # noqa: PLR0913 -- what a person may select, each by name
    project: Path,
    site: Site,
    inventory: Inventory,
    *,
    limit: str | None = None,
    layers: Collection[str] = (),
    components: Collection[str] = (),
    start_from: str | None = None,
    expected: Mapping[str, Expected] | None = None,
) -> Plan:
    """Make the plan of a site, or of a part of it.

    `layers`, `components` and `start_from` (a component or layer: it and what comes after it) each
    narrow the plan, `limit` its hosts. A playbook or gate that is wrong is told where its component
    is selected: the rest of a site can still be recovered. What components are `expected` to take,
    where it is known, decides the critical path and who starts first.

    Raises:
        InputError: a missing or malformed playbook or gate, a group that matches nothing, an
            unknown name, nothing selected; the message has one line for each.
    """
    graph = direct_graph(site, by=site.order)
    names = tuple(name for stage in order.stages(graph) for name in stage)
    chosen = _select(site, names, layers=layers, components=components, start_from=start_from)
    ready = _components(project, site, inventory, chosen=chosen, stands_on=order.stands_on(graph))
    warnings = list(_unused_hosts(site, inventory))
    if limit is not None:
        allowed = set(inventory.hosts("all", limit))
        ready = [_limited(component, allowed) for component in ready]
        warnings += [f"component {c.name}: --limit leaves it no host" for c in ready if not c.hosts]
        ready = [component for component in ready if component.hosts]
        chosen = tuple(component.name for component in ready)
        if not ready:
            raise InputError(f"--limit {limit!r}: no component selected has such a host")
    selected = order.restricted(graph, chosen)
    seconds = weights(chosen, expected or {})
    return Plan(
        site=site,
        components=tuple(ready),
        graph=selected,
        stages=order.stages(selected),
        weights=seconds,
        critical_path=order.critical_path(selected, seconds),
        hash=_hash(project, site, inventory),
        warnings=tuple(warnings),
    )


def _hash(project: Path, site: Site, inventory: Inventory) -> str:
    """The hash of its files; where hosts came from elsewhere, of these too, not their variables."""
    files = content_hash(project, site.site)
    if not inventory.asked:
        return files
    hosts: list[tuple[str, tuple[str, ...]]] = []
    for _, component in site.components:
        with noting([]):  # a pattern that is wrong is told where its component is selected
            hosts.append((component.name, inventory.hosts(component.hosts)))
    return hashlib.sha256(repr((files, hosts)).encode()).hexdigest()


def _limited(component: Component, allowed: Collection[str]) -> Component:
    """Only these of its hosts: of what a person picks by hand, each must be up."""
    hosts = tuple(host for host in component.hosts if host in allowed)
    quorum = component.quorum if hosts == component.hosts else None
    return replace(component, hosts=hosts, quorum=quorum)


def direct_graph(site: Site, *, by: Literal["layers", "dependencies"]) -> order.Graph:
    """What each component stands on directly: what it needs and, by layers, the layer below.

    Of the layer below only what nothing else there needs: it stands on the rest through these.
    """
    graph: dict[str, tuple[str, ...]] = {}
    below: tuple[str, ...] = ()
    for layer in site.layers:
        needed: set[str] = set()
        for component in layer.components:
            graph[component.name] = tuple(dict.fromkeys([*below, *component.needs]))
            needed.update(component.needs)
        if by == "layers":
            below = tuple(c.name for c in layer.components if c.name not in needed)
    return graph


def _components(
    project: Path,
    site: Site,
    inventory: Inventory,
    *,
    chosen: tuple[str, ...],
    stands_on: order.Graph,
) -> list[Component]:
    """The chosen components, in that order; what is wrong with any of them is told at once."""
    written = {component.name: (layer, component) for layer, component in site.components}
    found: list[Component] = []
    errors: list[InputError] = []
    for layer, component in (written[name] for name in chosen):
        name, minimum, quorum = component.name, 0, None
        hosts: tuple[str, ...] = ()
        playbook = project / (component.playbook or f"playbooks/{layer.name}/{name}.yml")
        gate = project / (component.gate or f"playbooks/{layer.name}/test_{name}.py")
        with noting(errors, f"component {name}: "):
            hosts = inventory.hosts(component.hosts)
            quorum = _enough(component.quorum, len(hosts))
        with noting(errors):
            _require_file(project, playbook, f"playbook of component {name}")
            _check_plays(inventory, playbook, hosts)
            if component.shard_size:
                _check_sharding(inventory, playbook)
        approval = component.approval
        if isinstance(approval, str):
            approval = Approval(ask=approval, expires=None, by_another=False)
        with noting(errors):
            _require_file(project, gate, f"gate of component {name}")
            minimum = minimum_checks(gate)
        found.append(
            Component(
                name=name,
                layer=layer.name,
                hosts=hosts,
                playbook=playbook,
                gate=gate,
                minimum_checks=minimum,
                needs=component.needs,
                stands_on=stands_on[name],
                settle=component.settle.total_seconds(),
                timeout=component.timeout.total_seconds(),
                recheck=component.recheck.total_seconds(),
                passes=component.stable.passes if component.stable else 1,
                over=component.stable.over.total_seconds() if component.stable else 0.0,
                quorum=quorum,
                shard_size=component.shard_size,
                approval=approval.ask if approval else None,
                approval_expires=_seconds(approval.expires) if approval else None,
                by_another=approval is not None and approval.by_another,
            )
        )
    if errors:
        raise join_errors(errors)
    return found


def _seconds(time: timedelta | None) -> float | None:
    return None if time is None else time.total_seconds()


def _enough(quorum: str | None, hosts: int) -> int | None:
    """How many of so many hosts are enough; None when it takes all."""
    if quorum is None:
        return None
    number, of = parse_quorum(quorum)
    if of not in {None, hosts}:
        raise InputError(
            f"quorum {quorum!r}: it has {hosts} hosts", hint="Write the quorum of these, or 95%."
        )
    enough = number if of else -(-hosts * number // 100)
    return enough if enough < hosts else None


def _require_file(project: Path, path: Path, what: str) -> None:
    require_inside(project, path)
    if not path.is_file():
        raise InputError(f"{path}: no such file, the {what}", hint="Write it, or name another.")


def _check_plays(inventory: Inventory, playbook: Path, hosts: tuple[str, ...]) -> None:
    """A play that matches no host succeeds in Ansible's eyes: every host must be in some play."""
    reached: set[str] = set()
    for number, play in enumerate(inventory.playbook(playbook), start=1):
        if not isinstance(play, Mapping) or not {"hosts", *_IMPORTS} & play.keys():
            raise InputError(f"{playbook}: play {number} names no hosts", hint="Write `hosts:`.")
        pattern = play.get("hosts")
        pattern = ",".join(map(str, pattern)) if isinstance(pattern, list) else pattern
        if not isinstance(pattern, str) or "{{" in pattern:
            return  # imported or computed: only the run's final stats can tell
        try:
            reached.update(inventory.hosts(pattern))
        except InputError as error:
            raise InputError(
                f"{playbook}: play {number}: {error.message}", hint=error.hint
            ) from None
    missed = [host for host in hosts if host not in reached]
    if missed:
        raise InputError(
            f"{playbook}: no play reaches {', '.join(missed)}",
            hint="Its plays' `hosts:` must cover the hosts of its component.",
        )


def _check_sharding(inventory: Inventory, playbook: Path) -> None:
    """A play that relates its hosts to each other means all of them, not those of one shard."""
    for number, play in enumerate(inventory.playbook(playbook), start=1):
        found = [word for word in _RELATING if isinstance(play, Mapping) and play.get(word)]
        if found:
            raise InputError(
                f"{playbook}: play {number} has {found[0]}, and its component a shard_size: each "
                "shard would count for itself",
                hint=f"Take {found[0]} out of the play, or shard_size out of the site file.",
            )


def _unused_hosts(site: Site, inventory: Inventory) -> Iterator[str]:
    used: set[str] = set()
    for _, component in site.components:
        with noting([]):  # a pattern that is wrong is told where its component is selected
            used.update(inventory.hosts(component.hosts))
    for host in inventory.all_hosts:
        if host not in used:
            yield f"host {host} belongs to no component: nothing recovers it"


def _select(
    site: Site,
    names: tuple[str, ...],
    *,
    layers: Collection[str],
    components: Collection[str],
    start_from: str | None,
) -> tuple[str, ...]:
    layer_of = {component.name: layer.name for layer, component in site.components}
    known_layers = tuple(layer.name for layer in site.layers)
    for option, given, known in (
        ("--layer", layers, known_layers),
        ("--component", components, names),
        ("--from", [start_from] if start_from is not None else [], (*names, *known_layers)),
    ):
        for name in given:
            if name not in known:
                raise InputError(
                    f"{option} {name!r}: not in site {site.site}{did_you_mean(name, known)}",
                    hint=f"See them: drcli plan --site {site.site}",
                )
    first = next((n for n, c in enumerate(names) if start_from in {c, layer_of[c]}), 0)
    chosen = tuple(
        name
        for name in names[first:]
        if (not layers or layer_of[name] in layers) and (not components or name in components)
    )
    if not chosen:
        raise InputError(
            f"nothing of site {site.site} is selected",
            hint="--layer, --component and --from each narrow the selection.",
        )
    return chosen
