"""An imaging server takes a study into the database, and the other one has it."""

from __future__ import annotations

import json

import pytest

minimum_checks = 7


@pytest.fixture
def port(variables):
    return variables["imaging_dicom_port"]


@pytest.fixture
def address(variables, address_of):
    return address_of(variables["inventory_hostname"])


@pytest.fixture
def other(variables, address_of):
    """The address of the next imaging server; the same one where there is only one."""
    servers = variables["groups"]["imaging"]
    after = servers.index(variables["inventory_hostname"]) + 1
    return address_of(servers[after % len(servers)])


@pytest.fixture
def rest(client, address, variables):
    """Ask the server under test over REST, from the client."""

    def ask(path):
        said = client.run(f"curl -sS -m 10 http://{address}:{variables['imaging_rest_port']}{path}")
        assert said.rc == 0, f"{path}: {said.stderr.strip()}"
        return json.loads(said.stdout)

    return ask


def test_orthanc_runs(host):
    state = host.run("timeout 10 systemctl is-active orthanc").stdout.strip()
    assert state == "active", f"orthanc is {state}"


def test_index_and_images_are_in_the_database(rest):
    system = rest("/system")
    index, images = system["DatabaseBackendPlugin"], system["StorageAreaPlugin"]
    assert "PostgreSQLIndex" in str(index), f"the index is in {index or 'a local file'}"
    assert "PostgreSQLStorage" in str(images), f"the images are in {images or 'a local folder'}"


def test_the_index_answers(rest):
    statistics = rest("/statistics")
    assert "CountStudies" in statistics, f"no statistics but {statistics}"


def test_its_database_is_the_one_that_takes_writes(host, client, variables):
    hosts = ",".join(variables["imaging_database_hosts"])
    primary = client.run(
        "timeout 10 psql -w -XAtqc 'SELECT inet_server_addr()' %s",
        f"host={hosts} dbname=orthanc user=orthanc target_session_attrs=read-write"
        " connect_timeout=3",
    )
    assert primary.rc == 0, f"no database takes writes: {primary.stderr.strip()}"
    used = host.run("timeout 10 ss -Htn state established '( dport = :5432 )'").stdout.splitlines()
    peers = {line.split()[-1] for line in used}
    expected = {f"{primary.stdout.strip()}:{variables['imaging_database_port']}"}
    assert peers == expected, f"connected to {peers or 'no database'}, not to {expected}"


def test_it_answers_an_echo(client, address, port):
    said = client.run("timeout 20 echoscu -v -to 5 -td 10 %s %s", address, str(port))
    assert said.rc == 0, f"C-ECHO to {address}: {(said.stdout + said.stderr).strip()[-300:]}"


def test_what_is_stored_here_is_found_on_the_other(study, address, other, port):
    status = study.store(address, port)
    assert status == "(Success)", f"C-STORE to {address}: {status}"
    found = study.find(other, port)
    assert found == [study.uid], f"C-FIND on {other} for {study.uid}: {found or 'nothing'}"


def test_what_is_stored_here_comes_back_from_both(study, address, other, port):
    status = study.store(address, port)
    assert status == "(Success)", f"C-STORE to {address}: {status}"
    came = {server: study.fetch(server, port) for server in (address, other)}
    wrong = {server: got for server, got in came.items() if got != study.checksum}
    assert not wrong, f"C-GET of {study.uid}, sent with checksum {study.checksum}: {wrong}"
