"""Looking at hosts through the real ssh: host keys, clocks, jumps; a dark host costs no time."""

from __future__ import annotations

import socket
import subprocess
import time
from dataclasses import replace

import pytest
from sshd import Sshd

from orchestrator.reach import Reach
from orchestrator.ssh_findings import host_findings
from orchestrator.ssh_look import look_at

LIMIT = 20.0  # seconds; only where an answer is awaited


@pytest.fixture
def sshd(tmp_path):
    own = Sshd(tmp_path / "sshd")
    yield own
    own.stop()


@pytest.fixture
def reach(sshd):
    return Reach(
        host="h1",
        address="127.0.0.1",
        port=str(sshd.port),
        user=sshd.user,
        arguments=("-o", f"UserKnownHostsFile={sshd.known}"),
    )


def fingerprint(path):
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", path], capture_output=True, text=True, check=True
    )
    return done.stdout.split()[1]


def test_a_host_that_answers_tells_its_clock(sshd, reach):
    [look] = look_at([reach], limit=LIMIT, config=sshd.config)
    assert look.apart == 0.0, look
    assert list(host_findings([look])) == []


def test_no_connection_is_shared_or_left(sshd, reach):
    look_at([reach], limit=LIMIT, config=sshd.config)
    assert not (sshd.folder / "m").exists()


def test_a_changed_host_key_is_told_with_both_fingerprints(sshd, reach):
    known = fingerprint(sshd.folder / "host.pub")
    sshd.cut()
    sshd.make_key("host")
    sshd.start()
    [look] = look_at([reach], limit=LIMIT, config=sshd.config)
    [finding] = host_findings([look])
    assert (finding.name, finding.severity.value, finding.where) == ("host-key", "warns", "h1")
    assert known in finding.what
    assert fingerprint(sshd.folder / "host.pub") in finding.what
    assert f"{sshd.known}:1" in finding.what


def test_an_unknown_host_key_is_told_and_never_learnt(sshd, reach):
    sshd.known.write_text("")
    [look] = look_at([reach], limit=LIMIT, config=sshd.config)
    [finding] = host_findings([look])
    assert (finding.name, finding.severity.value) == ("host-key", "warns")
    assert sshd.known.read_text() == ""


def test_jumps_are_found_also_in_an_included_file_and_behind_each_other(sshd, reach, tmp_path):
    inner = tmp_path / "inner"
    inner.write_text(
        "Host 127.0.0.1\n  ProxyJump ann@first:22\n"
        "Host first\n  HostName 192.0.2.7\n  ProxyJump second\n"
        "Host 127.0.0.2\n  ProxyCommand ssh -W %h:%p third\n"
    )
    config = tmp_path / "config"
    config.write_text(f"Include {inner}\n")
    other = Reach(host="h2", address="127.0.0.2")
    one, two = look_at([reach, other], limit=1.5, config=config)
    assert one.via == ("first", "192.0.2.7", "second")
    assert "third" in two.via


def test_hosts_that_accept_and_say_nothing_cost_the_limit_once(sshd):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        port = str(silent.getsockname()[1])
        reaches = [Reach(host=f"h{n}", address="127.0.0.1", port=port) for n in range(100)]
        begun = time.monotonic()
        looks = look_at(reaches, limit=1.0, config=sshd.config)
        took = time.monotonic() - begun
    assert took < 100.0  # one after the other, they would take that
    assert list(host_findings(looks)) == []


def test_a_host_whose_arguments_would_run_a_command_is_not_spoken_to(reach):
    assert look_at([replace(reach, refused="ssh -o ProxyCommand=x")]) == ()
