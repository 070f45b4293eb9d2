"""An inventory that has to be asked: a program, or YAML that names an inventory plugin.

Ansible's own plugins ask it, in a process of its own, which is ended with all it has started when
it is done, hangs, or drcli is gone. It says which groups and hosts there are and what it gives them
as variables, no more: group_vars and host_vars are read by whoever asked, and what is encrypted
goes through the pipe as it is. Of the project's ansible.cfg only the two lines count that say where
inventory plugins and collections lie.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from orchestrator.attempt import MARK, end_processes, environment, new_mark
from orchestrator.errors import InputError, one_line
from orchestrator.project import project_settings
from orchestrator.redaction import Redactor

LIMIT = 60.0  # seconds for all that it says
_POLL = 0.1
_LONGEST = 1_000  # characters of what it said, in an error
_HINT = "Have it answer, or write the hosts themselves into the file, as YAML."
# Where inventory plugins and collections lie, as an ansible.cfg and as the environment say it.
_PLACES = {
    "inventory_plugins": "ANSIBLE_INVENTORY_PLUGINS",
    "collections_path": "ANSIBLE_COLLECTIONS_PATH",
}


def is_program(path: Path) -> bool:
    """Whether Ansible would run this file, be it YAML as well.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    return os.access(path, os.X_OK) and head.startswith((b"#!", b"\x7fELF"))


def ask(path: Path, project: Path, *, settings: Path, limit: float = LIMIT) -> str:
    """Run it, as Ansible would in the project's folder, and return what it says: JSON for `fill`.

    `settings` take the place of the project's ansible.cfg; it is given `limit` seconds.

    Raises:
        InputError: it fails, says nothing that makes an inventory, or takes too long; the message
            has what it said, without secrets that can be told by their names.
    """
    mark = new_mark(f"look-{os.getpid()}", "inventory", 0)
    own, lifeline = os.pipe()
    try:
        with subprocess.Popen(  # noqa: S603 -- fixed words and a path
            [sys.executable, "-P", "-m", __name__, str(path.absolute()), str(own)],
            cwd=project,
            env=_world(project, mark, settings),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            pass_fds=(own,),
            start_new_session=True,
        ) as process:
            try:
                return _answer(path, process, limit)
            finally:
                end_processes(mark)
    finally:
        os.close(own)
        os.close(lifeline)


def _world(project: Path, mark: str, settings: Path) -> Mapping[str, str]:
    """The environment that gates and playbooks have it asked in, with other settings."""
    world = {**environment(project, mark), "ANSIBLE_CONFIG": str(settings)}
    said = project_settings(project / "ansible.cfg")
    for key, name in _PLACES.items():
        if value := said.get("defaults", key, fallback=""):
            world[name] = value  # where relative: to the current folder, the project's
    return world


def _answer(path: Path, process: subprocess.Popen[str], limit: float) -> str:
    deadline = time.monotonic() + limit
    while True:
        try:
            answer, said = process.communicate(timeout=_POLL)
            break
        except subprocess.TimeoutExpired:
            if time.monotonic() > deadline:
                raise InputError(
                    f"{path}: it did not say its hosts within {limit:g} s", hint=_HINT
                ) from None
    if process.returncode == 0 and answer:
        return answer
    why = Redactor().message(answer or said, _LONGEST) or f"exit code {process.returncode}"
    raise InputError(f"{path}: it says no hosts: {one_line(why)}", hint=_HINT)


def fill(data: Any, said: Mapping[str, Any]) -> None:  # noqa: ANN401 -- Ansible is untyped
    """Put what was said into Ansible's InventoryData, as the plugin itself has put it into its own.

    Not by way of YAML: there a host's name may be a range, or have a port.
    """
    for name in said["groups"]:
        data.add_group(name)
    for name, variables in said["hosts"].items():
        data.add_host(name)
        _give(data.hosts[name], variables)
    for name, group in said["groups"].items():
        for host in group["hosts"]:
            data.add_host(host, name)
        for child in group["children"]:
            data.add_child(name, child)
        _give(data.groups[name], group["vars"])


def _give(entity: Any, variables: Mapping[str, Any]) -> None:  # noqa: ANN401 -- as above
    for name, value in variables.items():
        entity.set_variable(name, value)


def main() -> None:
    """Ask the inventory that the first word names; print what it says, or else what is wrong."""
    path, own = Path(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(own, False)  # noqa: FBT003 -- its only way
    Thread(target=_end_with_drcli, args=(own,), daemon=True).start()
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8", errors="backslashreplace")
    os.dup2(2, 1)  # what plugins print is no part of it
    with answer:
        try:
            answer.write(_said(path))
        except Exception as error:  # noqa: BLE001 -- a plugin may raise anything
            answer.write(f"{error} {getattr(error, '_help_text', None) or ''}")
            answer.flush()
            os._exit(1)


def _end_with_drcli(own: int) -> None:
    """Nothing is ever written there: it has an end when drcli is gone."""
    os.read(own, 1)
    end_processes(os.environ[MARK])
    os._exit(1)


def _said(path: Path) -> str:
    # Imported here: who asks has Ansible loaded with these same settings already.
    from ansible.inventory.data import InventoryData  # noqa: PLC0415
    from ansible.parsing.ajson import AnsibleJSONEncoder  # noqa: PLC0415
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415
    from ansible.parsing.vault import VaultSecretsContext  # noqa: PLC0415
    from ansible.plugins.loader import init_plugin_loader, inventory_loader  # noqa: PLC0415

    init_plugin_loader()
    VaultSecretsContext.initialize(VaultSecretsContext([]))
    data = InventoryData()
    data.current_source = str(path)
    plugin = inventory_loader.get("script" if is_program(path) else "auto")
    plugin.parse(data, DataLoader(), str(path), cache=False)
    groups = {
        name: {
            "hosts": [host.name for host in group.hosts],
            "children": [child.name for child in group.child_groups],
            "vars": {**group.vars, "ansible_group_priority": group.priority},
        }
        for name, group in data.groups.items()
    }
    hosts = {name: host.vars for name, host in data.hosts.items()}
    return json.dumps({"groups": groups, "hosts": hosts}, cls=AnsibleJSONEncoder)


if __name__ == "__main__":
    main()
