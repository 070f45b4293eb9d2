"""A site's hosts, loaded by Ansible's own code in this process: patterns mean what they mean.

Nothing of the project is run for it: no variables plugin, no template, and nothing that its
ansible.cfg names. An inventory is a file of YAML; a program, or one that names an inventory plugin,
is refused: what asks a service for its hosts may find it dead when they are wanted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError, noting, one_line
from orchestrator.project import did_you_mean
from orchestrator.yaml_file import decoded

# What may reach a command line, a list with commas, and a terminal as it is.
_HOST_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,253}"
_CONFIGURATION = Path(__file__).with_name("own_ansible.cfg")
_WILD = set("*?[]~")  # a part of a pattern that has one of these may match anything, or nothing
_REFUSED = (
    "Write the hosts themselves, as YAML: what asks a service for them may find it dead when they "
    "are wanted."
)


Passwords = tuple[tuple[str, str], ...]  # of vaults: label and password
_VAULT = "Give the vault's password: --vault-password-file FILE, or --vault-id LABEL@SOURCE."


class Inventory:
    """The hosts of the inventory files `paths` and their raw (untemplated) variables.

    Where they differ a later file overrides an earlier one, as for `ansible -i A -i B`.
    """

    def __init__(  # noqa: PLR0913 -- each by name
        self,
        paths: tuple[Path, ...],
        *,
        loader: Any,  # noqa: ANN401 -- Ansible is untyped
        manager: Any,  # noqa: ANN401
        variables: Any,  # noqa: ANN401
        has_passwords: bool = False,
        warnings: list[str] | None = None,
    ) -> None:
        self.path = paths[0]
        self.paths = paths
        self.warnings = [] if warnings is None else warnings  # Ansible's own, until now
        self._loader = loader
        self._manager = manager
        self._variables = variables
        self._has_passwords = has_passwords

    @property
    def all_hosts(self) -> tuple[str, ...]:
        """Every host, in the inventory's order."""
        return tuple(host.name for host in self._manager.get_hosts("all"))

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group that a person wrote, in the inventory's order."""
        return tuple(name for name in self._manager.groups if name not in {"all", "ungrouped"})

    def tree(self) -> dict[str, dict[str, list[str]]]:
        """Every group with its own hosts and its children, as `ansible-inventory --list` has it."""
        return {
            name: {
                "hosts": [host.name for host in group.hosts],
                "children": [child.name for child in group.child_groups],
            }
            for name, group in self._manager.groups.items()
        }

    def variables(self, host: str) -> Mapping[str, object]:
        """A host's variables from the inventory and its group_vars and host_vars, untemplated.

        Raises:
            InputError: Ansible cannot read them; the message is Ansible's.
        """
        from ansible.errors import AnsibleError  # noqa: PLC0415 -- keeps `drcli --help` quick

        try:
            found: dict[str, object] = self._variables.get_vars(
                host=self._manager.get_host(host), include_hostvars=False
            )
        except AnsibleError as error:
            raise _refused(self.path, error) from error
        return found

    def opened(self, value: object, *, sealed: bool = False) -> str | None:
        """The text of an encrypted value; None when no password was given, or it stays sealed.

        Raises:
            InputError: none of those given opens it.
            TypeError: it is not an encrypted value.
        """
        from ansible.errors import AnsibleError  # noqa: PLC0415 -- keeps `drcli --help` quick
        from ansible.parsing.vault import EncryptedString  # noqa: PLC0415

        if not isinstance(value, EncryptedString):
            raise TypeError("neither text nor number, date, list, set or mapping")
        if sealed or not self._has_passwords:
            return None
        try:
            return str(value)
        except AnsibleError as error:
            raise _refused(self.path, error) from error

    def playbook(self, path: Path) -> list[object]:
        """The plays of a playbook, as Ansible reads its YAML; nothing is templated or run.

        Raises:
            InputError: it is not YAML, or not a list of plays; the message names file and line.
        """
        from ansible.errors import AnsibleError  # noqa: PLC0415 -- keeps `drcli --help` quick

        try:
            plays = self._loader.load_from_file(str(path), cache="none")
        except AnsibleError as error:
            raise _refused(path, error) from error
        if not isinstance(plays, list) or not plays:
            raise InputError(f"{path}:1:1: no list of plays", hint="Write `- hosts: ...`.")
        return plays

    def hosts(self, pattern: str) -> tuple[str, ...]:
        """The hosts an Ansible pattern names, in the inventory's order.

        Raises:
            InputError: it names no host, or something that does not exist.
        """
        from ansible.errors import AnsibleError  # noqa: PLC0415 -- keeps `drcli --help` quick
        from ansible.inventory.manager import split_host_pattern  # noqa: PLC0415

        groups, hosts = self._manager.groups, self._manager.hosts
        try:
            parts = split_host_pattern(pattern)
            if not parts or not all(part.strip() for part in parts):
                # Ansible takes an empty pattern for all hosts.
                raise InputError(
                    f"{self.path}: {pattern!r} is not a pattern", hint="Write `all` for every host."
                )
            for part in parts:
                name = part.lstrip("!&")
                if not (_WILD & set(name) or name in groups or name in hosts):
                    known = [*groups, *hosts]
                    raise InputError(
                        f"{self.path}: no group or host {name!r}{did_you_mean(name, known)}",
                        hint="Write a group or a host of the inventory.",
                    )
            found = tuple(host.name for host in self._manager.get_hosts(pattern))
        except (AnsibleError, re.error) as error:
            raise InputError(
                f"{self.path}: {pattern!r} is not a pattern: {one_line(error)}",
                hint="Write a group, a host, or a pattern of them as for ansible --limit.",
            ) from error
        if not found:
            raise InputError(
                f"{self.path}: {pattern!r} matches no host",
                hint=f"Groups: {', '.join(self.groups)}",
            )
        return found


