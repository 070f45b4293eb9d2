"""What a lab is made of: values from the inventory and lab.yml, and what is wrong in them."""

import textwrap

import pytest

from orchestrator.errors import InputError
from orchestrator.lab.definition import load_lab, size_of
from orchestrator.lab.disks import disk_file, loop_device
from orchestrator.lab.network import cables_of, controller_address, hardware_address

LAB = """
    management_network: 10.9.0.0/24
    networks: [core, storage]
    base_packages: [openssh-server]
    images: {plain: [], database: [postgresql-15]}
"""
HOSTS = """
    all:
      children:
        routers:
          hosts:
            r1: {ansible_host: 10.9.0.11, power_feed: A}
            r2: {ansible_host: 10.9.0.12, power_feed: B}
          vars: {networks: [core, storage], lab_image: plain}
        databases:
          hosts:
            db1: {ansible_host: 10.9.0.31}
          vars: {networks: [storage], lab_image: database, lab_disks: {data0: 64M, data1: 1G}}
"""


@pytest.fixture
def make(tmp_path):
    def make(*, lab=LAB, hosts=HOSTS):
        folder = tmp_path / "inventories" / "tiny"
        (folder / "lab").mkdir(parents=True, exist_ok=True)
        (folder / "site.yml").write_text("site: tiny\n")
        (folder / "hosts.yml").write_text(textwrap.dedent(hosts))
        (folder / "lab" / "lab.yml").write_text(textwrap.dedent(lab))
        return load_lab(tmp_path, "tiny")

    return make


def test_hosts_have_what_the_inventory_says(make):
    db1 = make().host("db1")
    assert (db1.address, db1.image, db1.networks, db1.feed) == (
        "10.9.0.31",
        "database",
        ("storage",),
        "A",
    )
    assert db1.disks == {"data0": 64 << 20, "data1": 1 << 30}


def test_hosts_are_chosen_by_globs_and_feed(make):
    lab = make()
    assert [h.name for h in lab.select("r*,db1")] == ["r1", "r2", "db1"]
    assert [h.name for h in lab.select(feed="B")] == ["r2"]


def test_a_choice_of_no_host_names_those_there_are(make):
    with pytest.raises(InputError) as caught:
        make().select("web*", feed="A")
    assert "'web*' on feed A" in caught.value.message
    assert "r1, r2, db1" in caught.value.hint


def test_every_cable_has_a_port_of_its_own_and_the_network_as_its_name_on_the_host(make):
    lab = make()
    cables = [cable for host in lab.hosts for cable in cables_of(lab, host)]
    assert [(c.host, c.network) for c in cables] == [
        ("r1", "core"),
        ("r1", "storage"),
        ("r2", "core"),
        ("r2", "storage"),
        ("db1", "storage"),
    ]
    assert len({c.port for c in cables}) == len(cables)
    assert all(len(c.port) <= 15 for c in cables)


def test_a_network_card_has_one_address_for_ever_and_no_other_card_has_it():
    cards = [(host, name) for host in ("r1", "r2") for name in ("eth0", "core", "storage")]
    addresses = [hardware_address("tiny", *card) for card in cards]
    assert addresses == [hardware_address("tiny", *card) for card in cards]
    assert len(set(addresses)) == len(cards)
    assert all(int(address[:2], 16) & 3 == 2 for address in addresses), "unicast, local"


def test_the_controller_has_the_first_address_of_the_management_network(make):
    assert controller_address(make()) == "10.9.0.1"


def test_each_disk_has_a_file_and_a_loop_device_of_its_own(make):
    lab = make()
    db1 = lab.host("db1")
    assert disk_file(lab, db1, "data0").name == "db1-data0"
    assert loop_device(lab, db1, "data0") != loop_device(lab, db1, "data1")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hosts": HOSTS.replace("10.9.0.12", "10.8.0.12")}, "r2: ansible_host 10.8.0.12"),
        ({"hosts": HOSTS.replace("10.9.0.12", "10.9.0.1")}, "r2: ansible_host 10.9.0.1"),
        ({"hosts": HOSTS.replace("10.9.0.12", "10.9.0.11")}, "share the address 10.9.0.11"),
        ({"hosts": HOSTS.replace("lab_image: plain", "lab_image: plane")}, "'plane' is not one of"),
        ({"hosts": HOSTS.replace("[core, storage], lab", "[cord], lab")}, "networks ['cord']"),
        ({"hosts": HOSTS.replace("64M", "64X")}, "'64X' is no size"),
        ({"lab": LAB.replace("networks:", "network:")}, "network"),
        ({"lab": LAB + "    writers: [{name: rows, host: p1, command: [w]}]\n"}, "no host 'p1'"),
    ],
    ids=["outside", "controllers", "twice", "image", "network", "size", "unknown-key", "writer"],
)
def test_what_is_wrong_is_said_with_its_place(make, wrong, said):
    with pytest.raises(InputError) as caught:
        make(**wrong)
    assert said in caught.value.message
    assert ".yml" in caught.value.message


@pytest.mark.parametrize(("text", "size"), [("64K", 65536), ("2M", 2 << 20), ("1G", 1 << 30)])
def test_a_size_is_bytes(text, size):
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "64", "64m", "-1M", "1.5G", "M"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="no size"):
        size_of(text)
