"""Preflight as a whole, of the project's own site and of small ones; no host is spoken to."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.controller import Controller
from orchestrator.inventory import load_inventory
from orchestrator.plan import make_plan
from orchestrator.preflight import preflight
from orchestrator.site import load_site

PROJECT = Path(__file__).parents[2]
# Workers reach the hosts: nothing is looked at from here.
ELSEWHERE = {"DRCLI_CLUSTER": "tls://203.0.113.1:8786"}
ONE = {"network": [{"name": "routing", "hosts": "imaging"}]}


@pytest.fixture
def findings(tmp_path):
    def find(project, name, *, environ=ELSEWHERE, **files):
        for file, text in files.items():
            path = tmp_path / "etc" / file.replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        inventory = load_inventory(project / "inventories" / name / "hosts.yml")
        plan = make_plan(project, load_site(project, name), inventory)
        controller = Controller(
            project=project,
            state=tmp_path / "state",
            etc=tmp_path / "etc",
            proc=tmp_path / "proc",
            home=tmp_path / "home",
            environ=environ,
        )
        ssh_config = tmp_path / "ssh_config"
        ssh_config.write_text("")
        found = preflight(plan, inventory, controller, ssh_config=ssh_config, limit=5.0)
        return [f for f in found if f.name != "disk"]  # that of whoever runs the tests

    return find


def test_hosting_a_is_reached_without_anything_it_recovers(findings):
    assert findings(PROJECT, "hosting-a") == []


def test_hosting_a_s_name_servers_are_known_by_the_addresses_of_their_data_network(findings):
    [dns] = findings(PROJECT, "hosting-a", resolv_conf="nameserver 10.77.1.21\n")
    assert (dns.name, dns.severity.value) == ("bootstrap-dns", "warns")  # all is reached by address
    assert "ns1 (recovered by time, dns)" in dns.what


def test_a_gateway_that_routers_share_belongs_to_each(findings):
    [dns] = findings(PROJECT, "hosting-a", resolv_conf="nameserver 10.77.2.1\n")
    assert "r1 (recovered by routing), r2 (recovered by routing)" in dns.what


def test_what_blocks_comes_first(make_project, findings):
    hosts = "all: {children: {imaging: {hosts: {img1: {other_addresses: [192.0.2.1]}}}}}"
    project = make_project(ONE, hosts=hosts)
    (project / "playbooks/requirements.yml").write_text("collections: [{name: no.such}]\n")
    found = findings(project, "room-a", hosts="192.0.2.1 time\n", ntp_conf="server time\n")
    assert [(f.severity.value, f.name) for f in found] == [
        ("blocks", "collections"),
        ("warns", "bootstrap-time"),
        ("warns", "names"),
    ]


def test_what_cannot_be_known_of_a_host_is_told(make_project, findings):
    hosts = (
        "all: {children: {imaging: {hosts: {"
        "a: {ansible_host: \"{{ lookup('x') }}\"}, "
        "b: {ansible_host: 192.0.2.1, ansible_ssh_common_args: -o ProxyCommand=x}}}}}"
    )
    found = findings(make_project(ONE, hosts=hosts), "room-a")
    assert [(f.name, f.severity.value, f.where) for f in found] == [
        ("inventory", "warns", "a"),
        ("inventory", "warns", "b"),
    ]


def test_a_key_of_the_inventory_that_is_not_there_blocks_unless_workers_have_it(
    make_project, findings
):
    hosts = (
        "all: {children: {imaging: {hosts: {a: {ansible_host: 127.0.0.1, ansible_port: 1, "
        "ansible_ssh_private_key_file: /no/such/key}}}}}"
    )
    project = make_project(ONE, hosts=hosts)
    [key] = findings(project, "room-a", environ={})
    assert (key.name, key.severity.value, key.where) == ("key", "blocks", "/no/such/key")
    assert findings(project, "room-a") == []


def test_encrypted_variables_hide_nothing_else_and_stay_an_error_elsewhere(make_project, findings):
    hosts = "all: {children: {imaging: {hosts: {a: }}}}"
    project = make_project(ONE, hosts=hosts)
    folder = project / "inventories/room-a/group_vars/all"
    folder.mkdir(parents=True)
    (folder / "secret.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    (folder / "plain.yml").write_text("ansible_host: 192.0.2.7\n")
    [finding] = findings(project, "room-a")
    assert (finding.name, finding.where) == ("vault-password", f"{folder / 'secret.yml'}:1")
