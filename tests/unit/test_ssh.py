"""What ssh says, in plain words with the host's name."""

from __future__ import annotations

import pytest

from orchestrator.ssh import explain

CHANGED = """\
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
The fingerprint for the ED25519 key sent by the remote host is
SHA256:ekrXCK6SmMLS8Bnq56PEdqqnKS0y7NbHSKR7iczzwNA.
Host key verification failed.
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
        ("something else\nat last", "at last"),
        ("", "no answer"),
    ],
)
def test_the_reason_names_host_and_cause(said, words):
    reason = explain("db1", said)
    assert reason.startswith("db1: ")
    assert words in reason
    assert "\n" not in reason
