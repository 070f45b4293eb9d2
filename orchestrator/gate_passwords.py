"""Passwords of hosts, as a gate hands them to ssh and sudo: never on a command line.

A host is asked where Ansible asks it: by the last of several names that it has for the same.

Part of gate_plugin.py, which gives it testinfra's parts: it lives in the gate's own process.
testinfra alone puts an SSH password into the arguments of sshpass, knows none for sudo, and of
several names for an address the first alone.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

# Of several names Ansible takes the last.
_BECOME = ("ansible_become_password", "ansible_become_pass", "ansible_sudo_pass")
_SSH = ("ansible_password", "ansible_ssh_pass", "ansible_ssh_password")
_ADDRESS = (
    ("ansible_host", "ansible_ssh_host"),
    ("ansible_port", "ansible_ssh_port"),
    ("ansible_user", "ansible_ssh_user"),
)
_ASKS = "sudo -S -p ''"  # it reads one line; the command below reads nothing of it


def hand_over_passwords(finder: Any, backend: Any, ssh: Any, folder: Path) -> None:  # noqa: ANN401 -- testinfra is untyped
    """Have testinfra find a host where Ansible does, and hand over passwords safely.

    `finder` is its module that makes a host of an inventory's, `backend` the class of all
    connections, `ssh` that of those by ssh; `folder` is private.
    """
    _find_as_ansible_does(finder)
    _ask_sudo(backend)
    _keep_from_arguments(ssh, folder)


def _find_as_ansible_does(finder: Any) -> None:  # noqa: ANN401
    find = finder.get_ansible_host

    def get_ansible_host(
        config: Any,  # noqa: ANN401
        inventory: Mapping[str, Any],
        host: str,
        *words: Any,  # noqa: ANN401
        **named: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        own = inventory.get("_meta", {}).get("hostvars", {}).get(host, {})
        read = {names[0]: value for names in _ADDRESS if (value := _last(own, names))}
        if password := _last(own, _SSH):
            read["ansible_ssh_pass"] = quote(password, safe="")  # it becomes a part of a URL
        inventory = {**inventory, "_meta": {"hostvars": {host: {**own, **read}}}}
        found = find(config, inventory, host, *words, **named)
        if found is not None:
            found.backend.drcli_become = _last(own, _BECOME)
        return found

    finder.get_ansible_host = get_ansible_host


def _ask_sudo(backend: Any) -> None:  # noqa: ANN401
    plain_sudo, run_plainly = backend.get_sudo_command, backend.run_local

    def get_sudo_command(self: Any, command: str, sudo_user: str | None) -> str:  # noqa: ANN401
        if not getattr(self, "drcli_become", ""):
            return str(plain_sudo(self, command, sudo_user))
        user = self.quote("-u %s ", sudo_user) if sudo_user else ""
        return str(self.quote(f"{_ASKS} {user}/bin/sh -c %s", f"exec </dev/null; {command}"))

    def run_local(self: Any, command: str, *args: str) -> Any:  # noqa: ANN401
        password = getattr(self, "drcli_become", "")
        text = self.quote(command, *args)
        if not password or "sudo -S -p" not in text:
            return run_plainly(self, command, *args)
        line = self.encode(text)
        done = subprocess.run(  # noqa: S602 -- as testinfra does, but for the input
            line, shell=True, input=f"{password}\n".encode(), capture_output=True, check=False
        )
        return self.result(done.returncode, line, done.stdout, done.stderr)

    backend.get_sudo_command, backend.run_local = get_sudo_command, run_local


def _keep_from_arguments(ssh: Any, folder: Path) -> None:  # noqa: ANN401
    build = ssh._build_ssh_command  # noqa: SLF001 -- no public way
    files: dict[str, str] = {}

    def _build_ssh_command(self: Any, command: str) -> tuple[list[str], list[str]]:  # noqa: ANN401
        words, args = build(self, command)
        if words[:2] == ["sshpass", "-p"]:
            words, args = [*words], [*args]
            words[1], args[0] = "-f", _file_of(args[0])
        return words, args

    def _file_of(password: str) -> str:
        if password not in files:
            path = folder / f"ssh-{len(files)}"
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(f"{password}\n")
            files[password] = str(path)
        return files[password]

    ssh._build_ssh_command = _build_ssh_command  # noqa: SLF001


def _last(variables: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = [str(variables[name]) for name in names if variables.get(name) is not None]
    return found[-1] if found else ""
