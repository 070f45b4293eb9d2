"""How each host is reached, as its inventory and the project's ansible.cfg say: read, never run.

Of the arguments for ssh only settings are kept. One that would run a command on the controller
(ProxyCommand, LocalCommand, another ssh) is named in `refused`: such a host is not spoken to before
a person recovers by the project.
"""

from __future__ import annotations

import configparser
import ipaddress
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from orchestrator.references import plain
from orchestrator.route import OPTIONS

# fmt: off
# Options of ssh_config(5) that read nothing but keys, and run and write nothing; in lower case.
_SETTINGS = {
    "addressfamily", "batchmode", "certificatefile", "ciphers", "compression",
    "connectionattempts", "connecttimeout", "globalknownhostsfile", "gssapiauthentication",
    "hashknownhosts", "hostkeyalgorithms", "hostkeyalias", "hostname", "identitiesonly",
    "identityfile", "ipqos", "kbdinteractiveauthentication", "kexalgorithms", "loglevel", "macs",
    "passwordauthentication", "port", "preferredauthentications", "proxyjump",
    "pubkeyacceptedalgorithms", "pubkeyauthentication", "serveralivecountmax",
    "serveraliveinterval", "tcpkeepalive", "user", "userknownhostsfile", "verifyhostkeydns",
}
# Ours are set otherwise before these: no connection is shared or kept, no key learnt.
_LEFT_OUT = {
    "checkhostip", "controlmaster", "controlpath", "controlpersist", "stricthostkeychecking",
    "updatehostkeys",
}
# fmt: on
_PLAIN_WORD = r"(?!-)[\w.:%@+\[\]-]*"
_PLAIN_VALUE = re.compile(r"(?!.*[=,@\s]-)(?!-)[\w.:%@+\[\]/~,*=\" -]+", re.ASCII)
_PLAIN_FLAGS = frozenset({"-C", "-T", "-q", "-4", "-6", "-x", "-a", "-v", "-n", "-k"})


@dataclass(frozen=True, kw_only=True)
class Reach:
    """One host: what its address is (None: only Ansible could tell), and how ssh gets there.

    `own` are all its addresses and names that are known; `arguments` are words for ssh.
    """

    host: str
    address: str | None
    over_ssh: bool = True
    port: str | None = None
    user: str | None = None
    key: Path | None = None
    arguments: tuple[str, ...] = ()
    refused: str = ""
    own: frozenset[str] = frozenset()


def reach_of(
    host: str,
    variables: Mapping[str, object],
    *,
    itself: Mapping[str, object],
    settings: configparser.ConfigParser,
    private_key: Path | None = None,
) -> Reach:
    """How a host is reached; `itself` are the variables that are this host's and no group's."""
    known = plain(host, variables)

    def get(option: str) -> str | None:
        names, _, places, default = OPTIONS[option]
        for name in reversed(names.split()):
            if variables.get(name) is not None:
                return str(known[name]) if name in known else None
        for place in reversed(places.split()):
            section, _, key = place.partition(".")
            value = settings.get(section, key, fallback=None)
            if value is not None:
                return value.strip("\"'")
        return default

    address = get("host") if _said(variables, "host") else host
    connection = (get("connection") or "").rpartition(".")[2]
    words = [get("args"), get("common_args"), get("extra_args")]
    kept, refused = ssh_settings(" ".join(word for word in words if word))
    for what, value, fits in (
        ("ssh_executable", get("executable") or "ssh", "ssh"),
        # ssh hands these to a shell where the way leads through a proxy.
        ("ansible_host", address or "", _PLAIN_WORD),
        ("ansible_user", get("user") or "", _PLAIN_WORD),
        ("ansible_port", get("port") or "", _PLAIN_WORD),
    ):
        if not re.fullmatch(fits, value):
            kept, refused = (), f"{what} {value}"
    key = private_key if private_key and not _said(variables, "private_key") else get("private_key")
    return Reach(
        host=host,
        address=address,
        over_ssh=connection in {"ssh", "smart"},
        port=get("port"),
        user=get("user"),
        key=Path(key).expanduser() if key else None,
        arguments=kept,
        refused=refused,
        own=frozenset({host, *([address] if address else []), *_addresses(host, known, itself)}),
    )


def ssh_settings(text: str) -> tuple[tuple[str, ...], str]:
    """The words of `text` that are settings and no more, and the first that is not (else empty)."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        return (), f"{text!r}: {error}"
    kept: list[str] = []
    while words:
        word = words.pop(0)
        if word in _PLAIN_FLAGS:
            continue
        flag, value = word[:2], word[2:] or (words.pop(0) if words else "")
        if flag == "-J":
            flag, value = "-o", f"ProxyJump={value}"
        if flag in {"-i", "-l", "-p"} and _PLAIN_VALUE.fullmatch(value):
            kept += [flag, value]
        elif flag == "-o":
            name = value.replace("=", " ").split(maxsplit=1)[0].lower() if value.strip() else ""
            if name in _SETTINGS and _PLAIN_VALUE.fullmatch(value):
                kept += ["-o", value]
            elif name not in _LEFT_OUT:
                return (), f"ssh -o {value}"
        else:
            return (), f"ssh {word}"
    return tuple(kept), ""


def is_address(text: str) -> bool:
    """Whether this is an IPv4 or IPv6 address, and no name."""
    try:
        _ip(text)
    except ValueError:
        return False
    return True


def is_loopback(text: str) -> bool:
    """Whether this means the machine that asks, whichever that is."""
    return text == "localhost" or (is_address(text) and _ip(text).is_loopback)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    return ipaddress.ip_address(text.strip("[]").partition("%")[0])


def _said(variables: Mapping[str, object], option: str) -> bool:
    return any(variables.get(name) is not None for name in OPTIONS[option][0].split())


def _addresses(
    host: str, known: Mapping[str, object], itself: Mapping[str, object]
) -> Iterator[str]:
    """Addresses that stand in its own variables, and in `other_addresses` wherever it is set."""
    yield from _addresses_in(plain(host, {**known, **itself}).get("other_addresses"))
    for name in itself:
        yield from _addresses_in(known.get(name))


def _addresses_in(value: object) -> Iterator[str]:
    match value:
        case str():
            text = value.partition("/")[0]  # with the length of its prefix
            if is_address(text):
                yield text
        case list() | tuple():
            for part in value:
                yield from _addresses_in(part)
        case dict():
            for part in value.values():
                yield from _addresses_in(part)
