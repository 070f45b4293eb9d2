"""Site and inventory -> Plan: what a recovery does, on which hosts, in which order.

The order is computed by `orchestrator.order`, files are read by `orchestrator.sources`; a plan is a
value. All that can be known to be wrong is told here, before the first layer starts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from orchestrator import order
from orchestrator.errors import InputError, join_errors, noting
from orchestrator.inventory import Inventory
from orchestrator.jinja import holds_template
from orchestrator.project import did_you_mean, require_inside
from orchestrator.site import Site
from orchestrator.sources import content_hash, minimum_checks

DEFAULT_PARALLEL = 4  # components at once, where neither the site file nor a person says more
_ADDRESS = {
    f"ansible_{prefix}{name}" for prefix in ("", "ssh_") for name in ("host", "port", "user")
}
_IMPORTS = ("import_playbook", "ansible.builtin.import_playbook")


@dataclass(frozen=True, kw_only=True)
class Component:
    """A component, ready to be recovered.

    `needs` is what the site file says; `stands_on` is all that must be verified before it, directly
    or not, also when that was not selected. `settle`, `timeout`, `recheck` are seconds; paths are
    absolute. `approval` is what a person must answer before its playbook runs. `allow_async`: so
    many seconds after it was first seen down it may go on without its synchronous standby. Where it
    is `gate_only`, the playbook is not to run: it must be up already.
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
    approval: str | None = None
    allow_async: float | None = None
    gate_only: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a recovery does; `components` are in an order in which each follows what it stands on.

    `graph` maps each to those of the plan it stands on directly; `stages` are the components that
    may run side by side. `hash` stands for every file that a recovery of the site runs, whatever
    was selected of it.
    """

    site: Site
    components: tuple[Component, ...]
    graph: order.Graph
    stages: tuple[tuple[str, ...], ...]
    critical_path: tuple[str, ...]
    hash: str
    warnings: tuple[str, ...] = ()


def make_plan(  # noqa: PLR0913 -- one for each way to narrow it, by name
    project: Path,
    site: Site,
    inventory: Inventory,
    *,
    layers: Collection[str] = (),
    components: Collection[str] = (),
    limit: str = "",
    start: str = "",
) -> Plan:
    """Make the plan of a site, or of what a person selects of it by `layers` and `components`.

    `limit` is an Ansible pattern: only its hosts count, and a component without one is left out.
    From `start` on components are recovered; of those before it only the gates are run.

    A playbook or gate that is wrong is told where its component is selected: the rest of a site can
    still be recovered.

    Raises:
        InputError: a missing or malformed playbook or gate, a group that matches nothing, an
            unknown name, nothing selected, an address that is a template; the message has one line
            for each.
    """
    _refuse_templates(inventory)
    graph = direct_graph(site)
    names = tuple(name for stage in order.stages(graph) for name in stage)
    chosen = _select(site, names, layers=layers, components=components)
    early = _before(start, chosen)
    ready = _components(
        project,
        site,
        inventory,
        chosen=chosen,
        limited=_limited(inventory, limit),
        stands_on=order.stands_on(graph),
    )
    left_out = sorted(set(chosen) - {component.name for component in ready}, key=chosen.index)
    if not ready:
        raise InputError(
            f"--limit {limit!r}: no component of this run has such a host",
            hint=f"See the hosts of each: drcli plan --site {site.site}",
        )
    selected = order.restricted(graph, tuple(component.name for component in ready))
    return Plan(
        site=site,
        components=tuple(replace(c, gate_only=c.name in early) for c in ready),
        graph=selected,
        stages=order.stages(selected),
        critical_path=order.critical_path(selected),
        hash=content_hash(project, site.site),
        warnings=(
            *(f"{name} has no host in --limit {limit}: it is left out" for name in left_out),
            *_unused_hosts(site, inventory),
            *inventory.warnings,
        ),
    )


def direct_graph(site: Site) -> order.Graph:
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
        if site.order == "layers":
            below = tuple(c.name for c in layer.components if c.name not in needed)
    return graph


def _components(  # noqa: PLR0913 -- each by name
    project: Path,
    site: Site,
    inventory: Inventory,
    *,
    chosen: tuple[str, ...],
    limited: frozenset[str],
    stands_on: order.Graph,
) -> list[Component]:
    """The chosen components that have a host, in that order; what is wrong is told at once."""
    written = {component.name: (layer, component) for layer, component in site.components}
    found: list[Component] = []
    errors: list[InputError] = []
    for layer, component in (written[name] for name in chosen):
        name, minimum = component.name, 0
        hosts: tuple[str, ...] = ()
        playbook = project / (component.playbook or f"playbooks/{layer.name}/{name}.yml")
        gate = project / (component.gate or f"playbooks/{layer.name}/test_{name}.py")
        with noting(errors, f"component {name}: "):
            hosts = tuple(h for h in inventory.hosts(component.hosts) if h in limited)
            if not hosts:
                continue
        with noting(errors):
            _require_file(project, playbook, f"playbook of component {name}")
            _check_plays(inventory, playbook, hosts)
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
                approval=component.approval,
                allow_async=_seconds(component.allow_async),
            )
        )
    if errors:
        raise join_errors(errors)
    return found


def _seconds(time: timedelta | None) -> float | None:
    """A time of the site file, where one is written."""
    return None if time is None else time.total_seconds()


def _require_file(project: Path, path: Path, what: str) -> None:
    require_inside(project, path)
    try:
        found = path.is_file()
    except OSError as error:
        raise InputError(
            f"{path}: the {what} cannot be read: {error.strerror}", hint="Name another."
        ) from error
    if not found:
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


def _refuse_templates(inventory: Inventory) -> None:
    """Ansible would fill them in and gates cannot: the two would act on different hosts."""
    errors = [
        InputError(
            f"{inventory.path}: host {host}: {name} is a template",
            hint="Write the value itself, there or in group_vars: its gate fills in none.",
        )
        for host in inventory.all_hosts
        for name, value in inventory.variables(host).items()
        if name in _ADDRESS and holds_template(value)
    ]
    if errors:
        raise join_errors(errors)


def _unused_hosts(site: Site, inventory: Inventory) -> Iterator[str]:
    used: set[str] = set()
    for _, component in site.components:
        with noting([]):  # a pattern that is wrong is told where its component is selected
            used.update(inventory.hosts(component.hosts))
    for host in inventory.all_hosts:
        if host not in used and not inventory.variables(host).get("lab_outside"):
            yield f"host {host} belongs to no component: nothing recovers it"


def _limited(inventory: Inventory, limit: str) -> frozenset[str]:
    """The hosts a pattern leaves; all of them without one."""
    try:
        return frozenset(inventory.hosts(limit) if limit else inventory.all_hosts)
    except InputError as error:
        raise InputError(f"--limit: {error.message}", hint=error.hint) from None


def _before(start: str, chosen: tuple[str, ...]) -> tuple[str, ...]:
    """The components before `start` in the order of the plan."""
    if start and start not in chosen:
        raise InputError(
            f"--from {start!r}: no such component in this run{did_you_mean(start, chosen)}",
            hint="Name one of those that the plan shows, in its order.",
        )
    return chosen[: chosen.index(start)] if start else ()


def _select(
    site: Site,
    names: tuple[str, ...],
    *,
    layers: Collection[str],
    components: Collection[str],
) -> tuple[str, ...]:
    layer_of = {component.name: layer.name for layer, component in site.components}
    for option, given, known in (
        ("--layer", layers, tuple(layer.name for layer in site.layers)),
        ("--component", components, names),
    ):
        for name in given:
            if name not in known:
                raise InputError(
                    f"{option} {name!r}: not in site {site.site}{did_you_mean(name, known)}",
                    hint=f"See them: drcli plan --site {site.site}",
                )
    chosen = tuple(
        name
        for name in names
        if (not layers or layer_of[name] in layers) and (not components or name in components)
    )
    if not chosen:
        raise InputError(
            f"nothing of site {site.site} is selected",
            hint="--layer and --component each narrow the selection.",
        )
    return chosen
