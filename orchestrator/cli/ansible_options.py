"""The options that pass through to Ansible, under the names its users know."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from orchestrator.errors import InputError
from orchestrator.jinja import is_template
from orchestrator.work import AnsibleOptions
from orchestrator.yaml_file import MAX_BYTES, MAX_DEPTH, read_yaml

Command = TypeVar("Command", bound=Callable[..., object])

_SHOWN = 200  # characters of what was typed, in an error
_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
# Without an environment variable: it is for one command, by a person who has read what would run.
trust_option = click.option("--trust-inventory", is_flag=True, help=(
    "Ask hosts.yml where it is a program or names an inventory plugin."
))  # fmt: skip
_ACCESS = (
    click.option("--vault-id", multiple=True, metavar="LABEL@SOURCE", help="A vault identity."),
    click.option("--vault-password-file", type=_FILE, help="The file of the vault's password."),
    click.option("--private-key", type=_FILE, help="The SSH private key."),
    click.option("-e", "--extra-vars", multiple=True, metavar="VARS", help=(
        "Variables for every host: key=value, JSON, or @FILE. Data only: no Jinja."
    )),
    click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the become password."),
    click.option("--become-password-file", type=_FILE, help="The file of the become password."),
    trust_option,
)  # fmt: skip
_CHANGE = (
    click.option("--forks", type=click.IntRange(min=1), help="Hosts at once, for each playbook."),
    click.option("--diff", is_flag=True, help="Have Ansible record what changes in files."),
)  # fmt: skip


def access_options(command: Command) -> Command:
    """Add what a gate needs to reach hosts and read the inventory."""
    for option in reversed(_ACCESS):
        command = option(command)
    return command


def ansible_options(command: Command) -> Command:
    """Add all options; their values reach `build_options` as keyword arguments."""
    for option in reversed((*_CHANGE, *_ACCESS)):
        command = option(command)
    return command


def check_option(command: Command) -> Command:
    """Add --check."""
    return click.option(
        "--check", is_flag=True, help="Dry run: playbooks in check mode, no change."
    )(command)


def given(options: AnsibleOptions) -> tuple[str, ...]:
    """The names of what a run is given that no journal keeps: it may be secret, or is a trust.

    A run that goes on must be given the same again.
    """
    named = {
        "--become-password-file": options.become_password,
        "--private-key": options.private_key,
        "--trust-inventory": options.trust_inventory,
        "--vault-id": options.vault_ids,
        "--vault-password-file": options.vault_password_file,
    }
    return (
        *(f"--extra-vars {name}" for name in sorted(options.extra_vars)),
        *(name for name, value in named.items() if value),
    )


def build_options(  # noqa: PLR0913 -- one for each option, by name
    *,
    vault_id: tuple[str, ...] = (),
    vault_password_file: Path | None = None,
    private_key: Path | None = None,
    extra_vars: Iterable[str] = (),
    ask_become_pass: bool = False,
    become_password_file: Path | None = None,
    forks: int | None = None,
    check: bool = False,
    diff: bool = False,
    trust_inventory: bool = False,
) -> AnsibleOptions:
    """What was typed, as values; asks for the become password where that was wanted.

    Raises:
        InputError: an extra variable is not data, or a file cannot be read.
    """
    password: str | None = None
    if ask_become_pass and become_password_file:
        raise InputError("--ask-become-pass and --become-password-file exclude each other")
    if ask_become_pass:
        password = click.prompt("BECOME password", hide_input=True, err=True)
    elif become_password_file:
        password = _text(become_password_file).rstrip("\n")
    return AnsibleOptions(
        extra_vars=parse_extra_vars(extra_vars),
        vault_ids=vault_id,
        vault_password_file=vault_password_file.absolute() if vault_password_file else None,
        become_password=password,
        private_key=private_key.absolute() if private_key else None,
        forks=forks,
        check=check,
        diff=diff,
        trust_inventory=trust_inventory,
    )


def parse_extra_vars(values: Iterable[str]) -> dict[str, object]:
    """Each of `key=value ...`, a JSON object, or `@FILE` of YAML or JSON; a later one wins.

    Raises:
        InputError: it is none of these, or it holds a Jinja expression: Ansible would run that on
            this machine, as this user.
    """
    found: dict[str, object] = {}
    for value in values:
        found.update(_one(value))
    _refuse_templates("", found)
    return found


def _one(value: str) -> Mapping[str, object]:
    if value.startswith("@"):
        path = Path(value[1:])
        if _text(path).startswith("$ANSIBLE_VAULT"):
            raise InputError(
                f"--extra-vars {value}: the file is encrypted",
                hint="Put it into the inventory's group_vars, where Ansible decrypts it.",
            )
        content = read_yaml(path)
    elif value.lstrip().startswith(("{", "[")):
        try:
            content = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise InputError(f"--extra-vars {_brief(value)}: not JSON: {error}") from error
    else:
        return dict(_pairs(value))
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise InputError(
            f"--extra-vars {value}: not a mapping of names to values",
            hint='Write {"name": "value"}.',
        )
    return content


def _pairs(value: str) -> Iterable[tuple[str, str]]:
    _refuse_templates("", value)
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise InputError(f"--extra-vars {value}: {error}") from error
    for word in words:
        name, equals, text = word.partition("=")
        if not (equals and name.isidentifier()):
            raise InputError(
                f"--extra-vars {value}: {word!r} is not key=value",
                hint="Write key=value, JSON, or @FILE.",
            )
        yield name, text


def _refuse_templates(place: str, value: object, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise InputError(
            f"--extra-vars {_brief(place)}: nested deeper than {MAX_DEPTH} levels",
            hint="Flatten it.",
        )
    match value:
        case str() if is_template(value):
            raise InputError(
                f"--extra-vars{place and ' '}{place}: Jinja is refused",
                hint="Ansible would run it on this machine: give the value itself.",
            )
        case dict():
            for key, inner in value.items():
                _refuse_templates(f"{place}.{key}" if place else str(key), str(key))
                _refuse_templates(f"{place}.{key}" if place else str(key), inner, depth + 1)
        case list():
            for number, inner in enumerate(value):
                _refuse_templates(f"{place}[{number}]", inner, depth + 1)
        case _:
            pass


def _brief(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _text(path: Path) -> str:
    """What a file written by hand holds; one without an end is not read to it."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 1024} KiB")
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
