"""What gates share: hosts other than the one under test, and where they stand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import testinfra
from testinfra.host import Host

LAB = Path("/var/lib/drcli/lab")


@pytest.fixture(scope="session")
def on(request: pytest.FixtureRequest) -> Callable[[str], Host]:
    """`on("r1")`: any host of the site by its inventory name, to run commands there."""
    inventory = request.config.getoption("ansible_inventory")

    def find(name: str) -> Host:
        return testinfra.get_host(f"ansible://{name}", ansible_inventory=inventory)

    return find


@pytest.fixture(scope="session")
def probe(on: Callable[[str], Host]) -> Host:
    """It stands where the consumers stand, and reaches servers only through the routers."""
    return on("probe1")


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


@pytest.fixture(scope="session")
def acknowledged(request: pytest.FixtureRequest) -> Callable[[str], list[dict[str, Any]]]:
    """`acknowledged("row")`: every write of that kind that the site confirmed; all must be there.

    The controller of a lab lists them, in its ledger. No other site has such a list; a lab that has
    none, or nothing in it, could have lost anything, and nobody would know.
    """
    site = Path(request.config.getoption("ansible_inventory")).resolve().parent.name
    return lambda kind: read_ledger(LAB / site, kind)


def read_ledger(lab: Path, kind: str) -> list[dict[str, Any]]:
    """The whole lines of a kind in a lab's ledger; a torn last one was never told to anybody."""
    if not lab.exists():
        return []
    ledger = lab / "ledger.jsonl"
    assert ledger.exists(), f"{ledger} is gone: nobody knows what the site had acknowledged"
    lines = ledger.read_text(encoding="utf-8").splitlines(keepends=True)
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    found = [record for record in records if record["kind"] == kind]
    assert found, f"{ledger} has no acknowledged {kind}: nothing can be compared with it"
    return found
