"""What is wrong with the way to the hosts: keys, certificates, host keys, clocks, jumps, routes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from orchestrator.bootstrap import Passage
from orchestrator.finding import Finding, Severity
from orchestrator.reach import Reach, is_address
from orchestrator.ssh_look import Look

APART = 5.0  # seconds between two clocks that matter to nothing a recovery starts
_SHOWN = re.compile(r"SHA256:[A-Za-z0-9+/]{20,}")
_OFFENDING = re.compile(r"Offending \S+ key in (.+):(\d+)")
_UNKNOWN = re.compile(r"Host key verification failed|No \S+ host key is known for")
_VALID = re.compile(r"Valid: (?:from (\S+) to (\S+)|after (\S+)|before (\S+))")


def passages(reaches: Iterable[Reach], looks: Iterable[Look], routes: str) -> Iterator[Passage]:
    """Through which machines hosts are reached; `routes` is the text of /proc/net/route."""
    address_of = {reach.host: reach.address for reach in reaches if reach.over_ssh}
    for look in looks:
        for hop in look.via:
            where = f"ssh -G {address_of[look.host]}"
            yield Passage(kind="jump", host=look.host, through=hop, where=where)
    for host, address in address_of.items():
        gateway = gateway_of(address, routes) if address and is_address(address) else None
        if gateway:
            yield Passage(
                kind="router", host=host, through=gateway, where=f"ip route get {address}"
            )


def gateway_of(address: str, routes: str) -> str | None:
    """The gateway of the longest IPv4 route to an address; None: it is on a network of our own."""
    best: tuple[int, int] | None = None
    through = None
    for line in routes.splitlines()[1:]:
        words = line.split()
        try:
            target, gateway, metric, mask = (
                *(int.from_bytes(bytes.fromhex(words[n]), "little") for n in (1, 2)),
                int(words[6]),
                int.from_bytes(bytes.fromhex(words[7]), "little"),
            )
            wanted = int(ipaddress.IPv4Address(address))
        except (ValueError, IndexError):
            continue
        rank = (mask.bit_count(), -metric)
        if wanted & mask == target and (best is None or rank > best):
            best, through = rank, gateway
    return str(ipaddress.IPv4Address(through)) if through else None


def key_findings(reaches: Iterable[Reach], looks: Iterable[Look]) -> Iterator[Finding]:
    """Private keys that are missing, unreadable or open to others, certificates out of date."""
    used: dict[Path, str] = {}
    found: dict[Path, None] = {}
    for reach in reaches:
        if reach.over_ssh and reach.key:
            used.setdefault(reach.key, reach.host)
    for look in looks:
        paths = (Path(path).expanduser() for path in look.settings.get("identityfile", ()))
        found |= dict.fromkeys(path for path in paths if path.is_file())
    for path, host in used.items():
        if problem := _unusable(path):
            what, mend = problem
            yield Finding(
                name="key", severity=Severity.BLOCKS, where=str(path),
                what=f"the key for {host} {what}", mend=mend,
            )  # fmt: skip
    for path in dict.fromkeys([*used, *found]):
        certificate = path.with_name(f"{path.name}-cert.pub")
        if certificate.is_file() and (what := _not_valid(certificate)):
            yield Finding(
                name="certificate", severity=Severity.BLOCKS, where=str(certificate),
                what=what, mend="have it signed anew, or log in by a key that needs none",
            )  # fmt: skip


def _unusable(path: Path) -> tuple[str, str] | None:
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return f"cannot be read: {error.strerror}", "put it there, or name another: --private-key"
    if not os.access(path, os.R_OK):
        return "cannot be read by this user", "work as its owner"
    if mode & 0o077:
        return f"is open to others (mode {mode & 0o777:o}): ssh refuses it", f"chmod 600 {path}"
    return None


def _not_valid(certificate: Path) -> str:
    words = ["ssh-keygen", "-L", "-f", str(certificate)]
    try:
        done = subprocess.run(  # noqa: S603 -- fixed words and a path
            words, capture_output=True, text=True, check=False, timeout=2,
            env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ""
    if done.returncode:
        return "is not a certificate"
    valid = _VALID.search(done.stdout)
    if not valid:
        return ""  # for ever
    begin, end = (valid[1] or valid[3]), (valid[2] or valid[4])
    now = datetime.now(UTC)
    if end and now > datetime.fromisoformat(end).replace(tzinfo=UTC):
        return f"expired at {end} UTC"
    if begin and now < datetime.fromisoformat(begin).replace(tzinfo=UTC):
        return f"is valid from {begin} UTC only; it is {now:%Y-%m-%dT%H:%M:%S} here"
    return ""


def host_findings(looks: Iterable[Look]) -> Iterator[Finding]:
    """What hosts that answered have shown: other keys than known, other clocks than ours."""
    looks = tuple(looks)
    for look in looks:
        if "REMOTE HOST IDENTIFICATION HAS CHANGED" in look.said:
            yield _changed(look)
        elif _UNKNOWN.search(look.said):
            yield Finding(
                name="host-key", severity=Severity.WARNS, where=look.host,
                what="its host key is not known here, and nothing is learnt unseen",
                mend="put its key, taken from its console, into known_hosts",
            )  # fmt: skip
        elif "Permission denied" in look.said:
            yield Finding(
                name="key", severity=Severity.WARNS, where=look.host,
                what="it answers, and lets us not in: wrong user or key",
                mend="name the key: --private-key",
            )  # fmt: skip
    yield from clock_findings({k.host: k.apart for k in looks if k.apart is not None})


def clock_findings(apart: Mapping[str, float]) -> Iterator[Finding]:
    """Clocks that are apart; that of the controller when all others agree with each other."""
    off = {host: seconds for host, seconds in apart.items() if abs(seconds) > APART}
    if len(apart) > 1 and len(off) == len(apart) and max(off.values()) - min(off.values()) < APART:
        seconds = next(iter(off.values()))
        yield Finding(
            name="clock", severity=Severity.WARNS, where="controller",
            what=f"{len(off)} hosts agree that this clock is {_way(-seconds)}",
            mend="set this machine's clock: certificates and tickets depend on it",
        )  # fmt: skip
        return
    for host, seconds in off.items():
        yield Finding(
            name="clock", severity=Severity.WARNS, where=host,
            what=f"its clock is {_way(seconds)} of this one",
            mend="certificates and tickets may fail there until the time is recovered",
        )  # fmt: skip


def _way(seconds: float) -> str:
    return f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"


def _changed(look: Look) -> Finding:
    """It fails closed, and only what stands on it waits: the rest of a site can be recovered."""
    shown = _SHOWN.search(look.said)
    known = _OFFENDING.search(look.said)
    before = _fingerprint(Path(known[1]), int(known[2])) if known else ""
    now = f"it shows {shown.group() if shown else 'another key'}"
    where = f"{known[1]}:{known[2]}" if known else "known_hosts"
    return Finding(
        name="host-key", severity=Severity.WARNS, where=look.host,
        what=f"{now}, known is {before or 'another'} ({where})",
        mend="it will not be spoken to; if it was rebuilt on purpose, put its new key there",
    )  # fmt: skip


def _fingerprint(path: Path, line: int) -> str:
    """SHA-256 of the key in a line of known_hosts, as OpenSSH writes it; empty if there is none."""
    try:
        words = path.read_text(encoding="utf-8", errors="replace").splitlines()[line - 1].split()
        key = next(word for word in words if word.startswith("AAAA"))
        digest = hashlib.sha256(base64.b64decode(key, validate=True)).digest()
    except (OSError, IndexError, StopIteration, binascii.Error):
        return ""
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")
