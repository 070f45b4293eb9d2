"""What this controller relies on, as its own files say: name servers, vaults, mirrors, and so on.

Files are read, nothing is asked or run; what this user cannot read says nothing. Every folder is an
argument, so that another controller can be described.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.project import project_settings

_LARGEST = 1_048_576  # bytes of a file that is looked at
_URL = re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>\\,;\]})]+", re.IGNORECASE)
_VAULT_CALL = re.compile(r"hashi_vault|vault_kv2|vault_read|VAULT_ADDR", re.IGNORECASE)
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")
_DIRECTORY_KEYS = {"uri", "host", "ldap_uri", "ldap_backup_uri", "ipa_server", "ad_server"}
_DIRECTORY_KEYS |= {"krb5_server", "kdc"}
_NETWORK_DISKS = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
}


@dataclass(frozen=True, kw_only=True)
class Controller:
    """Where a controller's files lie, and whose they are; inventories that must be `asked`."""

    project: Path
    state: Path
    etc: Path = Path("/etc")
    proc: Path = Path("/proc")
    home: Path = field(default_factory=Path.home)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    user: str = ""
    vault_sources: tuple[str, ...] = ()
    asked: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Reliance:
    """Something the controller asks: `kind` as in `bootstrap-KIND`, `target` a name or address."""

    kind: str
    target: str
    where: str


def reliances(controller: Controller) -> tuple[Reliance, ...]:
    """All that is found, each once."""
    found = [
        *_dns(controller),
        *_time(controller),
        *_directory(controller),
        *_vault(controller),
        *(reliance for path in controller.asked for reliance in _urls(path, "inventory")),
        *_services(controller),
        *_mirrors(controller),
        *_registries(controller),
        *_git(controller),
        *_storage(controller),
        *_tunnels(controller),
    ]
    return tuple(dict.fromkeys(found))


def local_names(controller: Controller) -> dict[str, str]:
    """The names that /etc/hosts gives an address to: no name server is asked for them."""
    found: dict[str, str] = {}
    for _, words in _words(controller.etc / "hosts"):
        found |= {name.lower(): words[0] for name in words[1:] if name.lower() not in found}
    return found


def local_user(controller: Controller) -> bool:
    """Whether the user's own entry stands in /etc/passwd, and not in a directory alone."""
    entries = (line.split(":")[0] for _, line in _lines(controller.etc / "passwd"))
    return not controller.user or controller.user in entries


def _dns(controller: Controller) -> Iterator[Reliance]:
    for name in ("resolv.conf", "systemd/resolved.conf"):
        path = controller.etc / name
        for number, line in _lines(path):
            key, _, rest = line.replace("=", " ", 1).partition(" ")
            if key.lower() in {"nameserver", "dns", "fallbackdns"}:
                for word in rest.split():
                    server = word.partition("#")[0].partition("%")[0]
                    yield Reliance(kind="dns", target=server, where=f"{path}:{number}")


def _time(controller: Controller) -> Iterator[Reliance]:
    etc = controller.etc
    for path in (
        *(etc / name for name in ("chrony/chrony.conf", "chrony.conf", "ntp.conf")),
        *(etc / name for name in ("ntpsec/ntp.conf", "systemd/timesyncd.conf")),
        *_in(etc / "chrony/conf.d"),
        *_in(etc / "chrony/sources.d"),
    ):
        for number, line in _lines(path):
            words = line.replace("=", " ", 1).split()
            if words and words[0].lower() in {"server", "pool", "peer"}:
                yield Reliance(
                    kind="time", target=words[1] if words[1:] else "", where=f"{path}:{number}"
                )
            elif words and words[0].lower() in {"ntp", "fallbackntp"}:
                for word in words[1:]:
                    yield Reliance(kind="time", target=word, where=f"{path}:{number}")


def _directory(controller: Controller) -> Iterator[Reliance]:
    """Where users, groups and sudo's rules come from a directory, the servers that keep it."""
    switch = controller.etc / "nsswitch.conf"
    sources = {
        word
        for _, line in _lines(switch)
        if line.partition(":")[0].strip() in {"passwd", "group", "shadow", "sudoers"}
        for word in line.partition(":")[2].split()
    }
    etc = controller.etc
    files: list[Path] = []
    if "ldap" in sources:
        files += [etc / "ldap/ldap.conf", etc / "openldap/ldap.conf", etc / "ldap.conf"]
        files += [etc / "nslcd.conf", etc / "sudo-ldap.conf"]
    if "sss" in sources:
        files += [etc / "sssd/sssd.conf", *_in(etc / "sssd/conf.d"), etc / "krb5.conf"]
    for path in files:
        for number, line in _lines(path):
            key, _, value = line.replace("=", " ", 1).partition(" ")
            if key.lower() in _DIRECTORY_KEYS:
                for word in value.replace("=", " ").replace(",", " ").split():
                    yield Reliance(
                        kind="directory", target=_host_of(word), where=f"{path}:{number}"
                    )


def _vault(controller: Controller) -> Iterator[Reliance]:
    for name in ("VAULT_ADDR", "ANSIBLE_HASHI_VAULT_ADDR"):
        if controller.environ.get(name):
            yield Reliance(
                kind="vault", target=_host_of(controller.environ[name]), where=f"${name}"
            )
    config = controller.project / "ansible.cfg"
    settings = project_settings(config)
    for section in settings.sections():
        if "vault" in section and (url := settings.get(section, "url", fallback="")):
            yield Reliance(kind="vault", target=_host_of(url), where=str(config))
    texts = [path for path in _project_texts(controller.project) if _asks_a_vault(path)]
    for path in (*vault_sources(controller), *texts):
        yield from _urls(path, "vault")


