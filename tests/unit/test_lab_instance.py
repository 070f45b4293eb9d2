"""An instance: its name, what is its own on the machine, and how its hosts are reached."""

import json
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from orchestrator.errors import InputError, MachineError
from orchestrator.lab import instance as module
from orchestrator.lab.access import overlay_text
from orchestrator.lab.definition import Definition, LabFile, LabHost
from orchestrator.lab.instance import (
    Instance,
    default_name,
    folder_of,
    free_subnet,
    require_instance,
)
from orchestrator.lab.network import _cable, _data_ports, _hardware, _port

MADE = datetime(2026, 1, 1, tzinfo=UTC)
ONE = Instance(
    name="one",
    site="tiny",
    project=Path("/p"),
    subnet=IPv4Network("10.78.3.0/24"),
    short="a1b2c3",
    made=MADE,
)
HOST = LabHost(name="db1", number=31, networks=("core", "storage"), disks={})


@pytest.fixture
def labs(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LABS", tmp_path)
    return tmp_path


def test_a_checkout_has_a_name_of_its_own_for_ever(tmp_path):
    name = default_name(tmp_path / "a", "hosting-a")
    assert name == default_name(tmp_path / "a", "hosting-a")
    assert name != default_name(tmp_path / "b", "hosting-a")
    assert name.startswith("hosting-a-")


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "-a"])
def test_a_name_that_could_lead_elsewhere_is_refused(name):
    with pytest.raises(InputError):
        folder_of(name)


def test_the_first_free_subnet_is_taken():
    taken = [
        IPv4Network("10.78.0.0/24"),
        IPv4Network("10.78.1.7/32"),
        IPv4Network("192.168.0.0/16"),
    ]
    assert free_subnet(taken) == IPv4Network("10.78.2.0/24")


def test_a_machine_without_a_free_subnet_says_so():
    with pytest.raises(MachineError, match="every management network"):
        free_subnet([IPv4Network("10.0.0.0/8")])


def test_no_two_instances_share_a_loop_device():
    other = ONE.model_copy(update={"subnet": IPv4Network("10.78.4.0/24")})
    numbers = range(module.LOOPS)
    assert not {ONE.loop(n) for n in numbers} & {other.loop(n) for n in numbers}


def test_names_of_links_fit_the_kernel_and_are_each_ones_own():
    names = [ONE.prefix, _port(ONE, HOST), *_data_ports(HOST).values()]
    assert len(set(names)) == 4
    assert all(len(name) <= 15 for name in names)


def test_a_network_card_has_one_address_for_ever_and_no_other_card_has_it():
    cards = [_hardware(ONE, HOST, name) for name in ("mgmt", "core", "storage")]
    assert cards == [_hardware(ONE, HOST, name) for name in ("mgmt", "core", "storage")]
    assert len(set(cards)) == 3
    assert all(int(card[:2], 16) & 3 == 2 for card in cards), "unicast, local"
    assert _cable("p", "core", address=cards[1], pid=7).endswith(f"address {cards[1]} netns 7")


def test_the_overlay_says_how_each_host_is_reached_whatever_the_site_says():
    lab = Definition(project=Path("/p"), site="tiny", hosts=(HOST,), file=LabFile())
    everything = json.loads(overlay_text(lab, ONE))["all"]
    db1 = everything["hosts"]["db1"]
    assert db1.pop("ansible_host") == "10.78.3.31"
    assert db1 == everything["vars"]
    assert db1["management_network"] == "10.78.3.0/24"
    assert db1["site_secrets"] == "/var/lib/drcli/labs/one/secrets"
    assert "StrictHostKeyChecking=yes" in db1["ansible_ssh_common_args"]
    assert "/var/lib/drcli/labs/one/known_hosts" in db1["ansible_ssh_common_args"]


def test_a_host_that_is_not_in_a_part_of_a_site_is_looked_for_in_the_lab_and_nowhere_else():
    # Else a command for the lab would reach for the real one, by the site's own inventory.
    lab = Definition(
        project=Path("/p"), site="tiny", hosts=(), absent=(HOST,), layer="network", file=LabFile()
    )
    db1 = json.loads(overlay_text(lab, ONE))["all"]["hosts"]["db1"]
    assert db1["ansible_host"] == "10.78.3.31"


def test_a_lab_that_is_not_up_is_said_with_its_mend(labs):
    with pytest.raises(MachineError) as caught:
        require_instance(Path("/p"), "tiny", "one")
    assert caught.value.hint == "As root: drcli lab up --site tiny --name one"


def test_a_lab_of_another_site_is_not_taken_for_this_ones(labs):
    (labs / "one").mkdir()
    (labs / "one" / "instance.json").write_text(ONE.model_dump_json())
    (labs / "one" / "hosts.yml").touch()
    assert require_instance(Path("/p"), "tiny", "one") == ONE
    with pytest.raises(InputError, match="one of tiny"):
        require_instance(Path("/p"), "other", "one")