def load_inventory(*paths: Path, vault: Passwords = ()) -> Inventory:
    """Load inventory files (never folders) with their group_vars and host_vars.

    `vault` opens what is encrypted in them.

    Raises:
        InputError: there is no such file, Ansible cannot read it (the message is Ansible's), it has
            no host, a host's name could not be passed to a command safely, or it is a program or
            names an inventory plugin.
    """
    for path in paths:
        if not path.is_file():
            raise InputError(
                f"{path}: no such inventory", hint="Make it: a standard Ansible hosts.yml."
            )
        if os.access(path, os.X_OK):
            raise InputError(f"{path}:1:1: it is a program: Ansible would run it", hint=_REFUSED)
    # Imported here because it takes half a second that `drcli --help` must not wait for.
    with own_configuration():
        from ansible.inventory.data import InventoryData  # noqa: PLC0415
        from ansible.inventory.manager import InventoryManager  # noqa: PLC0415
        from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415
        from ansible.plugins.loader import inventory_loader  # noqa: PLC0415
        from ansible.vars.manager import VariableManager  # noqa: PLC0415

    loader = DataLoader()
    warnings = _held_back()
    _use_vault(loader, vault)
    for path in paths:
        _refuse_plugin(loader, path)
    path = paths[0]
    try:
        plugin = inventory_loader.get("yaml")
        # The manager only warns of a file it cannot parse, and goes on with no host at all.
        for path in paths:
            plugin.parse(InventoryData(), loader, str(path), cache=False)
        manager = InventoryManager(loader=loader, sources=[str(p) for p in paths], parse=False)
        manager._fetch_inventory_plugins = lambda: [plugin]  # noqa: SLF001 -- no other may run
        manager.parse_sources()
        variables = VariableManager(loader=loader, inventory=manager)
    except Exception as error:  # as in Ansible's manager: a plugin may raise anything
        raise _refused(path, error) from error
    inventory = Inventory(
        paths,
        loader=loader,
        manager=manager,
        variables=variables,
        has_passwords=bool(vault),
        warnings=warnings,
    )
    for name in inventory.all_hosts:
        if not re.fullmatch(_HOST_NAME, name):
            raise InputError(
                f"{paths[0]}: {name!r} cannot be a host's name",
                hint="Use letters, digits, dots, hyphens and underscores.",
            )
    if not inventory.all_hosts:
        raise InputError(f"{paths[0]}: no host in it", hint="Write groups with `hosts:`.")
    return inventory


def _held_back() -> list[str]:
    """What Ansible warns of from now on, each a line with its place.

    It would print the lines of the file around that place as well: passwords may stand there.
    """
    from ansible.utils.display import Display  # noqa: PLC0415 -- see load_inventory

    found: list[str] = []

    def keep(summary: Any) -> None:  # noqa: ANN401 -- Ansible is untyped
        event = summary.event
        head, _, place = (event.formatted_source_context or "").partition("\n")[0].partition(": ")
        line = one_line(event.msg.partition("\n")[0])
        said = f"{one_line(place)}: {line}" if head == "Origin" else line
        if said not in found:
            found.append(said)

    display: Any = Display()
    display._warning = display._deprecated = keep  # noqa: SLF001 -- no public way
    return found


def _use_vault(loader: Any, vault: Passwords) -> None:  # noqa: ANN401 -- Ansible is untyped
    """Have Ansible open what is encrypted: whole files at once, single values when asked for."""
    from ansible.parsing.vault import VaultSecret, VaultSecretsContext  # noqa: PLC0415

    secrets = [(label, VaultSecret(password.encode())) for label, password in vault]
    if secrets:
        loader.set_vault_secrets(secrets)
    VaultSecretsContext._current = VaultSecretsContext(secrets)  # noqa: SLF001 -- else only once


def _refuse_plugin(loader: Any, path: Path) -> None:  # noqa: ANN401 -- Ansible is untyped
    """A file of YAML that names an inventory plugin would be run, not read."""
    content: object = None
    with suppress(Exception):  # Ansible's own plugin says what is wrong with it
        content = loader.load_from_file(str(path), cache="none")
    if isinstance(content, Mapping) and content.get("plugin"):
        raise InputError(
            f"{path}: it names the plugin {str(content['plugin'])!r}: Ansible would run that",
            hint=_REFUSED,
        )


@contextmanager
def own_configuration() -> Iterator[None]:
    """Ansible reads an ansible.cfg when it is first imported: not the project's, here."""
    before = os.environ.get("ANSIBLE_CONFIG")
    os.environ["ANSIBLE_CONFIG"] = str(_CONFIGURATION)
    try:
        import ansible.constants  # noqa: F401, PLC0415 -- see load_inventory

        yield
    finally:
        if before is None:
            del os.environ["ANSIBLE_CONFIG"]
        else:
            os.environ["ANSIBLE_CONFIG"] = before


def _refused(path: Path, error: BaseException) -> InputError:
    """Ansible's message, with the place in the file where Ansible knows one."""
    hint = _VAULT if "vault" in str(error).lower() else "Correct what Ansible names."
    cause: BaseException | None = error
    while cause is not None:
        origin: Any = getattr(cause, "obj", None)
        if getattr(origin, "path", None):
            file, line = Path(origin.path), origin.line_num
            no_text: list[InputError] = []
            with suppress(OSError), noting(no_text):
                decoded(file.read_bytes(), file)  # Ansible knows no line of such bytes
            if no_text:
                return no_text[0]
            place = f"{file}:{line}:{origin.col_num or 1}" if line else str(file)
            return InputError(f"{place}: {one_line(error)}", hint=hint)
        cause = cause.__cause__ or cause.__context__
    return InputError(f"{path}: {one_line(error)}", hint=hint)
