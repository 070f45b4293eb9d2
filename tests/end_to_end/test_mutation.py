"""Gates by mutation: whatever service of a component is stopped, on any host, its gate sees it."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from on_the_lab import PROJECT, SITE
from ruamel.yaml import YAML

SERVICES = {  # component -> its units, and the hosts that have them
    "routing": (("frr", "keepalived", "nftables"), ("r1", "r2")),
    "dns": (("unbound",), ("ns1", "ns2")),
    "time": (("chrony",), ("ns1", "ns2")),
    "volumes": (("volumes-witness.timer",), ("db1", "db2")),
    "database": (("postgresql@15-main",), ("db1", "db2")),
    "backups": (("backups.timer",), ("bk1",)),
    "directory": (("slapd",), ("ldap1",)),
    "imaging": (("orthanc",), ("img1", "img2")),
    "frontend": (("haproxy", "nginx"), ("web1",)),
}
WITHOUT_A_SERVICE = {"probe"}  # it is routes alone: the fault probe-misrouted turns its gate red
MUTATIONS = [
    (component, host, unit)
    for component, (units, hosts) in SERVICES.items()
    for host in hosts
    for unit in units
]
SETTLE = 180.0  # seconds until a component is whole again once its service was started


def test_every_component_has_its_services_here_or_a_reason_why_not():
    site = YAML(typ="safe").load(PROJECT / "inventories" / SITE / "site.yml")
    components = {c["name"] for layer in site["layers"] for c in layer["components"]}
    assert set(SERVICES) | WITHOUT_A_SERVICE == components


@pytest.fixture(scope="module")
def whole(lab):
    """The site, recovered; and recovered again from whatever the mutations left."""
    recover(lab)
    yield lab
    recover(lab)


def recover(lab):
    ended, _ = lab.recover()
    assert ended.code == 0, str(lab("show"))


def systemctl(host, *words):
    command = ["podman", "exec", f"drcli-{SITE}-{host}", "systemctl", *words]
    subprocess.run(command, capture_output=True, timeout=120, check=True)


def gate_of(lab, component):
    """Whether its gate is green, and what it said otherwise."""
    ended = lab("verify", "--site", SITE, "--component", component, "--json")
    events = [json.loads(line)["event"] for line in ended.out.splitlines()]
    [gate] = [e for e in events if e["kind"] == "gate_finished"]
    assert ended.code == (0 if gate["green"] else 1), ended
    return gate["green"], gate["reasons"]


def until_green(lab, component):
    deadline = time.monotonic() + SETTLE
    green, reasons = gate_of(lab, component)
    while not green:
        assert time.monotonic() < deadline, reasons
        green, reasons = gate_of(lab, component)


@pytest.mark.lab
@pytest.mark.long
@pytest.mark.parametrize(("component", "host", "unit"), MUTATIONS)
def test_its_gate_is_red_without_this_service(whole, record_property, component, host, unit):
    record_property("fault", "a service stopped on the lab: its gate goes red")
    until_green(whole, component)
    systemctl(host, "stop", unit)
    try:
        green, reasons = gate_of(whole, component)
    finally:
        systemctl(host, "start", unit)
    assert not green
    assert host in "; ".join(reasons)
    until_green(whole, component)
