"""What a person passes through to Ansible, as one attempt at a playbook or one gate is given it.

What may be secret goes into files of the attempt's private folder, in memory and for this user
alone; on command lines and in environments stand only the names of these files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.attempt import write_private
from orchestrator.listing import hosts_of
from orchestrator.work import AnsibleOptions

_KEYS = ("ansible_private_key_file", "ansible_ssh_private_key_file")


def playbook_words(
    options: AnsibleOptions, variables: Mapping[str, object], folder: Path
) -> list[str]:
    """What ansible-playbook is told besides inventory, limit, forks and playbook: no secret.

    Raises:
        InputError: a variable holds a Jinja expression.
    """
    words = [word for each in _vault_ids(options, folder) for word in ("--vault-id", each)]
    if options.private_key:
        words += ["--private-key", str(options.private_key)]
    if given := options.data(variables):
        path = write_private(folder / "extra_vars.json", json.dumps(given))
        words += ["--extra-vars", f"@{path}"]
    if options.become_password is not None:
        words += ["--become-password-file", str(_become(options.become_password, folder))]
    return words + ["--check"] * options.check + ["--diff"] * options.diff


def gate_settings(options: AnsibleOptions, folder: Path) -> dict[str, str]:
    """The same for an `ansible` that a gate's own check may start, as its environment."""
    found = {}
    if options.vault:
        found["ANSIBLE_VAULT_IDENTITY_LIST"] = ",".join(_vault_ids(options, folder))
    if options.private_key:
        found["ANSIBLE_PRIVATE_KEY_FILE"] = str(options.private_key)
    if options.become_password is not None:
        found["ANSIBLE_BECOME_PASSWORD_FILE"] = str(_become(options.become_password, folder))
    return found


def host_variables(
    inventory: Mapping[str, Any], options: AnsibleOptions, variables: Mapping[str, object]
) -> dict[str, Any]:
    """The inventory as a playbook sees it that is given these options.

    An extra variable wins over any of a host's own; a password or key of the inventory wins over
    the one given for all.

    Raises:
        InputError: a variable holds a Jinja expression.
    """
    given, known = options.data(variables), inventory["_meta"]["hostvars"]
    hosts = {}
    for host in hosts_of(inventory):
        own: dict[str, Any] = {}
        if options.become_password is not None:
            # Ansible takes the last of its names for it: this one is the first.
            own["ansible_become_password"] = options.become_password
        if options.private_key and not known[host].keys() & set(_KEYS):
            own[_KEYS[0]] = str(options.private_key)
        hosts[host] = {**own, **known[host], **given}
    return {**inventory, "_meta": {"hostvars": hosts}}


def _vault_ids(options: AnsibleOptions, folder: Path) -> list[str]:
    return [
        f"{label}@{write_private(folder / f'vault-{number}', password)}"
        for number, (label, password) in enumerate(options.vault)
    ]


def _become(password: str, folder: Path) -> Path:
    return write_private(folder / "become", password)
