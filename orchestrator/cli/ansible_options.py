"""The options that pass through to Ansible, under the names its users know."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import click

from orchestrator.attempt import in_memory, private_folder
from orchestrator.errors import InputError, MachineError
from orchestrator.inventory import Passwords
from orchestrator.jinja import holds_template
from orchestrator.project import find_project, site_folder
from orchestrator.vault import opened, read_passwords
from orchestrator.work import AnsibleOptions
from orchestrator.yaml_file import MAX_BYTES, MAX_DEPTH, read_yaml

Command = TypeVar("Command", bound=Callable[..., object])

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_VAULT = (
    click.option("--vault-id", multiple=True, metavar="LABEL@SOURCE", help=(
        "A vault password: of a file, a script or a prompt; repeatable."
    )),
    click.option("--vault-password-file", type=_FILE, help="The file of the vault's password."),
)  # fmt: skip
_ACCESS = (
    click.option("-e", "--extra-vars", multiple=True, metavar="VARS", help=(
        "Variables for every host: key=value, JSON, or @FILE. Data only, no Jinja; repeatable."
    )),
    *_VAULT,
    click.option("--private-key", type=_FILE, help="The SSH private key."),
    click.option("-K", "--ask-become-pass", is_flag=True, help="Ask for the become password."),
    click.option("--become-password-file", type=_FILE, help="The file of the become password."),
)  # fmt: skip
_CHANGE = (
    click.option("--forks", type=click.IntRange(1, 500), help="Hosts at once, for each playbook."),
    click.option("--check", is_flag=True, help="Dry run: playbooks in check mode, no change."),
    click.option("--diff", is_flag=True, help="Keep what changes in files: drcli show, and logs."),
)


def vault_options(command: Command) -> Command:
    """Add what opens a vault; the values reach `vault_passwords`."""
    return _with(command, _VAULT)


def access_options(command: Command) -> Command:
    """Add what a gate needs to reach hosts and to read the inventory."""
    return _with(command, _ACCESS)


def ansible_options(command: Command) -> Command:
    """Add all options; their values reach `build_options` as keyword arguments."""
    return _with(command, (*_ACCESS, *_CHANGE))


def vault_passwords(
    project: Path,
    vault_id: tuple[str, ...],
    vault_password_file: Path | None,
    *,
    runs: bool = False,
) -> Passwords:
    """The vault passwords that were named, asked for where that was wanted.

    Of what ansible.cfg names nothing is run, unless the project is run anyway.

    Raises:
        InputError: one of them cannot be read.
    """
    return read_passwords(project, vault_id, vault_password_file, _ask, runs=runs)


def build_options(  # noqa: PLR0913 -- one for each option, by name
    site: str,
    *,
    extra_vars: tuple[str, ...] = (),
    vault_id: tuple[str, ...] = (),
    vault_password_file: Path | None = None,
    private_key: Path | None = None,
    ask_become_pass: bool = False,
    become_password_file: Path | None = None,
    forks: int | None = None,
    check: bool = False,
    diff: bool = False,
) -> AnsibleOptions:
    """What was typed for a run of a site, as values; asks for passwords where that was wanted.

    Raises:
        InputError: no such site, an extra variable is not data, a file cannot be read, or a vault
            of the site is not opened.
        MachineError: there is no memory to hand secrets to Ansible in.
    """
    project = find_project()
    folder = site_folder(project, site)
    if ask_become_pass and become_password_file:
        raise InputError(
            "--ask-become-pass and --become-password-file exclude each other", hint="Give one."
        )
    variables = parse_extra_vars(extra_vars)
    vault = vault_passwords(project, vault_id, vault_password_file, runs=True)
    known = opened(folder, project / "playbooks", vault)
    password = _ask("BECOME password") if ask_become_pass else None
    if become_password_file:
        password = _text(become_password_file).rstrip("\r\n")
    if password == "":
        raise InputError("the become password is empty", hint="Leave it out, or give it.")
    if variables or vault or password:
        _require_memory()
    return AnsibleOptions(
        extra_vars=variables,
        vault=vault,
        opened=known,
        become_password=password,
        private_key=private_key.absolute() if private_key else None,
        forks=forks,
        check=check,
        diff=diff,
    )


def parse_extra_vars(values: Iterable[str]) -> dict[str, object]:
    """Each of `key=value ...`, a JSON object, or `@FILE` of YAML or JSON; a later one wins.

    No error shows a value: it may be secret.

    Raises:
        InputError: it is none of these, or it holds a Jinja expression: Ansible would run that on
            this machine, as this user.
    """
    found: dict[str, object] = {}
    for value in values:
        for name, content in _one(value).items():
            _refuse_depth(name, content)
            _refuse_no_text(name, content)
            if holds_template({name: content}):
                raise InputError(
                    f"--extra-vars {name}: Jinja is refused",
                    hint="Ansible would run it on this machine: give the value itself.",
                )
            found[name] = content
    return found


def _one(value: str) -> Mapping[str, object]:
    content: object
    if value.startswith("@"):
        path = Path(value[1:])
        if _text(path).startswith("$ANSIBLE_VAULT"):
            raise InputError(
                f"--extra-vars {value}: the file is encrypted",
                hint="Put it into the inventory's group_vars, where Ansible decrypts it.",
            )
        content = read_yaml(path)
        given = value
    elif value.lstrip().startswith(("{", "[")):
        given = "(JSON)"
        try:
            content = json.loads(value)
        except (ValueError, RecursionError) as error:
            where = f"line {error.lineno}, column {error.colno}: " if isinstance(
                error, json.JSONDecodeError
            ) else ""  # fmt: skip
            said = error.msg if isinstance(error, json.JSONDecodeError) else "too deep"
            raise InputError(f"--extra-vars: not JSON: {where}{said}") from None
    else:
        return dict(_pairs(value))
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and key.isidentifier() for key in content
    ):
        raise InputError(
            f"--extra-vars {given}: not a mapping of names to values",
            hint='Write {"name": "value"}.',
        )
    return content


def _pairs(value: str) -> Iterable[tuple[str, str]]:
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise InputError(f"--extra-vars: {error}", hint="Close the quotes.") from None
    if not words:
        raise InputError("--extra-vars: it is empty", hint="Write key=value, JSON, or @FILE.")
    for number, word in enumerate(words, start=1):
        name, equals, text = word.partition("=")
        if not (equals and name.isidentifier()):
            raise InputError(
                f"--extra-vars: word {number} is not key=value",
                hint="Write key=value, JSON, or @FILE; quote a value that has spaces.",
            )
        yield name, text


def _refuse_depth(name: str, value: object, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise InputError(
            f"--extra-vars {name}: nested deeper than {MAX_DEPTH} levels", hint="Flatten it."
        )
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for each in inner:
        _refuse_depth(name, each, depth + 1)


def _refuse_no_text(name: str, value: object) -> None:
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        raise InputError(f"--extra-vars {name}: it is no text", hint="Write it in UTF-8.") from None


def _require_memory() -> None:
    with private_folder() as folder:
        if not in_memory(folder):
            raise MachineError(
                f"no folder in memory to hand secrets to Ansible in: {folder.parent} is on a disk",
                hint="Mount a tmpfs at /dev/shm.",
            )


def _ask(prompt: str) -> str:
    try:
        with Path("/dev/tty").open("rb"):
            pass
    except OSError:
        raise InputError(
            f"{prompt}: there is no terminal to ask at", hint="Give it by a file."
        ) from None
    answer: str = click.prompt(prompt, hide_input=True, err=True)
    return answer


def _with(command: Command, options: Iterable[Callable[[Command], Command]]) -> Command:
    for option in reversed(tuple(options)):
        command = option(command)
    return command


def _text(path: Path) -> str:
    """What a file written by hand holds; one without an end is not read to it."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise InputError(f"{path}: larger than {MAX_BYTES // 1024} KiB")
        return raw.decode()
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is no text"
        raise InputError(f"{path}: cannot be read: {said}") from error
