"""A site's hosts, loaded by Ansible's own code in this process: patterns mean what they mean.

Nothing of the project is run for it: no variables plugin, no template, and nothing that its
ansible.cfg names. An inventory is a file of YAML; a program, or one that names an inventory plugin,
is asked only where a person trusts it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from orchestrator.dynamic_inventory import ask, fill, is_program
from orchestrator.errors import InputError, one_line
from orchestrator.project import did_you_mean

# What may reach a command line, a list with commas, and a terminal as it is.
_HOST_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,253}"
_CONFIGURATION = Path(__file__).with_name("own_ansible.cfg")
_SEAL = b"$ANSIBLE_VAULT;"
_WILD = set("*?[]~")  # a part of a pattern that has one of these may match anything, or nothing
_REFUSED = (
    "Write the hosts themselves, as YAML: what asks a service for them may find it dead when they "
    "are wanted. Who has read what would run may add --trust-inventory (not for the lab)."
)


class Inventory:
    """The hosts of one inventory file and their raw (untemplated) variables.

    `asked` is what was asked for them, in words; empty where they stand in the file.
    """

    def __init__(
        self,
        path: Path,
        *,
        asked: str,
        loader: Any,  # noqa: ANN401 -- Ansible is untyped
        manager: Any,  # noqa: ANN401
        variables: Any,  # noqa: ANN401
    ) -> None:
        self.path = path
        self.asked = asked
        self._loader = loader
        self._manager = manager
        self._variables = variables

    @property
    def all_hosts(self) -> tuple[str, ...]:
        """Every host, in the inventory's order."""
        return tuple(host.name for host in self._manager.get_hosts("all"))

    @property
    def groups(self) -> tuple[str, ...]:
        """Every group that a person wrote, in the inventory's order."""
        return tuple(name for name in self._manager.groups if name not in {"all", "ungrouped"})

    def hosts(self, pattern: str, limit: str | None = None) -> tuple[str, ...]:
        """The hosts an Ansible pattern names, in the inventory's order; of those, `limit`'s alone.

        None are left when `limit` names others.

        Raises:
            InputError: the pattern or the limit names no host, or something that does not exist.
        """
        named = self._matching(pattern)
        allowed = set(named) if limit is None else set(self._matching(limit))
        return tuple(name for name in named if name in allowed)

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

    def itself(self, host: str) -> Mapping[str, object]:
        """The variables that are this host's and no group's: of its entry and its host_vars."""
        from ansible.plugins.loader import vars_loader  # noqa: PLC0415 -- as in load_inventory

        found = self._manager.get_host(host)
        plugin = vars_loader.get("host_group_vars")
        with self._without_sealed():
            in_files = plugin.get_vars(self._loader, str(self.path.parent), [found])
        return {**found.vars, **in_files}

    def readable(self, host: str) -> Mapping[str, object]:
        """A host's variables without those of encrypted files: there may be no password yet.

        Raises:
            InputError: see `variables`.
        """
        with self._without_sealed():
            return self.variables(host)

    def content(self, path: Path) -> object:
        """A file of YAML as Ansible reads it, nothing templated; None of an encrypted file.

        Raises:
            InputError: it cannot be read; the message names file and line.
        """
        from ansible.errors import AnsibleError  # noqa: PLC0415 -- keeps `drcli --help` quick

        try:
            with self._without_sealed():
                found: object = self._loader.load_from_file(str(path), cache="none")
        except (AnsibleError, OSError) as error:
            raise _refused(path, error) from error
        return found

    @contextmanager
    def _without_sealed(self) -> Iterator[None]:
        self._loader.sealed_is_empty = True
        try:
            yield
        finally:
            self._loader.sealed_is_empty = False

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

    def _matching(self, pattern: str) -> tuple[str, ...]:
        from ansible.errors import AnsibleError  # noqa: PLC0415 -- keeps `drcli --help` quick
        from ansible.inventory.manager import split_host_pattern  # noqa: PLC0415

        groups, hosts = self._manager.groups, self._manager.hosts
        try:
            parts = split_host_pattern(pattern)
            if not parts or not all(part.strip() for part in parts):
                # Ansible takes an empty pattern for all hosts: `--limit "$UNSET"` must not be that.
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


