"""hosting-a is recovered by a controller whose resolver swallows every question."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from on_the_lab import PROJECT, SITE

pytestmark = pytest.mark.lab

DRCLI = str(Path(sys.executable).with_name("drcli"))
NOBODY = "127.255.255.254"  # a loopback address of the test's own
# In a mount namespace of its own: the machine's resolver is nobody's but the machine's.
IN_THE_DARK = """\
set -e
mount --bind "$1/resolv.conf" "$(readlink -f /etc/resolv.conf)"
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
shift
exec "$@"
"""


@pytest.fixture
def black_hole(tmp_path):
    """A resolver that hears and never answers; the words that put a command before it."""
    (tmp_path / "resolv.conf").write_text(f"nameserver {NOBODY}\n")
    (tmp_path / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hears:
        hears.bind((NOBODY, 53))
        hears.setblocking(False)
        yield hears, ["unshare", "-m", "sh", "-c", IN_THE_DARK, "sh", str(tmp_path)]


def test_it_swallows_questions(black_hole):
    """Else the recovery below would prove nothing."""
    hears, words = black_hole
    ask = "import socket; socket.setdefaulttimeout(1); socket.getaddrinfo('ns1.example', 22)"
    with pytest.raises(subprocess.TimeoutExpired):
        subprocess.run([*words, sys.executable, "-c", ask], timeout=4, check=False)
    assert b"example" in hears.recv(512)


def test_no_part_of_a_recovery_waits_for_names(lab, black_hole):
    hears, words = black_hole
    lab.must("lab", "cut", "--site", SITE)
    lab.must("lab", "power-on", "--site", SITE)
    done = subprocess.run(
        [*words, DRCLI, "recover", "--site", SITE, "--json"],
        cwd=PROJECT,
        env={**os.environ, **lab.environment},
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, str(lab("show"))
    events = [json.loads(line)["event"] for line in done.stdout.splitlines()]
    assert {e["kind"] for e in events} >= {"playbook_started", "component_verified"}
    with pytest.raises(BlockingIOError):
        hears.recv(512)  # nobody asked
