"""Each gate is seen red on a healthy site: a service of its component is stopped."""

from __future__ import annotations

import pytest
from on_the_lab import on

pytestmark = pytest.mark.lab

# component -> the host, its service, what the gate says without it; what others stand on comes last
STOPPED = {
    "frontend": ("web1", "haproxy", "haproxy is inactive"),
    "imaging": ("img2", "orthanc", "orthanc is inactive"),
    "directory": ("ldap1", "slapd", "slapd is inactive"),
    "backups": ("bk1", "backups.timer", "backups.timer is inactive"),
    "database": ("db2", "postgresql@15-main", "postgresql@15-main is inactive"),
    "time": ("r2", "chrony", "chrony is inactive"),
    "dns": ("ns2", "unbound", "unbound is inactive"),
    "routing": ("r1", "frr", "frr is inactive"),
    "volumes": ("db2", "postgresql@15-main && umount /srv/volumes", "is not mounted"),
}


@pytest.fixture(scope="module")
def whole(lab):
    """The site, seen to be up: what is red below is so for the service that was stopped."""
    lab.must("verify")
    return lab


@pytest.mark.parametrize("component", STOPPED)
def test_without_its_service_a_gate_is_red_for_that_reason(whole, component):
    host, service, says = STOPPED[component]
    on(host, f"systemctl stop {service}")
    red = [check for check in whole.checks(component) if check["outcome"] != "passed"]
    assert {check["outcome"] for check in red} <= {"failed", "error"}
    assert {check["component"] for check in red} == {component}
    told = [check["message"] for check in red if check["host"] == host]
    assert any(says in message for message in told), told
    if component != "volumes":
        on(host, f"systemctl start {service}")
