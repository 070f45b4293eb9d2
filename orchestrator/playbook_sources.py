"""What is wrong with playbooks and roles that their files tell: read as YAML, never run."""

from __future__ import annotations

import re
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from orchestrator.collections import required_collections
from orchestrator.controller import Controller, vault_sources
from orchestrator.errors import InputError
from orchestrator.finding import Finding, Severity
from orchestrator.inventory import Inventory
from orchestrator.plan import Component
from orchestrator.project import project_settings

_MODULE = re.compile(r"([a-z]\w*\.[a-z]\w*)\.[a-z]\w*(?:\.\w+)*")
_BUILT_IN = {"ansible.builtin", "ansible.legacy"}
_TASKS = ("tasks", "pre_tasks", "post_tasks", "handlers", "block", "rescue", "always")
_ROLE_TASKS = re.compile(r"(?:ansible\.builtin\.)?(?:import|include)_role")
_SEALED = re.compile(r"^\$ANSIBLE_VAULT;|(?:^|[\s:])!vault\b")


class Sources:
    """The playbooks of a project, walked once: what they name, and what of it cannot be read."""

    def __init__(
        self, project: Path, inventory: Inventory, components: Iterable[Component]
    ) -> None:
        self._project = project
        self._inventory = inventory
        self._settings = project_settings(project / "ansible.cfg")
        self.unreadable: list[InputError] = []
        self.roles: dict[str, Path] = {}  # each with the first file that names it
        self.collections: dict[str, Path] = {}
        for component in components:
            plays = self._content(component.playbook)
            self._walk(plays if isinstance(plays, list) else [], component.playbook)
        walked: set[str] = set()
        while new := self.roles.keys() - walked:
            for role in sorted(new):
                walked.add(role)
                self._read_role(role, self.roles[role])

    def findings(self) -> Iterator[Finding]:
        """What is missing or cannot be read."""
        for error in self.unreadable:
            where, _, what = error.message.partition(": ")
            yield Finding(
                name="playbook", severity=Severity.BLOCKS, where=where, what=what,
                mend=error.hint or "correct it",
            )  # fmt: skip
        for role, path in self.roles.items():
            if "." not in role and self._role_folder(role, path) is None:
                yield Finding(
                    name="roles", severity=Severity.BLOCKS, where=_line_of(path, role),
                    what=f"there is no role {role}", mend=f"put it into playbooks/roles/{role}/",
                )  # fmt: skip
        named = {role.rpartition(".")[0]: path for role, path in self.roles.items() if "." in role}
        required = self._project / "playbooks/requirements.yml"
        try:
            listed = dict.fromkeys(required_collections(self._project), required)
        except InputError as error:
            listed = {}
            yield Finding(
                name="collections", severity=Severity.BLOCKS, where=str(required),
                what=error.message, mend=error.hint,
            )  # fmt: skip
        for name, path in {**listed, **named, **self.collections}.items():
            if name not in _BUILT_IN and not self._has_collection(name):
                yield Finding(
                    name="collections", severity=Severity.BLOCKS, where=_line_of(path, name),
                    what=f"collection {name} is not installed",
                    mend="while there is a package index: drcli collections",
                )  # fmt: skip

    def _content(self, path: Path) -> object:
        try:
            return self._inventory.content(path)
        except InputError as error:
            self.unreadable.append(error)
            return None

    def _walk(self, entries: Iterable[object], path: Path) -> None:
        """Plays, tasks and blocks: the roles and the collections they name."""
        for entry in entries:
            if not isinstance(entry, Mapping):
                continue
            for key, value in entry.items():
                if key in _TASKS and isinstance(value, list):
                    self._walk(value, path)
                elif key == "roles" and isinstance(value, list):
                    for role in value:
                        self._name_role(role, path)
                elif isinstance(key, str) and _ROLE_TASKS.fullmatch(key):
                    self._name_role(value, path)
                elif isinstance(key, str) and (module := _MODULE.fullmatch(key)):
                    self.collections.setdefault(module[1], path)

    def _name_role(self, value: object, path: Path) -> None:
        name = (value.get("role") or value.get("name")) if isinstance(value, Mapping) else value
        if isinstance(name, str) and re.fullmatch(r"[\w.-]+", name):
            self.roles.setdefault(name, path)

    def _read_role(self, role: str, path: Path) -> None:
        folder = self._role_folder(role, path)
        for kind in ("tasks", "handlers", "meta", "defaults", "vars"):
            found = sorted(folder.glob(f"{kind}/**/*.y*ml")) if folder else []
            for file in found:
                content = self._content(file)
                if kind in {"tasks", "handlers"}:
                    self._walk(content if isinstance(content, list) else [], file)
                elif kind == "meta" and isinstance(content, Mapping):
                    self._walk([{"roles": content.get("dependencies") or []}], file)

    def _role_folder(self, role: str, path: Path) -> Path | None:
        configured = self._settings.get("defaults", "roles_path", fallback="")
        places = [path.parent / "roles", path.parent]
        places += [self._project / Path(p).expanduser() for p in configured.split(":") if p]
        places += [Path("~/.ansible/roles").expanduser(), Path("/etc/ansible/roles")]
        return next((p / role for p in places if (p / role).is_dir()), None)

    def _has_collection(self, name: str) -> bool:
        own = self._settings.get("defaults", "collections_path", fallback="collections")
        places = [self._project / Path(p).expanduser() for p in own.split(":") if p]
        places += [
            Path("~/.ansible/collections").expanduser(),
            Path("/usr/share/ansible/collections"),
        ]
        places += [Path(sysconfig.get_paths()["purelib"])]
        inside = Path("ansible_collections", *name.split("."))
        return any((place / inside).is_dir() for place in places)


def vault_findings(controller: Controller, site: str) -> Iterator[Finding]:
    """Encrypted variables without a password, and passwords whose file is not there."""
    sources = vault_sources(controller)
    for source in sources:
        if not source.is_file():
            yield Finding(
                name="vault-password", severity=Severity.BLOCKS, where=str(source),
                what="the vault's password should come from it, and it is not there",
                mend="name another: --vault-id or --vault-password-file",
            )  # fmt: skip
    prompts = any(name.endswith("@prompt") for name in controller.vault_sources)
    sealed = _sealed(controller.project / "inventories" / site)
    sealed = sealed or _sealed(controller.project / "playbooks")
    if sealed and not sources and not prompts:
        yield Finding(
            name="vault-password", severity=Severity.BLOCKS, where=sealed,
            what="it is encrypted, and there is no password for it",
            mend="name its source: --vault-id or --vault-password-file",
        )  # fmt: skip


def _sealed(folder: Path) -> str:
    """The first place that is encrypted; empty when there is none."""
    for path in sorted(folder.rglob("*")):
        if path.suffix in {"", ".yml", ".yaml", ".json"} and path.is_file():
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError):
                continue
            for number, line in enumerate(lines, 1):
                if _SEALED.search(line.partition("#")[0]):
                    return f"{path}:{number}"
    return ""


def _line_of(path: Path, word: str) -> str:
    """FILE:LINE of the first line with this word."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    number = next((n for n, line in enumerate(lines, 1) if word in line), 1)
    return f"{path}:{number}"
