"""The layers of a lab's site, and the lower ones as a lab of their own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from orchestrator.errors import InputError
from orchestrator.inventory import load_inventory
from orchestrator.lab.definition import Definition
from orchestrator.project import did_you_mean
from orchestrator.yaml_file import read_yaml


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer of the site, as far as the lab must know it."""

    name: str
    components: tuple[str, ...]
    hosts: tuple[str, ...]


def layers_of(definition: Definition) -> tuple[Layer, ...]:
    """The layers of the lab in order, the lowest first.

    Raises:
        InputError: site.yml is not one.
    """
    path = definition.inventory.with_name("site.yml")
    inventory = load_inventory(definition.inventory)
    content: Any = read_yaml(path)
    try:
        layers = tuple(
            Layer(
                name=str(layer["name"]),
                components=tuple(str(c["name"]) for c in layer["components"]),
                hosts=tuple(
                    dict.fromkeys(
                        host for c in layer["components"] for host in inventory.hosts(c["hosts"])
                    )
                ),
            )
            for layer in content["layers"]
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path}: no layers with components in it", hint=f"drcli validate {definition.site}"
        ) from error
    names = [layer.name for layer in layers]
    return layers[: names.index(definition.layer) + 1] if definition.layer in names else layers


def up_to(definition: Definition, layer: str | None) -> Definition:
    """The lab of this layer, those below it, and the clients; whole up to the highest, or for None.

    Nobody writes to a part: what takes the writes may be above it.

    Raises:
        InputError: the site has no such layer, or its site.yml is not one.
    """
    if layer is None:
        return definition
    layers = layers_of(definition)
    names = [one.name for one in layers]
    if layer not in names:
        raise InputError(
            f"{definition.site} has no layer {layer!r}{did_you_mean(layer, names)}",
            hint=f"Its layers: {', '.join(names)}.",
        )
    if layer == names[-1]:
        return definition
    chosen = {host for one in layers[: names.index(layer) + 1] for host in one.hosts}
    there = tuple(host for host in definition.hosts if host.outside or host.name in chosen)
    return replace(
        definition,
        layer=layer,
        hosts=there,
        absent=tuple(host for host in definition.hosts if host not in there),
        file=definition.file.model_copy(update={"writers": (), "reader": None}),
    )
