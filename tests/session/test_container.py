"""A session with a container, beside testinfra's own way to it."""

from __future__ import annotations

import os
import subprocess

import pytest
import testinfra

from orchestrator.host_session import NotEnded, Unreachable
from orchestrator.route import ansible_route
from orchestrator.session import SessionBackend

pytestmark = pytest.mark.lab
LIMITS = ("--runtime", "runc", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


def podman(*words):
    done = subprocess.run(["podman", *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture(scope="module")
def container():
    """A container of the lab's base image that does nothing."""
    images = podman("images", "--quiet", "--filter", "reference=localhost/drcli-lab/base")
    if not images:
        pytest.skip("NOT TESTED: the lab's base image is not built (drcli lab up)")
    name = f"drcli-session-{os.getpid()}"
    words = ("--detach", "--rm", "--network", "none", "--name", name, "--entrypoint", "sleep")
    podman("run", *words, *LIMITS, images.split()[0], "600")
    yield name
    podman("rm", "--force", "--time", "0", name)


@pytest.fixture
def host(container):
    known = {"ansible_connection": "containers.podman.podman", "ansible_host": container}
    backend = SessionBackend("c1", route=ansible_route("c1", known))
    found = testinfra.host.Host(backend)
    backend.set_host(found)
    yield found
    backend.session.close()


def test_it_is_the_container(host, container):
    stock = testinfra.get_host(f"podman://{container}")
    for look in (
        lambda h: h.file("/etc/hostname").content,
        lambda h: h.system_info.codename,
        lambda h: h.user("root").shell,
        lambda h: h.package("bash").version,
        lambda h: h.run("echo a; echo b >&2; exit 9").rc,
        lambda h: h.run("printf 'a\\0b'").stdout_bytes,
        lambda h: h.mount_point("/proc").filesystem,
    ):
        assert look(host) == look(stock)


def test_the_session_is_kept(host):
    assert host.check_output("echo $PPID") == host.check_output("echo $PPID")


def test_a_late_command_is_ended_there(host):
    with pytest.raises(NotEnded, match=r"did not end within 0\.5 s$"):
        host.run("sleep 77 & setsid sleep 77 & sleep 77", timeout=0.5)
    assert "sleep\x0077" not in host.check_output("cat /proc/[0-9]*/cmdline 2>/dev/null; true")


def test_a_user_who_is_become_there(container):
    known = {
        "ansible_connection": "podman",
        "ansible_host": container,
        "ansible_become": True,
        "ansible_become_method": "su",
        "ansible_become_user": "games",
        "ansible_become_flags": "-s /bin/sh",
    }
    backend = SessionBackend("c1", route=ansible_route("c1", known))
    assert backend.run("id -un").stdout == "games\n"
    backend.session.close()


def test_a_container_that_is_not_there():
    known = {"ansible_connection": "podman", "ansible_host": "not-there"}
    backend = SessionBackend("c1", route=ansible_route("c1", known))
    with pytest.raises(Unreachable, match="no container with name or ID"):
        backend.run("true")
