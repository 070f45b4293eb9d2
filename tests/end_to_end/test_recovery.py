"""The main job: hosting-a loses its power in the middle of its work, and comes back whole."""

from __future__ import annotations

import re

import pytest
from on_the_lab import on

pytestmark = pytest.mark.lab

LAYERS = ("network", "storage", "applications")
SERVICES = {
    "r1": ("frr", "keepalived", "chrony"),
    "r2": ("frr", "keepalived", "chrony"),
    "ns1": ("unbound",),
    "ns2": ("unbound",),
    "db1": ("postgresql@15-main",),
    "db2": ("postgresql@15-main",),
    "bk1": ("backups.timer", "backups-drill"),
    "ldap1": ("slapd",),
    "img1": ("orthanc",),
    "img2": ("orthanc",),
    "web1": ("haproxy", "nginx"),
}


def kinds(events, kind):
    return [event for event in events if event["kind"] == kind]


@pytest.fixture(scope="module")
def dark(lab):
    """The whole site cut while writers commit and store, and powered on again."""
    lab.must("lab", "cut")
    lab.must("lab", "power-on")


LOOK = (
    "systemctl is-active {} || true; ip -4 -oneline address show scope global; ip route; ss -Hltn"
)


@pytest.mark.parametrize("host", SERVICES)
def test_after_a_power_cut_a_host_offers_its_management_alone(dark, host):
    units = SERVICES[host]
    *lines, mounts = on(
        host,
        LOOK.format(" ".join(units)),
        '; grep -cE "/srv/(volumes|backups) " /proc/mounts || true',
    ).splitlines()
    assert lines[: len(units)] == ["inactive"] * len(units)
    assert {line.split()[1] for line in lines if " inet " in line} == {"mgmt"}
    assert not [line for line in lines if line.startswith("default")]
    listening = [line for line in lines if line.startswith("LISTEN")]
    assert {line.split()[3].rpartition(":")[2] for line in listening} == {"22"}
    assert mounts == "0"


def test_after_a_power_cut_a_router_filters_nothing(dark):
    assert on("r1", "nft", "list", "ruleset") == ""


@pytest.fixture(scope="module")
def recovered(lab, dark):
    """The events of the recovery."""
    ended = lab.recover()
    assert ended.code == 0, str(lab("show"))
    return ended.events


def test_in_the_dark_no_gate_was_green(recovered):
    looks = [e for e in kinds(recovered, "gate_finished") if e["purpose"] == "observe"]
    assert {look["component"] for look in looks if not look["green"]} == {
        component["name"] for component in recovered[0]["components"]
    }
    again = [e for e in kinds(recovered, "gate_finished") if e["purpose"] == "recheck"]
    red = {look["component"]: look["reasons"] for look in again if not look["green"]}
    assert len(looks) == 9, f"up, then red when looked at again: {red}"


def test_what_a_power_cut_had_done_was_met_on_the_way(recovered):
    assert "Failed to start" in on("ns2", "journalctl", "--boot", "--unit", "unbound")
    logged = on("db1", "tail", "-n", "200", "/var/log/postgresql/postgresql-15-main.log")
    assert "not properly shut down; automatic recovery" in logged


def test_every_component_is_verified_by_at_least_four_checks_on_each_host(recovered):
    last = {event["component"]: event for event in kinds(recovered, "gate_finished")}
    for component in recovered[0]["components"]:
        gate = last[component["name"]]
        assert gate["green"], gate
        assert gate["passed"] >= 4 * len(component["hosts"])


def test_no_layer_starts_before_the_one_below_is_verified(recovered):
    layer_of = {c["name"]: LAYERS.index(c["layer"]) for c in recovered[0]["components"]}
    up: set[str] = set()
    for event in recovered:
        if event["kind"] in ("component_verified", "component_healthy"):
            up.add(event["component"])
        if event["kind"] in ("gate_started", "playbook_started"):
            below = {n for n, at in layer_of.items() if at < layer_of[event["component"]]}
            assert below <= up, f"{event} before {below - up}"


def test_no_acknowledged_record_is_lost(lab, recovered):
    verdict = lab.must("lab", "ledger")
    found = re.search(r"\b0 of (\d+) acknowledged records lost", verdict.out)
    assert found, str(verdict)
    assert int(found[1]) >= 200


def test_a_second_recovery_finds_everything_healthy_and_changes_nothing(lab, recovered):
    ended = lab.recover()
    assert ended.code == 0, str(ended)
    assert not kinds(ended.events, "playbook_started")
    healthy = {event["component"] for event in kinds(ended.events, "component_healthy")}
    assert healthy == {c["name"] for c in ended.events[0]["components"]}
