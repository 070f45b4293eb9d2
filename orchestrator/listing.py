"""An inventory as `ansible-inventory --list` prints it: loaded once, and again when it changed.

Starting `ansible-inventory` takes most of a second; testinfra would do it for every gate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from functools import partial
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Any

from orchestrator.errors import InputError, one_line
from orchestrator.inventory import Inventory, Passwords, load_inventory
from orchestrator.sources import files_below

# What Ansible adds of its own: it tells of this process, not of the host.
_MAGIC = {
    "ansible_config_file", "ansible_facts", "ansible_playbook_python", "ansible_version",
    "group_names", "groups", "inventory_dir", "inventory_file", "inventory_hostname",
    "inventory_hostname_short", "playbook_dir",
}  # fmt: skip

_DEEPEST = 100  # levels of one variable: an alias may lead into itself
_MOST = 100_000  # values of one variable, aliases expanded: they may multiply

_lock = Lock()
_loaded: dict[object, tuple[object, dict[str, Any]]] = {}


def listing(paths: tuple[Path, ...], *, vault: Passwords = ()) -> dict[str, Any]:
    """Groups with their hosts and children, and each host's raw variables; plain JSON.

    What is encrypted is there when a password of the `vault` opens it, else it is None.

    Raises:
        InputError: Ansible cannot read it (the message is its own), or a variable cannot be JSON.
    """
    with _lock:
        state = [(file, _stamp(file)) for path in paths for file in _files(path)]
        known = _loaded.get((paths, vault))
        if known is None or known[0] != state:
            content = plain_content(load_inventory(*paths, vault=vault))
            known = _loaded[paths, vault] = (state, content)
        return known[1]


def hosts_of(content: Mapping[str, Any]) -> set[str]:
    """Every host of a listing."""
    return set(content["_meta"]["hostvars"])


def plain_content(inventory: Inventory, *, sealed: bool = False) -> dict[str, Any]:
    """What `listing` has of an inventory that is loaded; where it stays sealed, nothing is opened.

    Raises:
        InputError: Ansible cannot read its variables, no password opens one, or one holds what JSON
            cannot: gates are given it as JSON.
    """
    opened = partial(inventory.opened, sealed=sealed)
    hostvars: dict[str, dict[str, Any]] = {}
    for host in inventory.all_hosts:
        own = hostvars[host] = {}
        for name, value in inventory.variables(host).items():
            if name in _MAGIC:
                continue
            try:
                text = json.dumps(_plain({name: value}, count()), default=opened)
            except (TypeError, ValueError) as error:
                raise InputError(
                    f"{inventory.path}: host {host}: variable {name}: {one_line(error)}",
                    hint="Write it otherwise, there or in group_vars or host_vars.",
                ) from error
            own.update(json.loads(text))
    return {**inventory.tree(), "_meta": {"hostvars": hostvars}}


def _plain(value: Any, number: Iterator[int], depth: int = 0) -> Any:  # noqa: ANN401 -- what YAML can hold
    """The same as JSON has it: dates as text, sets as sorted lists, texts for names.

    `number` counts the values, of which there may be only so many.
    """
    if depth > _DEEPEST:
        raise ValueError(f"nested deeper than {_DEEPEST} levels, or in itself")
    if next(number) > _MOST:
        raise ValueError(f"more than {_MOST:,} values once aliases are expanded")
    match value:
        case Mapping():
            return {
                name if isinstance(name, str | int | float | None) else str(name): _plain(
                    inner, number, depth + 1
                )
                for name, inner in value.items()
            }
        case list() | tuple():
            return [_plain(inner, number, depth + 1) for inner in value]
        case set():
            return sorted((_plain(inner, number, depth + 1) for inner in value), key=str)
        case date():
            return value.isoformat()
        case _:
            return value


def _files(path: Path) -> Iterator[Path]:
    """The files that Ansible reads for an inventory file: itself, and its variables beside it."""
    yield path
    for folder in ("group_vars", "host_vars"):
        yield from files_below(path.parent / folder)


def _stamp(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino
