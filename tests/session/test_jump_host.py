"""A host behind another is reached through it, and both prove who they are."""

from __future__ import annotations

import pytest
from sshd import Sshd

from orchestrator.host_session import HostSession
from orchestrator.route import ansible_route
from orchestrator.shell import Unreachable


@pytest.fixture
def servers(tmp_path):
    """The host in between, and the one behind it."""
    started = [Sshd(tmp_path / name, shared=False) for name in ("jump", "far")]
    yield started
    for server in started:
        server.stop()


def variables(jump, far):
    """The variables of the far host, as an inventory has them."""
    config = far.folder / "through"
    known = f"UserKnownHostsFile {jump.known} {far.known}\n"
    keys = f"IdentityFile {jump.folder / 'id'}\nIdentityFile {far.folder / 'id'}\n"
    config.write_text(f"StrictHostKeyChecking yes\nBatchMode yes\n{known}{keys}")
    return {
        "ansible_host": "127.0.0.1",
        "ansible_port": far.port,
        "ansible_user": far.user,
        "ansible_ssh_args": "-o ControlMaster=no",
        "ansible_ssh_common_args": f"-F {config} -o ProxyJump={jump.spec}",
    }


def test_a_host_behind_another_is_reached_through_it(servers):
    jump, far = servers
    session = HostSession(ansible_route("far", variables(jump, far)))
    answer = session.run(b"echo out; echo err >&2; exit 7")
    assert (answer.code, answer.out, answer.err) == (7, b"out\n", b"err\n")
    data = session.run(b"head -c 300000 /dev/zero").out
    assert data == bytes(300_000)
    assert "Accepted publickey" in jump.log()
    assert "Accepted publickey" in far.log()
    jump.cut()
    with pytest.raises(Unreachable):
        session.run(b"true")
    session.close()


@pytest.mark.parametrize("changed", ["jump", "far"])
def test_a_changed_key_of_either_fails_closed(servers, changed):
    jump, far = servers
    server = {"jump": jump, "far": far}[changed]
    server.cut()
    server.make_key("host")  # and what is known of it stays as it was
    server.start()
    with pytest.raises(Unreachable, match=r"IDENTIFICATION HAS CHANGED|verification failed"):
        HostSession(ansible_route("far", variables(jump, far))).open()
    assert "Accepted publickey" not in server.log()
