"""What a lab is made of: values from the inventory and lab.yml, and what is wrong in them."""

import textwrap

import pytest

from orchestrator.errors import InputError
from orchestrator.lab.definition import load_definition, size_of

LAB = """\
    networks: [core, storage]
    packages: [postgresql-15]
    writers: [{name: rows, host: client1, command: [w]}]
    reader: {name: rows, host: client1, command: [r]}
    after_cut: [{hosts: [db1], script: "true"}]
"""
HOSTS = """
    all:
      children:
        routers:
          hosts:
            r1: {host_number: 11}
            r2: {host_number: 12, power_feed: B}
          vars: {networks: [core, storage]}
        databases:
          hosts:
            db1: {host_number: 31}
          vars: {networks: [storage], lab_disks: {data0: 64M, data1: 1G}}
        clients:
          hosts:
            client1: {host_number: 91, networks: [core], lab_outside: true}
"""


@pytest.fixture
def make(tmp_path):
    def make(*, lab=LAB, hosts=HOSTS):
        folder = tmp_path / "inventories" / "tiny"
        (folder / "lab").mkdir(parents=True, exist_ok=True)
        (folder / "site.yml").write_text("site: tiny\n")
        (folder / "hosts.yml").write_text(textwrap.dedent(hosts))
        (folder / "lab" / "lab.yml").write_text(textwrap.dedent(lab))
        return load_definition(tmp_path, "tiny")

    return make


def test_hosts_have_what_the_inventory_says(make):
    db1 = make().host("db1")
    assert (db1.number, db1.networks, db1.feed, db1.outside) == (31, ("storage",), "A", False)
    assert db1.disks == {"data0": 64 << 20, "data1": 1 << 30}


def test_who_stands_outside_is_not_in_the_hosting_room(make):
    assert [host.name for host in make().inside] == ["r1", "r2", "db1"]


def test_hosts_are_chosen_by_globs(make):
    assert [host.name for host in make().select("r*, db1")] == ["r1", "r2", "db1"]


def test_a_choice_of_no_host_names_those_there_are(make):
    with pytest.raises(InputError) as caught:
        make().select("web*")
    assert "'web*'" in caught.value.message
    assert "r1, r2, db1" in caught.value.hint


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"hosts": HOSTS.replace("12,", "1,")}, "r2: host_number 1 is no number from 2 to 254"),
        ({"hosts": HOSTS.replace("12,", "11,")}, "r1 and r2 share the host_number 11"),
        ({"hosts": HOSTS.replace("[core, storage]}", "[cord]}")}, "networks ['cord']"),
        ({"hosts": HOSTS.replace("64M", "64X")}, "'64X' is no size"),
        ({"hosts": HOSTS.replace("true", "maybe")}, "lab_outside"),
        ({"lab": LAB.replace("networks:", "network:")}, "lab.yml:1:1"),
        ({"lab": LAB.replace("host: client1, command: [w]", "host: p1, command: [w]")}, "yml:3:30"),
        ({"lab": LAB.replace("host: client1, command: [r]", "host: r1, command: [r]")}, "yml:4:28"),
        ({"lab": LAB.replace("[db1]", "[db3]")}, "no host 'db3'"),
        ({"lab": LAB.replace("postgresql-15", "Postgres;rm")}, "lab.yml:2:12"),
    ],
    ids=["number", "twice", "network", "size", "outside", "unknown-key", "writer", "reader-inside",
         "after-cut", "package"],
)  # fmt: skip
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
