"""The lower layers of a site as a lab of their own: which hosts, and what is not in it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from orchestrator.cli.lab import lab
from orchestrator.errors import InputError
from orchestrator.lab.definition import load_definition
from orchestrator.lab.part import layers_of, up_to

LAYERS = {"network": "routers", "storage": "databases", "applications": "portals"}
HOSTS = """\
all:
  children:
    routers: {hosts: {r1: {host_number: 11}}}
    databases: {hosts: {db1: {host_number: 31, lab_disks: {data0: 64M}}}}
    portals: {hosts: {web1: {host_number: 51}}}
    clients: {hosts: {client1: {host_number: 91, lab_outside: true}}}
"""


@pytest.fixture
def whole(tmp_path):
    folder = tmp_path / "inventories/room"
    (folder / "lab").mkdir(parents=True)
    layers = [
        {"name": name, "components": [{"name": f"of-{name}", "hosts": hosts}]}
        for name, hosts in LAYERS.items()
    ]
    (folder / "site.yml").write_text(json.dumps({"site": "room", "layers": layers}))
    (folder / "hosts.yml").write_text(HOSTS)
    client = {"name": "rows", "host": "client1", "command": ["true"]}
    (folder / "lab/lab.yml").write_text(json.dumps({"writers": [client], "reader": client}))
    return load_definition(tmp_path, "room")


def names(hosts):
    return [host.name for host in hosts]


@pytest.mark.parametrize(
    ("layer", "there", "absent"),
    [
        ("network", ["r1", "client1"], ["db1", "web1"]),
        ("storage", ["r1", "db1", "client1"], ["web1"]),
    ],
)
def test_a_part_has_the_layers_up_to_its_own_and_the_clients(whole, layer, there, absent):
    part = up_to(whole, layer)
    assert (names(part.hosts), names(part.absent)) == (there, absent)
    assert [one.name for one in layers_of(part)] == list(LAYERS)[: len(there) - 1]


def test_nobody_writes_to_a_part(whole):
    part = up_to(whole, "network")
    assert (part.file.writers, part.file.reader) == ((), None)


@pytest.mark.parametrize("layer", [None, "applications"])
def test_up_to_the_highest_layer_it_is_the_whole_site(whole, layer):
    assert up_to(whole, layer) == whole
    assert [one.name for one in layers_of(whole)] == list(LAYERS)


def test_a_layer_that_the_site_has_not_is_refused_with_those_there_are(whole):
    with pytest.raises(InputError, match="did you mean 'network'") as caught:
        up_to(whole, "netwrok")
    assert caught.value.hint == "Its layers: network, storage, applications."


def test_a_host_above_the_part_is_said_to_be_absent(whole):
    with pytest.raises(InputError, match="db1 is not in this lab, which ends with the layer net"):
        up_to(whole, "network").host("db1")


def test_a_lab_that_ends_elsewhere_is_not_taken_for_the_one_that_was_asked_for(
    whole, tmp_path, monkeypatch
):
    for module in ("instance", "lab_lock"):
        monkeypatch.setattr(f"orchestrator.lab.{module}.LABS", tmp_path / "labs")
    monkeypatch.setattr("orchestrator.cli.lab.check_root", lambda: None)
    monkeypatch.setattr("orchestrator.cli.lab.raise_bare", lambda *_, **__: None)
    monkeypatch.setattr("orchestrator.lab.instance._networks_here", list)
    monkeypatch.chdir(whole.project)
    (tmp_path / "labs").mkdir()

    def up(*words):
        return CliRunner().invoke(lab, ["up", "--site", "room", "--name", "net", "--bare", *words])

    assert "2 hosts up" in up("--layer", "network").output
    assert "2 hosts up" in up().output, "without --layer it stays what it is"
    refused = up("--layer", "storage").exception
    assert isinstance(refused, InputError)
    assert "the lab net is there, only up to the layer network" in refused.message