def load_inventory(path: Path, *, trusted: bool = False) -> Inventory:
    """Load one inventory file (never a folder) with its group_vars and host_vars.

    Where it is `trusted`, it may be a program or name an inventory plugin: it is then asked, as
    Ansible would ask it in the project's folder (it is PROJECT/inventories/SITE/hosts.yml).

    Raises:
        InputError: there is no such file, Ansible cannot read it (the message is Ansible's), it has
            no host, a host's name could not be passed to a command safely, or something of it would
            have to be run that is not trusted, fails or hangs.
    """
    if not path.is_file():
        raise InputError(
            f"{path}: no such inventory", hint="Make it: a standard Ansible hosts.yml."
        )
    asked = "a program" if is_program(path) else ""
    if asked and not trusted:
        raise InputError(f"{path}:1:1: it is a program, and Ansible would run it", hint=_REFUSED)
    # Imported here because it takes half a second that `drcli --help` must not wait for.
    with _own_configuration():
        from ansible.inventory.data import InventoryData  # noqa: PLC0415
        from ansible.inventory.manager import InventoryManager  # noqa: PLC0415
        from ansible.plugins.loader import inventory_loader  # noqa: PLC0415
        from ansible.vars.manager import VariableManager  # noqa: PLC0415

    loader = _reading_once()
    asked = asked or _plugin_named(loader, path)
    if asked and not trusted:
        raise InputError(
            f"{path}: it names {asked}, so it is not YAML inventory: Ansible would run that",
            hint=_REFUSED,
        )
    try:
        plugin = inventory_loader.get("yaml")
        if asked:
            said = ask(path, path.parents[2], settings=_CONFIGURATION)
            plugin = _answering(plugin, loader.load(said))
        # The manager only warns of a file it cannot parse, and goes on with no host at all.
        plugin.parse(InventoryData(), loader, str(path), cache=False)
        manager = InventoryManager(loader=loader, sources=[str(path)], parse=False)
        manager._fetch_inventory_plugins = lambda: [plugin]  # noqa: SLF001 -- no other may run
        manager.parse_sources()
        variables = VariableManager(loader=loader, inventory=manager)
    except InputError:
        raise
    except Exception as error:  # as in Ansible's manager: a plugin may raise anything
        raise _refused(path, error) from error
    inventory = Inventory(path, asked=asked, loader=loader, manager=manager, variables=variables)
    for name in inventory.all_hosts:
        if not re.fullmatch(_HOST_NAME, name):
            raise InputError(
                f"{path}: {name!r} cannot be a host's name",
                hint="Use letters, digits, dots, hyphens and underscores.",
            )
    if not inventory.all_hosts:
        raise InputError(f"{path}: no host in it", hint="Write groups with `hosts:`.")
    return inventory


def may_be_asked(path: Path) -> bool:
    """Whether Ansible might run something for this inventory; cheap, and rather yes than no."""
    try:
        text = path.read_bytes()
    except OSError:
        return False  # whoever loads it says what is wrong
    return os.access(path, os.X_OK) or b"plugin" in text or b"\\" in text  # as in "\x70lugin"


def _plugin_named(loader: Any, path: Path) -> str:  # noqa: ANN401 -- Ansible is untyped
    """The inventory plugin that a file of YAML names, in words; empty where it names none."""
    content: object = None
    with suppress(Exception):  # Ansible's own plugin says what is wrong with it
        content = loader.load_from_file(str(path), cache="none", trusted_as_template=True)
    name = content.get("plugin") if isinstance(content, Mapping) else None
    return f"the plugin {str(name)!r}" if name else ""


def _answering(plugin: Any, said: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- Ansible is untyped
    """A plugin of the same kind that reads no file: it has what a dynamic inventory said."""

    class Answering(type(plugin)):  # type: ignore[misc]  # it is untyped
        def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:  # noqa: ANN401, ARG002, FBT001, FBT002 -- Ansible's signature
            fill(inventory, said)

    answering = Answering()
    answering._load_name = plugin._load_name  # noqa: SLF001 -- its manager asks for both
    answering._original_path = plugin._original_path  # noqa: SLF001
    answering.verify_file = lambda _path: True
    return answering


@contextmanager
def _own_configuration() -> Iterator[None]:
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


def _reading_once() -> Any:  # noqa: ANN401 -- Ansible is untyped
    """Ansible's loader, but each file is parsed once and not copied for each of its readers.

    An inventory is read by us and by two of Ansible's plugins: all of them only look at it, and one
    wants to know no more than whether it has a key `plugin`.
    """
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415 -- as in load_inventory

    class ReadingOnce(DataLoader):  # type: ignore[misc]  # it is untyped
        sealed_is_empty = False

        def __init__(self) -> None:
            super().__init__()
            self._read: dict[str, Any] = {}

        def load_from_file(
            self,
            file_name: str,
            cache: str = "all",
            unsafe: bool = False,  # noqa: FBT001, FBT002 -- Ansible's signature
            json_only: bool = False,  # noqa: FBT001, FBT002
            trusted_as_template: bool = False,  # noqa: FBT001, FBT002
        ) -> Any:  # noqa: ANN401
            if self.sealed_is_empty and _sealed(file_name):
                return None
            if cache != "none" or json_only:
                return super().load_from_file(
                    file_name, cache, unsafe, json_only, trusted_as_template
                )
            if file_name not in self._read:
                self._read[file_name] = super().load_from_file(
                    file_name,
                    cache,
                    True,  # noqa: FBT003 -- Ansible's signature
                    json_only,
                    trusted_as_template,
                )
            return self._read[file_name]

    return ReadingOnce()


def _sealed(file_name: str) -> bool:
    with suppress(OSError), Path(file_name).open("rb") as file:
        return file.read(len(_SEAL)) == _SEAL
    return False


def _refused(path: Path, error: BaseException) -> InputError:
    """Ansible's message, with the place in the file where Ansible knows one."""
    cause: BaseException | None = error
    while cause is not None:
        origin: Any = getattr(cause, "obj", None)
        if getattr(origin, "line_num", None):
            place = f"{origin.path}:{origin.line_num}:{origin.col_num or 1}"
            return InputError(f"{place}: {one_line(error)}", hint="Correct what Ansible names.")
        cause = cause.__cause__ or cause.__context__
    return InputError(f"{path}: {one_line(error)}", hint="Correct what Ansible names.")
