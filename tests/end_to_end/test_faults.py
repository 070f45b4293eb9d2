"""One fault in each layer: the run stops there, and after the mend it ends green."""

from __future__ import annotations

import re

import pytest
from on_the_lab import FOLDER, on

pytestmark = pytest.mark.lab

DATA = "/srv/volumes/postgresql/15/main"
# A router whose configuration is gone, its folder too; a standby that came up as a second primary;
# a service that somebody masked.
FAULTS = {
    "routing": {
        "host": "r2",
        "break": "systemctl stop frr && mv /etc/frr /root/frr.away",
        "mend": "mv /root/frr.away /etc/frr",
        "reason": r"r2.*directory /etc/frr does not exist",
    },
    "database": {
        "host": "db2",
        "break": f"systemctl stop postgresql@15-main && rm {DATA}/standby.signal"
        " && systemctl start postgresql@15-main",
        "mend": f"systemctl stop postgresql@15-main && database-make-standby 10.77.2.31 {DATA} db2",
        "reason": r"Not exactly one primary.*db1 is a primary.*db2 is a primary",
    },
    "frontend": {
        "host": "web1",
        "break": "systemctl stop haproxy && systemctl mask haproxy",
        "mend": "systemctl unmask haproxy",
        "reason": r"haproxy is masked on web1",
    },
}


@pytest.mark.parametrize("component", FAULTS)
def test_a_fault_stops_the_run_where_it_is_and_nothing_above_starts(lab, component):
    fault = FAULTS[component]
    on(fault["host"], fault["break"])
    ended = lab.recover()
    assert ended.code == 1, str(ended)
    [failed] = [e for e in ended.events if e["kind"] == "component_failed"]
    assert failed["component"] == component
    said = "\n".join(str(e) for e in ended.events if e.get("component") == component)
    assert re.search(fault["reason"], said, re.DOTALL), said
    plan = {c["name"]: c for c in ended.events[0]["components"]}
    names = list(plan)
    layer = [n for n in names if plan[n]["layer"] != plan[component]["layer"]]
    above = {n for n in layer if names.index(n) > names.index(component)}
    above |= {n for n in names if component in plan[n]["needs"]}
    blocked = {e["component"] for e in ended.events if e["kind"] == "component_blocked"}
    started = {
        e["component"] for e in ended.events if e["kind"].endswith("_started") and "component" in e
    }
    assert blocked == above
    assert not started & above
    on(fault["host"], fault["mend"])
    again = lab.recover()
    assert again.code == 0, str(lab("show"))


def test_a_host_that_is_dark_is_named_as_such(lab):
    lab.must("lab", "cut", "--hosts", "ldap1")
    try:
        ended = lab("verify", "--component", "directory", "--json")
    finally:
        lab.must("lab", "power-on", "--hosts", "ldap1")
    assert ended.code == 1
    [gate] = [e for e in ended.events if e["kind"] == "gate_finished"]
    assert gate["unreachable"] == ["ldap1"]
    assert lab.recover("--component", "directory").code == 0, str(lab("show"))


def test_a_changed_host_key_is_named_as_such_and_the_host_is_not_touched(lab):
    known = FOLDER / "known_hosts"
    before = known.read_text()
    other = (FOLDER / "host_keys" / "web1.pub").read_text().split()[:2]
    address = on("ldap1", "hostname", "-I").split()[0]
    lines = [
        " ".join([line.split()[0], *other]) if line.split()[0] == address else line
        for line in before.splitlines()
    ]
    known.write_text("\n".join(lines) + "\n")
    try:
        ended = lab("verify", "--component", "directory", "--json")
    finally:
        known.write_text(before)
    assert ended.code == 1
    [gate] = [e for e in ended.events if e["kind"] == "gate_finished"]
    assert gate["unreachable"] == ["ldap1"]
    assert "host key changed" in " ".join(gate["reasons"])
