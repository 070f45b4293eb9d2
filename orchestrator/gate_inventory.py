"""The inventory as Ansible reads it: loaded once, and again when a file of it changed.

Starting `ansible-inventory` takes most of a second; testinfra alone would do it for every gate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Event as Flag
from threading import Lock
from typing import Any

from orchestrator.attempt import MARK, end_processes, private_folder
from orchestrator.errors import InputError
from orchestrator.redaction import secret_values
from orchestrator.told_secrets import Told, temporary
from orchestrator.work import AnsibleOptions

_LIMIT = 60.0  # seconds
_POLL = 0.1


class Inventories:
    """Loads inventories; may be used from several threads at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loaded: dict[Path, tuple[object, dict[str, Any]]] = {}
        self._told: dict[Path, set[str]] = {}

    def load(
        self, path: Path, environment: Mapping[str, str], project: Path, stop: Flag
    ) -> dict[str, Any]:
        """What `ansible-inventory --list` prints for one inventory file, as JSON.

        Raises:
            InputError: Ansible cannot read it (the message is its own), hangs, or `stop` was set.
        """
        while not self._lock.acquire(timeout=_POLL):  # another gate loads it
            if stop.is_set():
                raise InputError("ansible-inventory: stopped")
        try:
            state = _state(path, project)
            known = self._loaded.get(path)
            if known and state is not None and known[0] == state:
                return known[1]
            content, told = _list(path, environment, project, stop)
            self._loaded[path] = (state, content)
            self._told[path] = told
            return content
        finally:
            self._lock.release()

    def secrets(self, path: Path) -> set[str]:
        """What of a loaded inventory is secret: decrypted for it, or under a secret's name."""
        variables = self._loaded[path][1].get("_meta", {}).get("hostvars", {})
        return self._told[path] | secret_values(variables)


def hosts_of(content: Mapping[str, Any]) -> set[str]:
    """Every host of a loaded inventory; those without a variable stand in their groups alone."""
    groups = (group for name, group in content.items() if name != "_meta")
    listed = {host for group in groups for host in group.get("hosts", ())}
    return listed | set(content.get("_meta", {}).get("hostvars", {}))


def with_options(content: Mapping[str, Any], options: AnsibleOptions) -> dict[str, Any]:
    """The inventory as a playbook sees it that is given these options.

    An extra variable wins over any of a host's own. The become password is what Ansible makes of
    it: one that the inventory names wins, by whichever name (`ansible_become_password` is the
    first that is looked at, so every other one counts more).
    """
    known = content.get("_meta", {}).get("hostvars", {})
    before: dict[str, Any] = {}
    if options.become_password is not None:
        before["ansible_become_password"] = options.become_password
    hosts = {
        host: {**before, **known.get(host, {}), **options.extra_vars} for host in hosts_of(content)
    }
    return {**content, "_meta": {**content.get("_meta", {}), "hostvars": hosts}}


def vault_settings(options: AnsibleOptions) -> dict[str, str]:
    """The environment in which Ansible finds what opens its vaults."""
    found = {}
    if options.vault_password_file:
        found["ANSIBLE_VAULT_PASSWORD_FILE"] = str(options.vault_password_file.absolute())
    if options.vault_ids:
        found["ANSIBLE_VAULT_IDENTITY_LIST"] = ",".join(options.vault_ids)
    return found


def files_of(path: Path, project: Path) -> Iterator[Path]:
    """The files that an inventory is made of, and Ansible's own configuration."""
    yield path
    if (project / "ansible.cfg").exists():
        yield project / "ansible.cfg"
    for folder in ("group_vars", "host_vars"):
        yield from (file for file in (path.parent / folder).rglob("*") if file.is_file())


def _state(path: Path, project: Path) -> object | None:
    """What changes when the inventory does; None when its hosts may come from elsewhere."""
    try:
        text = path.read_bytes()
        if os.access(path, os.X_OK) or b"plugin:" in text:
            return None
        stats = [(file, file.stat()) for file in sorted(files_of(path, project))]
    except OSError:
        return None
    return [text, *((str(file), s.st_mtime_ns, s.st_size, s.st_ino) for file, s in stats)]


def _list(
    path: Path, environment: Mapping[str, str], project: Path, stop: Flag
) -> tuple[dict[str, Any], set[str]]:
    """The inventory, and what Ansible decrypted for it."""
    own = [sys.executable, "-P", "-m", "orchestrator.told_secrets"]
    words = [*own, "--list", "--inventory", str(path)]
    with private_folder() as folder:
        # Verbose, as ansible.cfg may want it, Ansible would speak between the lines of its JSON.
        own_world = {**environment, **temporary(folder), "ANSIBLE_VERBOSITY": "0"}
        code, printed, said = _finish(words, own_world, project, stop)
        told = Told(folder).more()
    try:
        content = json.loads(printed) if code == 0 else None
    except ValueError:
        content = None
    if not isinstance(content, dict) or not hosts_of(content):
        raise InputError(f"{path}: no host could be read: {' '.join(said.split())[-1_000:]}")
    return content, told


def _finish(
    words: list[str], environment: Mapping[str, str], project: Path, stop: Flag
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; an inventory script that hangs is not waited for."""
    deadline = time.monotonic() + _LIMIT
    with subprocess.Popen(  # noqa: S603 -- fixed words and a path
        words,
        cwd=project,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            while True:
                try:
                    printed, said = process.communicate(timeout=_POLL)
                except subprocess.TimeoutExpired:
                    if not stop.is_set() and time.monotonic() < deadline:
                        continue
                    why = "stopped" if stop.is_set() else f"time limit of {_LIMIT:g} s reached"
                    raise InputError(f"ansible-inventory: {why}") from None
                return process.returncode, printed, said
        finally:
            end_processes(environment[MARK])  # also what an inventory script has left behind
