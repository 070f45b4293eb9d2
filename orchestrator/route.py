"""How a host is reached: from an inventory, as Ansible reads it, or from user, host and port.

Ansible itself is not loaded: that alone takes longer than the checks of many a gate. Where it looks
is told by `OPTIONS`: the variables, environment and ansible.cfg entries of its connection and
become plugins. Only a value that is a template is given to Ansible.

Host keys are checked as ssh's own configuration says. `host_key_checking = False` of an ansible.cfg
is not followed.
"""

from __future__ import annotations

import configparser
import getpass
import hashlib
import os
import re
import shlex
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

READY = "drcli-shell-is-ready"  # what a shell says that was reached past a password
_PROMPT = "drcli-asks-for-the-become-password:"
_TRUE = {"y", "yes", "on", "1", "true", "t", "1.0"}
_NO_PASSWORD = (
    *("-o", "KbdInteractiveAuthentication=no"),
    *("-o", "PreferredAuthentications=gssapi-with-mic,gssapi-keyex,hostbased,publickey"),
    *("-o", "PasswordAuthentication=no"),
)

# Each option: its variables, its environment, its places in ansible.cfg, its default. Variables win
# over environment over file; of several of a kind the last that is set.
_Option = tuple[str, str, str, str | None]
OPTIONS: Mapping[str, _Option] = {
    "connection": ("ansible_connection", "ANSIBLE_TRANSPORT", "defaults.transport", "ssh"),
    "host": ("ansible_host ansible_ssh_host", "", "", None),
    "port": ("ansible_port ansible_ssh_port", "ANSIBLE_REMOTE_PORT", "defaults.remote_port", None),
    "user": ("ansible_user ansible_ssh_user", "ANSIBLE_REMOTE_USER", "defaults.remote_user", None),
    "password": ("ansible_password ansible_ssh_pass ansible_ssh_password", "", "", None),
    "private_key": (
        "ansible_private_key_file ansible_ssh_private_key_file",
        "ANSIBLE_PRIVATE_KEY_FILE",
        "defaults.private_key_file",
        None,
    ),
    "timeout": (
        "ansible_ssh_timeout",
        "ANSIBLE_TIMEOUT ANSIBLE_SSH_TIMEOUT",
        "defaults.timeout ssh_connection.timeout",
        "10",
    ),
    "executable": (
        "ansible_ssh_executable",
        "ANSIBLE_SSH_EXECUTABLE",
        "ssh_connection.ssh_executable",
        "ssh",
    ),
    "args": (
        "ansible_ssh_args",
        "ANSIBLE_SSH_ARGS",
        "ssh_connection.ssh_args",
        "-C -o ControlMaster=auto -o ControlPersist=60s",
    ),
    "common_args": (
        "ansible_ssh_common_args",
        "ANSIBLE_SSH_COMMON_ARGS",
        "ssh_connection.ssh_common_args",
        "",
    ),
    "extra_args": (
        "ansible_ssh_extra_args",
        "ANSIBLE_SSH_EXTRA_ARGS",
        "ssh_connection.ssh_extra_args",
        "",
    ),
    "control_path": (
        "ansible_control_path",
        "ANSIBLE_SSH_CONTROL_PATH",
        "ssh_connection.control_path",
        None,
    ),
    "control_path_dir": (
        "ansible_control_path_dir",
        "ANSIBLE_SSH_CONTROL_PATH_DIR",
        "ssh_connection.control_path_dir",
        "~/.ansible/cp",
    ),
    "become": ("ansible_become", "ANSIBLE_BECOME", "privilege_escalation.become", "no"),
    "become_method": (
        "ansible_become_method",
        "ANSIBLE_BECOME_METHOD",
        "privilege_escalation.become_method",
        "sudo",
    ),
    "become_same_user": (
        "",
        "ANSIBLE_BECOME_ALLOW_SAME_USER",
        "privilege_escalation.become_allow_same_user",
        "no",
    ),
}
# What Ansible's own connection can do and a session cannot: said, never passed over in silence.
_ANSIBLE_ALONE: Mapping[str, _Option] = {
    "private_key": (
        "ansible_private_key ansible_ssh_private_key",
        "ANSIBLE_PRIVATE_KEY",
        "",
        None,
    ),
    "pkcs11_provider": (
        "ansible_ssh_pkcs11_provider",
        "ANSIBLE_PKCS11_PROVIDER",
        "ssh_connection.pkcs11_provider",
        None,
    ),
    "sshpass_prompt": (
        "ansible_sshpass_prompt",
        "ANSIBLE_SSHPASS_PROMPT",
        "ssh_connection.sshpass_prompt",
        None,
    ),
}
_BECOME: Mapping[str, _Option] = {
    "user": (
        "ansible_become_user ansible_{}_user",
        "ANSIBLE_BECOME_USER ANSIBLE_{}_USER",
        "privilege_escalation.become_user {}_become_plugin.user",
        "root",
    ),
    "exe": (
        "ansible_become_exe ansible_{}_exe",
        "ANSIBLE_BECOME_EXE ANSIBLE_{}_EXE",
        "privilege_escalation.become_exe {}_become_plugin.executable",
        None,
    ),
    "flags": (
        "ansible_become_flags ansible_{}_flags",
        "ANSIBLE_BECOME_FLAGS ANSIBLE_{}_FLAGS",
        "privilege_escalation.become_flags {}_become_plugin.flags",
        None,
    ),
    "password": (
        "ansible_become_password ansible_become_pass ansible_{}_pass",
        "ANSIBLE_BECOME_PASS ANSIBLE_{}_PASS",
        "{}_become_plugin.password",
        None,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Route:
    """A command of this machine that has the host run its last word, and that word: a shell.

    The SSH password goes to sshpass through a pipe; the become password to the standard input, when
    `prompt` is read on standard error (empty: su's prompt, in whatever language).
    """

    words: tuple[str, ...]
    connection: str = "ssh"
    shell: str = "exec /bin/sh"
    prompt: str = ""
    ssh_password: str | None = field(default=None, repr=False)
    become_password: str | None = field(default=None, repr=False)


def ssh_route(  # noqa: PLR0913 -- what `ssh` itself is told
    host: str,
    *,
    user: str | None = None,
    port: str | None = None,
    password: str | None = None,
    config: str | None = None,
    identity: str | None = None,
    timeout: int = 10,
) -> Route:
    """The way to a host that is in no inventory: all else is told by ssh's own configuration."""
    words = ["ssh"]
    words += ["-F", config] if config else []
    words += ["-o", f"User={user}"] if user else []
    words += ["-o", f"Port={port}"] if port else []
    words += ["-i", identity] if identity else []
    words += ["-o", f"ConnectTimeout={timeout}", "-T", host]
    return Route(words=tuple(words), ssh_password=password)


def ansible_route(
    name: str, variables: Mapping[str, Any], *, identity: str | None = None
) -> Route | None:
    """The way Ansible would go to a host of an inventory; None for one that only it can go.

    `variables` are the host's, as `ansible-inventory --list` prints them. `identity` counts where
    they name no key, like `--private-key`.

    Raises:
        ValueError: a setting cannot be used; says which.
    """
    settings = _Settings(name, variables)
    connection = (settings.get("connection") or "").rpartition(".")[2]
    if connection in {"ssh", "smart"}:
        words = _ssh(settings, identity)
        return _become(Route(words=words, ssh_password=settings.get("password")), settings)
    if connection == "local":
        return _become(Route(words=("/bin/sh", "-c"), connection=connection), settings)
    if connection in {"podman", "docker"}:
        user = settings.get("user")
        inside = (*(("--user", user) if user else ()), settings.get("host") or name)
        words = (connection, "exec", "--interactive", *inside, "/bin/sh", "-c")
        return _become(Route(words=words, connection=connection), settings)
    return None


class _Settings:
    """The settings of one host."""

    def __init__(self, name: str, variables: Mapping[str, Any]) -> None:
        self.name = name
        self._variables = variables
        self._file = _configuration(*_configuration_file())

    def get(self, option: str) -> str | None:
        return self.find(OPTIONS[option])

    def yes(self, option: str) -> bool:
        return (self.get(option) or "").lower() in _TRUE

    def find(self, option: _Option, method: str = "") -> str | None:
        variables, environment, file, default = option
        for variable in reversed(variables.format(*[method] * 2).split()):
            if self._variables.get(variable) is not None:
                return self._text(variable)
        for name in reversed(environment.format(*[method.upper()] * 2).split()):
            if name in os.environ:
                return os.environ[name]
        for place in reversed(file.format(*[method] * 2).split()):
            section, _, key = place.partition(".")
            value = self._file.get(section, key, fallback=None)
            if value is not None:
                quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
                return value[1:-1] if quoted else value
        return default

    def _text(self, variable: str) -> str:
        value = self._variables[variable]
        if isinstance(value, Mapping):
            raise ValueError(f"{self.name}: {variable} is encrypted, and was not decrypted")  # noqa: TRY004 -- of an inventory
        if isinstance(value, str) and ("{{" in value or "{%" in value):
            value = _templated(self.name, variable, self._variables)
        return str(value)


def _ssh(settings: _Settings, identity: str | None) -> tuple[str, ...]:
    """What Ansible's ssh connection would run, in its order: for ssh, the first of a kind wins."""
    for option, places in _ANSIBLE_ALONE.items():
        if settings.find(places):
            raise ValueError(
                f"{settings.name}: {option} is not known here ({places[0].split()[0]}): name the "
                "key's file, or what `ssh` itself is to do in ansible_ssh_common_args"
            )
    host = settings.get("host") or settings.name
    port, user = settings.get("port"), settings.get("user")
    words = shlex.split(settings.get("args") or "")
    words += ["-o", f"Port={port}"] if port else []
    key = settings.find((OPTIONS["private_key"][0], "", "", identity))
    key = key or settings.get("private_key")
    words += ["-o", f'IdentityFile="{Path(key).expanduser()}"'] if key else []
    words += _NO_PASSWORD if settings.get("password") is None else ()
    words += ["-o", f'User="{user}"'] if user else []
    words += ["-o", f"ConnectTimeout={settings.get('timeout')}"]
    words += shlex.split(settings.get("common_args") or "")
    words += shlex.split(settings.get("extra_args") or "")
    said = " ".join(words).lower()
    if "controlpersist" in said and "controlpath" not in said:
        folder = Path(os.path.expandvars(settings.get("control_path_dir") or "")).expanduser()
        folder = folder.resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = settings.get("control_path") or _control_path(host, port, user)
        try:
            words += ["-o", f'ControlPath="{path % {"directory": folder}}"']
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{settings.name}: control_path cannot be used: {path}") from None
    return (settings.get("executable") or "ssh", *words, "-T", host)


def _control_path(host: str, port: str | None, user: str | None) -> str:
    """Ansible's own name for the socket of a shared connection."""
    name = f"{host}-{port}-{user}".encode()
    return "%(directory)s/" + hashlib.sha1(name, usedforsecurity=False).hexdigest()[:10]


def _become(route: Route, settings: _Settings) -> Route:
    """The route to a shell of the user whom Ansible would become there."""
    if not settings.yes("become"):
        return route
    method = (settings.get("become_method") or "").rpartition(".")[2]
    if method not in {"sudo", "su"}:
        raise ValueError(f"{settings.name}: become_method {method} is not known here: sudo or su")
    user, exe, flags, password = (
        settings.find(_BECOME[option], method) for option in ("user", "exe", "flags", "password")
    )
    here = getpass.getuser() if route.connection == "local" else settings.get("user")
    if user == here and not settings.yes("become_same_user"):
        return route  # nor does Ansible: there may be no sudo where root logs in
    exe, user = exe or method, shlex.quote(user or "root")
    shell = f"/bin/sh -c 'echo {READY}; exec /bin/sh'" if password is not None else "/bin/sh"
    if method == "su":
        text = f"exec {exe} {flags or ''} {user} -c {shlex.quote(f'exec {shell}')}"
        return replace(route, shell=text, become_password=password)
    flags = "-H -S -n" if flags is None else flags
    if password is not None:
        flags = f"{_asking(flags)} -p {_PROMPT}"
    text = f"exec {exe} {flags} -u {user} {shell}"
    return replace(route, shell=text, prompt=_PROMPT, become_password=password)


def _asking(flags: str) -> str:
    """Flags of sudo without the one that forbids it to ask for a password."""
    kept = [flag for flag in shlex.split(flags) if flag not in {"-n", "--non-interactive"}]
    short = [f if f.startswith("--") else re.sub(r"^(-\w*)n(\w*)$", r"\1\2", f) for f in kept]
    return shlex.join(short)


def _configuration_file() -> tuple[Path | None, int]:
    """The ansible.cfg that Ansible would read, and when it was changed."""
    places = []
    if named := os.environ.get("ANSIBLE_CONFIG"):
        path = Path(named).expanduser()
        places.append(path / "ansible.cfg" if path.is_dir() else path)
    if not Path.cwd().stat().st_mode & stat.S_IWOTH:  # anyone could have put one there
        places.append(Path.cwd() / "ansible.cfg")
    places += [Path("~/.ansible.cfg").expanduser(), Path("/etc/ansible/ansible.cfg")]
    for path in places:
        if os.access(path, os.R_OK):
            return path, path.stat().st_mtime_ns
    return None, 0


@cache
def _configuration(path: Path | None, _changed: int) -> configparser.ConfigParser:
    # Ansible reads values raw: a `%` in one means what it says.
    parser = configparser.ConfigParser(inline_comment_prefixes=(";",), interpolation=None)
    if path is not None:
        parser.read(path, encoding="utf-8")
    return parser


def _templated(name: str, variable: str, variables: Mapping[str, Any]) -> Any:  # noqa: ANN401 -- any
    """The value of a variable that is a template; Ansible is loaded for it."""
    from ansible.errors import AnsibleError  # noqa: PLC0415 -- half a second, for few
    from ansible.parsing.dataloader import DataLoader  # noqa: PLC0415
    from ansible.template import Templar, trust_as_template  # noqa: PLC0415

    def trusted(value: Any) -> Any:  # noqa: ANN401 -- any value of an inventory
        if isinstance(value, str):
            return trust_as_template(value)
        if isinstance(value, Mapping):
            return {key: trusted(part) for key, part in value.items()}
        return [trusted(part) for part in value] if isinstance(value, list) else value

    known = {"inventory_hostname": name, **trusted(variables)}
    try:
        return Templar(loader=DataLoader(), variables=known).template(known[variable])
    except AnsibleError as error:
        raise ValueError(f"{name}: {variable} cannot be used: {error}") from None
