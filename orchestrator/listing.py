"""An inventory as `ansible-inventory --list` prints it: loaded once, and again when it changed.

Starting `ansible-inventory` takes most of a second; testinfra would do it for every gate.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from orchestrator.inventory import Passwords, load_inventory
from orchestrator.sources import files_below

# What Ansible adds of its own: it tells of this process, not of the host.
_MAGIC = {
    "ansible_config_file", "ansible_facts", "ansible_playbook_python", "ansible_version",
    "group_names", "groups", "inventory_dir", "inventory_file", "inventory_hostname",
    "inventory_hostname_short", "playbook_dir",
}  # fmt: skip

_lock = Lock()
_loaded: dict[object, tuple[object, dict[str, Any]]] = {}


def listing(paths: tuple[Path, ...], *, vault: Passwords = ()) -> dict[str, Any]:
    """Groups with their hosts and children, and each host's raw variables; plain JSON.

    What is encrypted is there when a password of the `vault` opens it, else it is None.

    Raises:
        InputError: Ansible cannot read it; the message is its own.
    """
    with _lock:
        state = [(file, _stamp(file)) for path in paths for file in _files(path)]
        known = _loaded.get((paths, vault))
        if known is None or known[0] != state:
            known = _loaded[paths, vault] = (state, _list(paths, vault))
        return known[1]


def hosts_of(content: Mapping[str, Any]) -> set[str]:
    """Every host of a listing."""
    return set(content["_meta"]["hostvars"])


def _list(paths: tuple[Path, ...], vault: Passwords) -> dict[str, Any]:
    inventory = load_inventory(*paths, vault=vault)
    hostvars = {
        host: {k: v for k, v in inventory.variables(host).items() if k not in _MAGIC}
        for host in inventory.all_hosts
    }
    content = {**inventory.tree(), "_meta": {"hostvars": hostvars}}
    # What JSON cannot hold is a value that only a vault's password opens.
    plain: dict[str, Any] = json.loads(
        json.dumps(_with_plain_names(content), default=inventory.opened)
    )
    return plain


def _with_plain_names(value: Any) -> Any:  # noqa: ANN401 -- what YAML can hold
    """The same with texts for names: YAML may have a date there, JSON may not."""
    if isinstance(value, Mapping):
        return {
            name if isinstance(name, str | int | float | None) else str(name): _with_plain_names(
                inner
            )
            for name, inner in value.items()
        }
    if isinstance(value, list | tuple):
        return [_with_plain_names(inner) for inner in value]
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
