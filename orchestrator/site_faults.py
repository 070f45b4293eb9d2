"""What is wrong in a site file beyond the shape of its parts: templates, names of things not there.

Works on the raw content and skips what has the wrong shape, so that these faults are told together
with those of the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from orchestrator.jinja import is_template
from orchestrator.order import find_cycle
from orchestrator.project import did_you_mean, is_slug
from orchestrator.yaml_file import Fault, Location


def template_faults(content: object) -> Iterator[Fault]:
    """Jinja anywhere: Ansible would run such an expression on the controller."""

    def walk(value: object, location: Location) -> Iterator[Fault]:
        match value:
            case str() if is_template(value):
                what, todo = "Jinja is refused in a site file", "write the value itself"
                yield Fault(location=location, what=what, todo=todo)
            case dict():
                for key, inner in value.items():
                    yield from walk(key, (*location, key))
                    yield from walk(inner, (*location, key))
            case list():
                for number, inner in enumerate(value):
                    yield from walk(inner, (*location, number))

    return walk(content, ())


def reference_faults(content: object, *, folder: str) -> Iterator[Fault]:
    """Where one part of the file does not fit another, or the name of the file's folder."""
    if _text(_get(content, "site")) not in {None, folder}:
        what = f"is not the name of its folder, {folder!r}"
        yield Fault(location=("site",), what=what, todo="make them the same")
    layers = [(("layers", n), layer) for n, layer in enumerate(_list(_get(content, "layers")))]
    components = [
        (index, (*location, "components", n), component)
        for index, (location, layer) in enumerate(layers)
        for n, component in enumerate(_list(_get(layer, "components")))
    ]
    yield from _twice("layer", layers)
    yield from _twice("component", [(location, c) for _, location, c in components])
    yield from _needs_faults(components, layered=_get(content, "order") in (None, "layers"))
    services = _get(content, "services")
    known = list(services) if isinstance(services, Mapping) else []
    for _, location, component in components:
        for place, service in _names(component, "serves", location):
            if service not in known:
                what = f"no service {service!r}{did_you_mean(service, known)}"
                yield Fault(location=place, what=what)


def _needs_faults(
    components: Sequence[tuple[int, Location, object]], *, layered: bool
) -> Iterator[Fault]:
    """What is wrong with who needs whom; each component comes with the number of its layer."""
    layer_of: dict[str, int] = {}
    place_of: dict[str, Location] = {}
    for layer, location, component in components:
        name = _text(_get(component, "name"))
        if name:
            layer_of.setdefault(name, layer)
            place_of.setdefault(name, location)
    graph: dict[str, tuple[str, ...]] = dict.fromkeys(layer_of, ())
    for layer, location, component in components:
        name = _text(_get(component, "name"))
        for place, need in _names(component, "needs", location):
            if need == name:
                yield Fault(location=place, what=f"{need!r} needs itself", todo="remove it")
            elif need not in layer_of:
                what = f"no component {need!r}{did_you_mean(need, layer_of)}"
                yield Fault(location=place, what=what)
            elif layered and layer_of[need] > layer:
                what = f"{need!r} is in a layer that starts later"
                todo = "move one of them, or write `order: dependencies`"
                yield Fault(location=place, what=what, todo=todo)
            elif name:
                graph[name] = (*graph[name], need)
    cycle = find_cycle(graph)
    if cycle:
        what = f"a cycle: {' -> '.join(cycle)}, each needs the next"
        location = (*place_of[cycle[0]], "needs")
        yield Fault(location=location, what=what, todo="remove one of these needs")


def _twice(kind: str, named: Iterable[tuple[Location, object]]) -> Iterator[Fault]:
    seen: set[str] = set()
    for location, item in named:
        name = _text(_get(item, "name"))
        if name in seen:
            what = f"a second {kind} {name!r}"
            yield Fault(location=(*location, "name"), what=what, todo="rename one of them")
        elif name:
            seen.add(name)


def _names(component: object, key: str, location: Location) -> Iterator[tuple[Location, str]]:
    for number, name in enumerate(_list(_get(component, key))):
        if isinstance(name, str) and is_slug(name):
            yield (*location, key, number), name


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, Mapping) else None


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
