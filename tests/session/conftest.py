"""The hosts that sessions are tried on: this machine, through a shell of it and through SSH."""

from __future__ import annotations

import pytest
from sshd import Sshd

from orchestrator.host_session import HostSession
from orchestrator.route import Route


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """An SSH server, to be left as it is."""
    started = Sshd(tmp_path_factory.mktemp("sshd"))
    yield started
    started.stop()


@pytest.fixture
def own_server(tmp_path):
    """An SSH server, to be done harm to."""
    started = Sshd(tmp_path / "sshd")
    yield started
    started.stop()


@pytest.fixture(params=["local", "ssh"])
def session(request):
    """A session with this machine."""
    if request.param == "local":
        found = HostSession(Route(words=("/bin/sh", "-c")))
    else:
        found = HostSession(request.getfixturevalue("server").route)
    yield found
    found.close()


@pytest.fixture
def own_session(own_server):
    """A session over SSH, to be done harm to."""
    found = HostSession(own_server.route)
    yield found
    found.close()
