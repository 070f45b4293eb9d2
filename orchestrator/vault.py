"""Ansible Vault: its passwords, read once before a run, and what they open, to keep it secret.

Every source is asked once, here: a password script may need what is down in a recovery.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import ScalarNode

from orchestrator.errors import InputError
from orchestrator.inventory import Passwords, own_configuration
from orchestrator.project import ansible_setting
from orchestrator.sources import files_below
from orchestrator.state_directory import below_home

LIMIT = 60.0  # seconds for a password script
_LARGEST = 1_048_576  # bytes of a file that is looked through
_BLOCK = re.compile(r"\$ANSIBLE_VAULT;[^\n]*\n(?:[ \t]*[0-9a-fA-F]+[ \t]*\r?(?:\n|\Z))+")
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PROMPT = "prompt"
_NO_SECRETS = {"", "true", "false", "yes", "no", "null", "none"}
_HINT = "Give its password: --vault-password-file FILE, or --vault-id LABEL@SOURCE."


def read_passwords(
    project: Path,
    ids: Iterable[str],
    file: Path | None,
    ask: Callable[[str], str],
    *,
    runs: bool,
) -> Passwords:
    """The passwords that a person and the project's ansible.cfg name; `ask` prompts for one.

    What ansible.cfg names is asked or run only where the project is to be run anyway.

    Raises:
        InputError: a source cannot be read.
    """
    named = [name.strip() for name in ansible_setting(project, "vault_identity_list").split(",")]
    sources = [_split(name, project) for name in named if name]
    if default := ansible_setting(project, "vault_password_file"):
        sources.append(("default", str(project / below_home(Path(default)))))
    if not runs:
        sources = [each for each in sources if each[1] != _PROMPT and not _is_program(each[1])]
    sources += [_split(text, Path.cwd()) for text in ids]
    if file is not None:
        sources.append(("default", str(file)))
    return tuple((label, _password(label, source, ask)) for label, source in sources)


def opened(site_folder: Path, playbooks: Path, vault: Passwords) -> frozenset[str]:
    """All that is encrypted for a site, and what of its playbooks these passwords open.

    Raises:
        InputError: none of them opens something of the site's own, or a link leads out of the
            project.
    """
    found: set[str] = set()
    for folder, must in ((site_folder, True), (playbooks, False)):
        for path, line, cipher in _encrypted(folder, playbooks.parent):
            if not (vault or must):
                continue
            try:
                found.update(_values(_decrypted(cipher, vault)))
            except InputError as error:
                if must:
                    raise InputError(f"{path}:{line}: {error.message}", hint=_HINT) from None
    return frozenset(found)


def _split(text: str, folder: Path) -> tuple[str, str]:
    label, at, source = text.partition("@")
    if not at:
        label, source = "default", text
    if not (_LABEL.fullmatch(label) and source):
        raise InputError(f"--vault-id {text}: not LABEL@SOURCE", hint="Write prod@~/.vault-prod.")
    if source in {"prompt", "prompt_ask_vault_pass"}:
        return label, _PROMPT
    return label, str(folder / below_home(Path(source)))


def _is_program(source: str) -> bool:
    return os.access(source, os.X_OK) and Path(source).is_file()


def _password(label: str, source: str, ask: Callable[[str], str]) -> str:
    if source == _PROMPT:
        found = ask(f"Vault password ({label})")
    elif _is_program(source):
        found = _told_by(label, Path(source))
    else:
        try:
            found = Path(source).read_bytes()[:_LARGEST].decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            said = getattr(error, "strerror", None) or "it is no text"
            raise InputError(f"vault password file {source}: cannot be read: {said}") from error
    if not found:
        raise InputError(f"vault password of {label!r}: {source} gives an empty one")
    return found


def _told_by(label: str, script: Path) -> str:
    """As with Ansible: a program prints it; one called *-client is told the label."""
    words = [str(script), *(["--vault-id", label] if script.stem.endswith("-client") else [])]
    try:
        done = subprocess.run(  # noqa: S603 -- what a person named for this
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise InputError(f"vault password script {script}: {type(error).__name__}") from None
    if done.returncode:
        raise InputError(f"vault password script {script}: it ended with code {done.returncode}")
    return done.stdout.strip()


def _encrypted(folder: Path, project: Path) -> Iterator[tuple[Path, int, str]]:
    """Every encrypted text below a folder: its file, its line and itself."""
    for path in files_below(folder, project=project):
        try:
            if not path.is_file() or path.stat().st_size > _LARGEST:
                continue
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for block in _BLOCK.finditer(text):
            lines = "\n".join(line.strip() for line in block.group().splitlines())
            yield path, text.count("\n", 0, block.start()) + 1, f"{lines}\n"


def _decrypted(cipher: str, vault: Passwords) -> str:
    if not vault:
        raise InputError("it is encrypted, and no vault password was given")
    with own_configuration():
        from ansible.errors import AnsibleError  # noqa: PLC0415 -- keeps `drcli --help` quick
        from ansible.parsing.vault import VaultLib, VaultSecret  # noqa: PLC0415

    secrets = [(label, VaultSecret(password.encode())) for label, password in vault]
    try:
        plain: bytes = VaultLib(secrets).decrypt(cipher.encode())
        return plain.decode("utf-8", "replace")
    except AnsibleError:
        raise InputError("no vault password that was given opens it") from None


def _values(text: str) -> set[str]:
    """What of a decrypted text is secret: itself, or each value where it is a file of variables."""
    try:
        root = YAML(typ="safe", pure=True).compose(text)
        found = {text} if isinstance(root, ScalarNode) else set(_scalars(root, set()))
    except (YAMLError, ValueError, AttributeError, AssertionError, IndexError, KeyError):
        found = {part.strip() for x in text.splitlines() for part in (x, x.partition(":")[2])}
    return {value for value in found if value.strip().lower() not in _NO_SECRETS}


def _scalars(node: Any, seen: set[int]) -> Iterator[str]:  # noqa: ANN401 -- ruamel.yaml's nodes
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node.value, str):
        yield node.value
        return
    for item in node.value:
        yield from _scalars(item[1] if isinstance(item, tuple) else item, seen)
