"""Each gate is seen red on a healthy site: a service of its component is stopped."""

from __future__ import annotations

import pytest
from on_the_lab import on

pytestmark = pytest.mark.lab

# component -> the host, what is stopped there, what the gate then says.
STOPPED = {
    "routing": ("r1", "systemctl stop frr", "frr"),
    "dns": ("ns2", "systemctl stop unbound", "ns2|unbound"),
    "volumes": (
        "db2",
        "systemctl stop postgresql@15-main && umount /srv/volumes",
        "mounted",
    ),
    "database": ("db2", "systemctl stop postgresql@15-main", "postgresql@15-main is"),
    "directory": ("ldap1", "systemctl stop slapd", "slapd is"),
    "imaging": ("img2", "systemctl stop orthanc", "orthanc is"),
    "frontend": ("web1", "systemctl stop haproxy", "haproxy is"),
}


@pytest.fixture(scope="module")
def whole(lab):
    lab.must("lab", "reset")
    return lab


@pytest.mark.parametrize("component", STOPPED)
def test_without_its_service_a_gate_is_red_for_that_reason(whole, component):
    host, stop, says = STOPPED[component]
    on(host, stop)
    red = [check for check in whole.checks(component) if check["outcome"] != "passed"]
    assert {check["outcome"] for check in red} <= {"failed", "error"}
    assert {check["component"] for check in red} == {component}
    told = [check["message"] for check in red if check["host"] == host]
    assert any(word in message for message in told for word in says.split("|")), told
    ended = whole.recover("--component", component)
    assert ended.code == 0, str(whole("show"))
