"""The lower layers of a site as a lab of their own: which hosts, and what is not in it."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from orchestrator.cli.lab import lab
from orchestrator.errors import InputError
from orchestrator.lab.breaking import Breaker
from orchestrator.lab.broken import Broken
from orchestrator.lab.definition import load_definition
from orchestrator.lab.hosts import HostStatus
from orchestrator.lab.instance import Instance
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


def test_what_is_to_be_typed_next_is_for_this_lab_and_no_other(whole, tmp_path, monkeypatch):
    made = Instance(
        name="net",
        site="room",
        project=tmp_path,
        subnet="10.78.3.0/24",
        short="a1b2c3",
        made="2026-01-01T00:00:00Z",
        layer="network",
    )
    off = {"made": True, "on": False, "ssh": False, "outside": False, "feed": "A"}
    host = HostStatus(name="r1", address="10.78.3.11", **off)
    monkeypatch.setattr("orchestrator.lab.lab_lock.LABS", tmp_path)
    monkeypatch.setattr("orchestrator.cli.lab.load_lab", lambda *_: (whole, made))
    monkeypatch.setattr("orchestrator.cli.lab.power.power_on", lambda *_, **__: whole.hosts[:1])
    monkeypatch.setattr("orchestrator.cli.lab.power.cut_hosts", lambda *_: whole.hosts[:1])
    monkeypatch.setattr("orchestrator.cli.lab.power.require_made", lambda *_: None)
    monkeypatch.setattr("orchestrator.cli.lab.lab_hosts.status", lambda *_: [host])
    broken = Broken(off={"r1": "stays-off"})
    monkeypatch.setattr("orchestrator.cli.lab.read_broken", lambda _: broken)

    def said(*words):
        return CliRunner().invoke(lab, [*words, "--site", "room", "--name", "net"]).output

    assert "Next: drcli lab power-on --site room --name net\n" in said("cut", "--hosts", "r1")
    assert "Next: drcli lab power-on --site room --name net\n" in said("status")
    booted = said("power-on")
    assert "drcli lab break stays-off --undo --site room --name net\n" in booted
    assert "Next: drcli recover --site room --layer network --lab net\n" in booted
    breaker = Breaker(definition=whole, instance=made, prelude="", tell=print)
    with pytest.raises(InputError) as caught:
        breaker.take_back(SimpleNamespace(name="mended-by-a-recovery", has_undo=False))
    assert caught.value.hint.startswith("drcli recover --site room --lab net, ")


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
