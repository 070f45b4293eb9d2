"""What ssh itself says of the way to each host, and what hosts that answer say: bounded, read-only.

No connection is shared or kept, no key learnt, nothing forwarded; one command is run on a host: it
tells its clock. A host that does not answer in time says nothing: it may well be dark.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestrator.attempt import LOCALE
from orchestrator.reach import Reach

LIMIT = 1.5  # seconds for one host, all looked at side by side
_AT_ONCE = 64
_AT_MOST = 10.0  # seconds for `ssh -G`, which speaks to nobody
_MOST_HOPS = 5
_OURS = (
    *("BatchMode=yes", "StrictHostKeyChecking=yes", "UpdateHostKeys=no"),
    *("ControlMaster=no", "ControlPath=none", "PermitLocalCommand=no"),
    *("ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes", "Tunnel=no"),
    *("ConnectTimeout=2", "ConnectionAttempts=1"),
)


@dataclass(frozen=True, kw_only=True)
class Look:
    """One host: its settings as `ssh -G` tells them, and what came of speaking to it.

    `apart` are the seconds its clock is ahead of ours, None when it did not tell; `said` is what
    ssh said; `via` are the machines ssh goes through.
    """

    host: str
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    via: tuple[str, ...] = ()
    apart: float | None = None
    said: str = ""


def look_at(
    reaches: Sequence[Reach], *, limit: float = LIMIT, config: Path | None = None
) -> tuple[Look, ...]:
    """Look at all hosts side by side; speaking to them takes `limit` seconds, however many.

    Of very many hosts that say nothing the last are not spoken to. `config` takes the place of the
    user's ssh_config.
    """
    spoken_to = [r for r in reaches if r.over_ssh and r.address and not r.refused]
    with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="drcli-look") as threads:
        known = list(threads.map(lambda reach: _way(reach, config), spoken_to))
        deadline = time.monotonic() + limit
        return tuple(threads.map(lambda way: _speak(way[0], way[1], deadline), known))


def _way(reach: Reach, config: Path | None) -> tuple[Look, list[str]]:
    """What ssh would do, and the words for it; nobody is spoken to."""
    words = [*_words(reach, config), "-T", "--", str(reach.address)]
    settings = _settings(["ssh", "-G", *words[1:]])
    via = tuple(_hops(settings, config))
    return Look(host=reach.host, settings=settings, via=via), words


def _speak(look: Look, words: Sequence[str], deadline: float) -> Look:
    left = deadline - time.monotonic()
    if left <= 0:
        return look
    begun = time.time()
    printed, said = _run([*words, "date +%s"], left)
    if not re.fullmatch(r"\d{1,12}\s*", printed):
        return replace(look, said=said)
    # It told whole seconds, somewhere between the two moments.
    earliest, latest = int(printed) - time.time(), int(printed) + 1 - begun
    apart = 0.0 if earliest <= 0 <= latest else min(earliest, latest, key=abs)
    return replace(look, said=said, apart=apart)


def _words(reach: Reach, config: Path | None) -> list[str]:
    words = ["ssh", *(["-F", str(config)] if config else [])]
    words += [word for option in _OURS for word in ("-o", option)]
    words += ["-o", f"Port={reach.port}"] if reach.port else []
    words += ["-o", f"User={reach.user}"] if reach.user else []
    words += ["-o", f'IdentityFile="{reach.key}"'] if reach.key else []
    return [*words, *reach.arguments]


def _settings(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in _run(words, _AT_MOST)[0].splitlines():
        name, _, value = line.partition(" ")
        found[name] = (*found.get(name, ()), value)
    return found


def _hops(settings: Mapping[str, tuple[str, ...]], config: Path | None) -> Iterator[str]:
    """The machines that ssh goes through: those of ProxyJump, of each its own, and ProxyCommand."""
    waiting = [settings]
    seen: set[str] = set()
    while waiting and len(seen) < _MOST_HOPS:
        here = waiting.pop()
        jump = here.get("proxyjump", ("",))[0]
        for hop in jump.split(",") if jump not in {"", "none"} else []:
            name = re.sub(r":\d+$", "", hop.removeprefix("ssh://").rpartition("@")[2]).strip("[]")
            if name and name not in seen:
                seen.add(name)
                plain = ["ssh", *(["-F", str(config)] if config else []), "-G", "--", name]
                its = _settings(plain)
                yield from dict.fromkeys((name, *its.get("hostname", ())))
                waiting.append(its)
        for word in here.get("proxycommand", ("",))[0].split():
            yield re.sub(r":\d+$", "", word.rpartition("@")[2]).strip("[]")


def _run(words: Sequence[str], limit: float) -> tuple[str, str]:
    """Stdout and stderr; after `limit` seconds all of it is ended, and nothing was said."""
    known = {"HOME", "USER", "LOGNAME", "PATH", "SSH_AUTH_SOCK", "XDG_RUNTIME_DIR"}
    environment = {name: value for name, value in os.environ.items() if name in known}
    try:
        process = subprocess.Popen(  # noqa: S603 -- fixed words, settings and an address
            words,
            env={**environment, "LC_ALL": LOCALE, "TZ": "UTC"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as error:
        return "", f"{words[0]}: {error.strerror}"
    with process:
        try:
            return process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return "", ""
