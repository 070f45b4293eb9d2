"""What Ansible has decrypted, and what its variables hold under a secret's name, told to drcli.

drcli never opens a vault itself; Ansible does, in processes of its own. There `listen` has every
decrypted text written to a file beside Ansible's own temporary folder, in the attempt's private
folder, so in memory. drcli reads it with `Told` before it takes an event, and so knows what to take
out of it, whatever the variable is called. A word that a result could hold was written first.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from orchestrator.redaction import secret_values

LONGEST = 65_536  # characters of one decrypted text; a larger one is a file, not a value
_FILE = "secrets"
_TEMPORARY = "ANSIBLE_LOCAL_TEMP"
_NO_SECRETS = {"true", "false", "yes", "no", "null", "none"}


class Told:
    """The values told in a folder, as drcli reads them."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._read = 0

    def more(self) -> set[str]:
        """What was told since the last time."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return set()
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        return {value for line in whole.splitlines() for value in json.loads(line)}


def temporary(folder: Path) -> dict[str, str]:
    """The setting that gives Ansible its temporary folder, and `tell` its place."""
    return {_TEMPORARY: str(folder / "tmp")}


def tell(values: Iterable[str]) -> None:
    """Tell drcli that these are secret; from inside one of Ansible's processes."""
    known = sorted(values)
    if not known:
        return
    path = Path(os.environ[_TEMPORARY]).with_name(_FILE)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(descriptor, json.dumps(known).encode() + b"\n")
    finally:
        os.close(descriptor)


def tell_variables(variables: dict[str, Any]) -> None:
    """Tell what stands under a secret's name; a template is not its value, and is not told."""
    tell(value for value in secret_values(variables) if "{{" not in value)


def listen() -> None:
    """Have all that this process decrypts be told; once is enough."""
    library: Any = importlib.import_module("ansible.parsing.vault").VaultLib
    original = library.decrypt
    if getattr(original, "tells", False):
        return

    def decrypt(vault: object, text: object) -> bytes:
        plain: bytes = original(vault, text)
        tell(_values(plain.decode("utf-8", "replace")))
        return plain

    decrypt.tells = True  # type: ignore[attr-defined]
    library.decrypt = decrypt


def _values(text: str) -> set[str]:
    """What of a decrypted text is secret: itself, or each value where it is a file of variables."""
    if len(text) > LONGEST:
        return set()
    yaml: Any = importlib.import_module("ruamel.yaml")
    try:
        root = yaml.YAML(typ="safe", pure=True).compose(text)
        found = {text} if isinstance(root, yaml.ScalarNode) else set(_scalars(root, set()))
    except yaml.error.YAMLError:
        found = {p.strip() for x in text.splitlines() for p in (x, x.partition(":")[2])}
    return {value for value in found if value.lower() not in _NO_SECRETS}


def _scalars(node: Any, seen: set[int]) -> Iterator[str]:  # noqa: ANN401 -- ruamel.yaml's nodes
    if id(node) in seen or node is None:
        return
    seen.add(id(node))
    if isinstance(node.value, str):
        yield node.value
        return
    for item in node.value:
        yield from _scalars(item[1] if isinstance(item, tuple) else item, seen)


def main() -> None:
    """Be `ansible-inventory`, and tell what it decrypts: the words are its own."""
    listen()
    sys.argv[0] = "ansible-inventory"
    importlib.import_module("ansible.cli.inventory").main()


if __name__ == "__main__":
    main()
