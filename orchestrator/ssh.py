"""What ssh says when it cannot reach a host, in plain words."""

from __future__ import annotations

import re

_CHANGED = re.compile(r"REMOTE HOST IDENTIFICATION HAS CHANGED")
_UNKNOWN = re.compile(r"Host key verification failed|No \S+ host key is known for")
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{20,}")
_ANSWERS = (
    (re.compile(r"Connection refused"), "connection refused: its SSH server is not running"),
    (
        re.compile(r"incorrect password attempt|Sorry, try again|no password was provided"),
        "its sudo does not take the become password",
    ),
    (re.compile(r"Permission denied"), "permission denied: wrong user or key"),
    (re.compile(r"Connection (?:reset|closed)"), "the connection was closed"),
    (re.compile(r"during banner exchange"), "it takes connections, and its SSH server hangs"),
)
_WORDS = (
    *_ANSWERS,
    (re.compile(r"No route to host"), "no route to host: is it powered and on the network?"),
    (re.compile(r"[Tt]imed out|[Tt]imeout"), "no answer in time"),
    (re.compile(r"Could not resolve hostname"), "its name cannot be resolved: use an address"),
)
_NO_SIGN = re.compile(
    r"No route to host|Host is down|Network is unreachable|[Tt]imed out|[Tt]imeout"
)


def is_dark(said: str) -> bool:
    """Whether nothing at all came back from a host, judged from what ssh (or Ansible) said.

    One that answers and does not let us in (another key, a wrong password, no SSH server) is there:
    what runs on it may be running.
    """
    there = (_CHANGED, _UNKNOWN, *(pattern for pattern, _ in _ANSWERS))
    return bool(_NO_SIGN.search(said)) and not any(p.search(said) for p in there)


def explain(host: str, said: str) -> str:
    """One line: why `host` cannot be reached, judged from what ssh (or Ansible) said."""
    if _CHANGED.search(said):
        shown = _FINGERPRINT.search(said)
        key = f" (it now shows {shown.group()})" if shown else ""
        return (
            f"{host}: its SSH host key changed{key}; if it was rebuilt on purpose, "
            "put its new key into known_hosts; if not, someone may stand in between"
        )
    if _UNKNOWN.search(said):
        return f"{host}: its SSH host key is not known; put it into known_hosts"
    for pattern, words in _WORDS:
        if pattern.search(said):
            return f"{host}: unreachable, {words}"
    lines = said.strip().splitlines()
    return f"{host}: unreachable, {lines[-1][:300]}" if lines else f"{host}: unreachable, no answer"
