"""What ssh says, in plain words with the host's name."""

from __future__ import annotations

import pytest

from orchestrator.ssh import explain, is_dark

CHANGED = """\
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
The fingerprint for the ED25519 key sent by the remote host is
SHA256:ekrXCK6SmMLS8Bnq56PEdqqnKS0y7NbHSKR7iczzwNA.
Host key verification failed.
"""
HANGS = """\
Connection timed out during banner exchange
Connection to 192.0.2.1 port 22 timed out
"""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (CHANGED, "host key changed (it now shows SHA256:ekrXCK6SmMLS8Bnq56PEdqqnKS0y7NbHSKR7"),
        ("Host key verification failed.", "host key is not known"),
        ("ssh: connect to host 192.0.2.1 port 22: No route to host", "no route to host"),
        ("ssh: connect to host 192.0.2.1 port 22: Connection refused", "connection refused"),
        ("ssh: connect to host 192.0.2.1 port 22: Connection timed out", "no answer in time"),
        ("root@192.0.2.1: Permission denied (publickey).", "wrong user or key"),
        (HANGS, "its SSH server hangs"),
        ("something else\nat last", "at last"),
        ("", "no answer"),
    ],
)
def test_the_reason_names_host_and_cause(said, words):
    reason = explain("db1", said)
    assert reason.startswith("db1: ")
    assert words in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("said", "dark"),
    [
        ("ssh: connect to host 192.0.2.1 port 22: No route to host", True),
        ("ssh: connect to host 192.0.2.1 port 22: Connection timed out", True),
        ("Timeout, server 192.0.2.1 not responding.", True),
        (CHANGED, False),
        (
            "No ED25519 host key is known for 192.0.2.1 and you have requested strict checking.",
            False,
        ),
        ("root@192.0.2.1: Permission denied (publickey).", False),
        ("ssh: connect to host 192.0.2.1 port 22: Connection refused", False),
        ("Timeout, server 192.0.2.1 not responding.\nConnection reset by 192.0.2.1 port 22", False),
        ("ssh: Could not resolve hostname db2: Name or service not known", False),
        (HANGS, False),
        ("no answer", False),
        ("something else", False),
    ],
)
def test_a_host_is_dark_only_when_nothing_came_back(said, dark):
    assert is_dark(said) is dark
