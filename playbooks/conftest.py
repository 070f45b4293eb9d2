"""What gates share: hosts other than the one under test, and where they stand."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

from orchestrator.gate_reach import HostUnreachable


@pytest.fixture(scope="session")
def on(request: pytest.FixtureRequest) -> Callable[[str], Host]:
    """`on("r1")`: any host of the site by its inventory name, to run commands there.

    The inventory is that of pytest's --ansible-inventory, or of ANSIBLE_INVENTORY without it.
    """
    inventory = request.config.getoption("ansible_inventory")

    def find(name: str) -> Host:
        return testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory)

    return find


@pytest.fixture(scope="session")
def printed(on: Callable[[str], Host]) -> Callable[..., dict[str, str]]:
    """`printed(names, command, *words)`: what a command prints on each host that can be reached.

    For checks with the mark `dark_peers_allowed`: without it one that is lost counts all the same.
    """

    def ask(names: Iterable[str], command: str, *words: str) -> dict[str, str]:
        answers = {}
        for name in names:
            with contextlib.suppress(HostUnreachable):
                answers[name] = on(name).run(command, *words).stdout.strip()
        return answers

    return ask


@pytest.fixture(scope="session")
def client(on: Callable[[str], Host]) -> Host:
    """A workstation outside of the hosting room: it reaches servers only through the routers."""
    return on("client1")


@pytest.fixture
def variables(host: Host) -> dict[str, Any]:
    """The inventory's variables of the host under test, as written: templates are not resolved."""
    return host.ansible.get_variables()


@pytest.fixture(scope="session")
def address_of(on: Callable[[str], Host]) -> Callable[..., str]:
    """`address_of("db1")`: its address on its first data network, or on a named one."""

    def address(name: str, network: str | None = None) -> str:
        known = on(name).ansible.get_variables()
        prefix = known["network_prefixes"][network or known["networks"][0]]
        return f"{prefix}.{known['host_number']}"

    return address