def _asks_a_vault(path: Path) -> bool:
    return any(_VAULT_CALL.search(line) for _, line in _lines(path))


def _urls(path: Path, kind: str) -> Iterator[Reliance]:
    for number, line in _lines(path):
        for url in _URL.findall(line):
            yield Reliance(kind=kind, target=_host_of(url), where=f"{path}:{number}")


def vault_sources(controller: Controller) -> tuple[Path, ...]:
    """The files and scripts that vault passwords come from, of the command line and ansible.cfg."""
    settings = project_settings(controller.project / "ansible.cfg")
    named = [
        *controller.vault_sources,
        settings.get("defaults", "vault_password_file", fallback=""),
    ]
    named += settings.get("defaults", "vault_identity_list", fallback="").split(",")
    sources = (name.rpartition("@")[2].strip().strip("\"'") for name in named)
    return tuple(
        controller.project / Path(source).expanduser()
        for source in dict.fromkeys(sources)
        if source and source not in {"prompt", "prompt_ask_vault_pass"}
    )


def _services(controller: Controller) -> Iterator[Reliance]:
    for name, kind in (("DRCLI_JOURNAL", "journal"), ("DRCLI_CLUSTER", "cluster")):
        if controller.environ.get(name):
            yield Reliance(kind=kind, target=_host_of(controller.environ[name]), where=f"${name}")
    for name in (*_PROXIES, *(name.upper() for name in _PROXIES)):
        if controller.environ.get(name):
            yield Reliance(
                kind="proxy", target=_host_of(controller.environ[name]), where=f"${name}"
            )


def _mirrors(controller: Controller) -> Iterator[Reliance]:
    etc, home, project = controller.etc, controller.home, controller.project
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "ANSIBLE_GALAXY_SERVER"):
        for url in _URL.findall(controller.environ.get(name, "")):
            yield Reliance(kind="mirror", target=_host_of(url), where=f"${name}")
    mirrors = [etc / "pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"]
    mirrors += [
        etc / "apt/sources.list",
        *_in(etc / "apt/sources.list.d"),
        *_in(etc / "yum.repos.d"),
    ]
    mirrors += [project / "playbooks/requirements.yml"]
    for path in mirrors:
        yield from _urls(path, "mirror")
    settings = project_settings(project / "ansible.cfg")
    for section in settings.sections():
        for url in _URL.findall(" ".join(settings[section].values())):
            if section.startswith("galaxy"):
                where = str(project / "ansible.cfg")
                yield Reliance(kind="mirror", target=_host_of(url), where=where)


def _registries(controller: Controller) -> Iterator[Reliance]:
    folder = controller.etc / "containers"
    for path in (folder / "registries.conf", *_in(folder / "registries.conf.d")):
        for number, line in _lines(path):
            if line.split("=")[0].strip() in {
                "location",
                "unqualified-search-registries",
                "prefix",
            }:
                for name in re.findall(r'"([^"]+)"', line):
                    yield Reliance(kind="registry", target=_host_of(name), where=f"{path}:{number}")


def _git(controller: Controller) -> Iterator[Reliance]:
    path = controller.project / ".git/config"
    for number, line in _lines(path):
        key, _, value = line.partition("=")
        if key.strip() in {"url", "pushurl"}:
            yield Reliance(kind="git", target=_host_of(value.strip()), where=f"{path}:{number}")


def _storage(controller: Controller) -> Iterator[Reliance]:
    """Where the controller's own memory, the project or the user's home lie on a server's disk."""
    mounts = controller.proc / "mounts"
    found = [line.split()[:3] for _, line in _lines(mounts)]
    for folder in (controller.state, controller.project, controller.home):
        above = [m for m in found if len(m) == 3 and folder.is_relative_to(_unescaped(m[1]))]  # noqa: PLR2004
        source, at, kind = max(above, key=lambda m: len(m[1]), default=("", "", ""))
        if kind in _NETWORK_DISKS:
            for server in source.removeprefix("//").split(","):
                target = _host_of(server.rpartition("@")[2])
                yield Reliance(kind="storage", target=target, where=f"{folder} (mounted at {at})")


def _tunnels(controller: Controller) -> Iterator[Reliance]:
    for path in (*_in(controller.etc / "wireguard"), *_in(controller.etc / "openvpn")):
        for number, line in _lines(path):
            words = line.replace("=", " ", 1).split()
            if words[1:] and words[0].lower() in {"endpoint", "remote"}:
                yield Reliance(kind="vpn", target=_host_of(words[1]), where=f"{path}:{number}")


def _host_of(text: str) -> str:
    """The host of a URL, of HOST:PATH as Git, NFS and scp write it, or of HOST:PORT."""
    text = text.strip().strip("\"'")
    if "://" in text:
        try:
            return (urlsplit(text).hostname or "").strip("[]")
        except ValueError:
            return ""
    text = text.rpartition("@")[2]
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text if text.count(":") > 1 else re.split("[:/]", text, maxsplit=1)[0]


def _unescaped(text: str) -> str:
    """A path of /proc/mounts, where a blank is written as an octal number."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m.group(1), 8)), text)


def _project_texts(project: Path) -> Iterator[Path]:
    for folder in ("inventories", "playbooks"):
        for kind in ("*.yml", "*.yaml"):
            yield from sorted((project / folder).rglob(kind))


def _in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file())
    except OSError:
        return []


def _words(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in _lines(path):
        words = line.split()
        if len(words) > 1:
            yield number, words


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file with their numbers, without comments; none when it cannot be read."""
    try:
        if not path.is_file():
            return
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LARGEST)
    except OSError:
        return
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare and bare[0] not in "#;":
            yield number, re.sub(r"\s#.*", "", bare)
