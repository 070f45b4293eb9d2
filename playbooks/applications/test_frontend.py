"""The front end takes studies for the imaging servers and shows them, as seen from the client."""

from __future__ import annotations

import json

import pytest

minimum_checks = 10
PACS = "pacs"
SOCKET = "/run/haproxy/admin.sock"


@pytest.fixture
def pacs(variables):
    return f"{PACS}.{variables['site_domain']}"


@pytest.fixture
def port(variables):
    return variables["frontend_dicom_port"]


@pytest.fixture
def portal(client, variables):
    """Ask the portal from the client: the status and the body of its answer."""

    def ask(path, method="GET"):
        said = client.run(
            f"curl -sS -m 10 -X {method} -w '\\n%{{http_code}}' http://{variables['frontend_portal_name']}{path}"
        )
        body, _, status = said.stdout.rpartition("\n")
        return status, body or said.stderr.strip()

    return ask


@pytest.mark.parametrize("service", ["haproxy", "nginx"])
def test_its_services_run(host, service):
    state = host.run("timeout 10 systemctl is-active %s", service).stdout.strip()
    assert state == "active", f"{service} is {state}"


@pytest.mark.parametrize("proxy", ["dicom", "rest"])
def test_every_imaging_server_is_up(host, proxy, variables):
    shown = host.run(f"echo 'show stat' | timeout 10 socat -t 5 - UNIX-CONNECT:{SOCKET}")
    assert shown.rc == 0, f"HAProxy does not tell: {shown.stderr.strip()}"
    rows = [line.split(",") for line in shown.stdout.splitlines()]
    columns = {name.strip("# "): place for place, name in enumerate(rows[0])}
    found = {row[1]: f"{row[columns['status']]} {row[columns['last_chk']]}" for row in rows
             if row[0] == proxy and row[1] not in ("FRONTEND", "BACKEND")}  # fmt: skip
    missing = set(variables["groups"][variables["frontend_backends"]]) - set(found)
    down = {name: state for name, state in found.items() if not state.startswith("UP ")}
    assert not missing | set(down), f"{proxy}: not UP {down}, unknown {sorted(missing)}"


@pytest.mark.parametrize("alias", [PACS, "portal"])
def test_the_names_lead_to_this_host(client, alias, variables, address_of):
    name = f"{alias}.{variables['site_domain']}"
    found = client.run("timeout 10 getent ahostsv4 %s", name).stdout.split()[:1]
    expected = [address_of(variables["inventory_hostname"])]
    assert found == expected, f"the client takes {name} for {found}, it is {expected}"


def test_the_portal_shows_its_page(portal):
    status, body = portal("/")
    assert status == "200", f"the portal answered {status}: {body[-200:]}"
    assert "Medical imaging" in body, f"another page: {body[:200]}"


def test_the_portal_shows_what_imaging_holds(portal):
    status, body = portal("/statistics")
    assert status == "200", f"the portal answered {status}: {body[-200:]}"
    assert "CountStudies" in json.loads(body), body[:200]


def test_the_portal_changes_nothing(portal):
    status, body = portal("/studies/none", "DELETE")
    assert status == "403", f"a DELETE was answered with {status}: {body[-200:]}"


def test_a_study_comes_back_through_it(study, pacs, port):
    status = study.store(pacs, port)
    assert status == "(Success)", f"C-STORE to {pacs}: {status}"
    found = study.find(pacs, port)
    assert found == [study.uid], f"C-FIND on {pacs} for {study.uid}: {found or 'nothing'}"
    came = study.fetch(pacs, port)
    assert came == study.checksum, f"C-GET of {study.uid}: sent {study.checksum}, came {came}"
