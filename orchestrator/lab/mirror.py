"""The Debian mirror that this machine's apt is configured with: the lab's images come from it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

APT = Path("/etc/apt")
KEYRING = "debian-archive-keyring"
_ONE_LINE = re.compile(r"deb\s+(?:\[([^]]*)\]\s+)?(https?://\S+)\s+(\S+)\s+(\S.*)")


@dataclass(frozen=True, kw_only=True)
class _Entry:
    key: str
    address: str
    suite: str
    components: tuple[str, ...]


def mirror_of(suite: str, apt: Path = APT) -> tuple[str, ...]:
    """The lines of a sources.list for a suite of Debian, its updates and its security updates.

    Those that this machine's own apt uses, from both kinds of its files; none where it has no
    Debian of that suite, so that whoever asks falls back on Debian's own mirror. Only what Debian
    has signed is taken: other archives have keys that an image does not have.
    """
    suites = (suite, f"{suite}-updates", f"{suite}-security")
    found = [
        entry
        for entry in _entries(apt)
        if entry.suite in suites and "main" in entry.components and _is_debians(entry)
    ]
    if suite not in {entry.suite for entry in found}:
        return ()
    return tuple(dict.fromkeys(map(_line, found)))


def _is_debians(entry: _Entry) -> bool:
    if entry.key:
        return KEYRING in entry.key and len(entry.key.split()) == 1
    return "debian" in entry.address


def _line(entry: _Entry) -> str:
    key = f"[signed-by={entry.key}] " if entry.key else ""
    return f"deb {key}{entry.address} {entry.suite} {' '.join(entry.components)}"


def _entries(apt: Path) -> Iterator[_Entry]:
    """Every binary archive that is switched on and reached over HTTP."""
    folder = apt / "sources.list.d"
    for path in (apt / "sources.list", *sorted(folder.glob("*.list"))):
        for line in _text(path).splitlines():
            found = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
            if found:
                options = dict(o.split("=", 1) for o in (found[1] or "").split() if "=" in o)
                key, components = options.get("signed-by", ""), tuple(found[4].split())
                yield _Entry(key=key, address=found[2], suite=found[3], components=components)
    for path in sorted(folder.glob("*.sources")):
        for stanza in re.split(r"\n\s*\n", _text(path)):
            yield from _of_stanza(_fields(stanza))


def _of_stanza(fields: Mapping[str, str]) -> Iterator[_Entry]:
    if "deb" not in fields.get("types", "").split() or fields.get("enabled") in {"no", "false"}:
        return
    for address in fields.get("uris", "").split():
        for suite in fields.get("suites", "").split():
            if address.startswith(("http://", "https://")):
                key, components = fields.get("signed-by", ""), fields.get("components", "")
                yield _Entry(
                    key=key, address=address, suite=suite, components=tuple(components.split())
                )


def _fields(stanza: str) -> dict[str, str]:
    """A deb822 stanza: names in small letters; a line that begins with a space goes on with it."""
    fields: dict[str, str] = {}
    name = ""
    for line in stanza.splitlines():
        if line.startswith("#"):
            continue
        if line[:1].isspace():
            fields[name] = f"{fields.get(name, '')} {line.strip()}".strip()
            continue
        name, _, value = line.partition(":")
        name = name.strip().lower()
        fields[name] = value.strip()
    return fields


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
