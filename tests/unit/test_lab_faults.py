"""The catalogue of faults: what an entry must say, and what is wrong in one."""

import textwrap
from pathlib import Path

import pytest

from orchestrator.errors import InputError
from orchestrator.lab.definition import load_lab
from orchestrator.lab.faults import faults_after_cut, find_fault, load_faults

PROJECT = Path(__file__).parents[2]
LAB = """\
management_network: 10.9.0.0/24
networks: [core]
base_packages: [openssh-server]
images: {plain: []}
"""
HOSTS = """\
all:
  hosts:
    r1: {ansible_host: 10.9.0.11, lab_image: plain, lab_disks: {data0: 64M}}
"""
GOOD = """
    name: lost-configuration
    explains: A router has lost its configuration.
    component: routing
    expect: recovered
    hosts: [r1]
    script: rm /etc/frr/frr.conf
"""


@pytest.fixture
def read(tmp_path):
    folder = tmp_path / "inventories" / "tiny"
    (folder / "lab").mkdir(parents=True)
    (folder / "site.yml").write_text("site: tiny\n")
    (folder / "hosts.yml").write_text(HOSTS)
    (folder / "lab" / "lab.yml").write_text(LAB)

    def read(*entries):
        listed = "".join(
            textwrap.indent("- " + textwrap.dedent(e).strip().replace("\n", "\n  ") + "\n", "  ")
            for e in entries
        )
        (folder / "lab" / "faults.yml").write_text(f"faults:\n{listed}")
        return load_faults(load_lab(tmp_path, "tiny"))

    return read


def test_a_fault_is_found_by_its_name(read):
    fault = read(GOOD)["lost-configuration"]
    assert (fault.verb, fault.component, fault.hosts) == ("script", "routing", ("r1",))


@pytest.mark.parametrize(
    "verb",
    [
        "power: stays-off",
        "boot_delay: 45",
        "host_key: new",
        "disk: {name: data0, do: detach}",
        "disk: {name: data0, do: corrupt, offset: 1M, length: 64K}",
    ],
)
def test_every_verb_can_be_written(read, verb):
    fault = read(GOOD.replace("script: rm /etc/frr/frr.conf", verb))["lost-configuration"]
    assert fault.verb == verb.split(":")[0]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (GOOD + "    power: stays-off\n", "exactly one of"),
        (GOOD.replace("    script: rm /etc/frr/frr.conf\n", ""), "exactly one of"),
        (GOOD.replace("[r1]", "[r2]"), "no host 'r2'"),
        (GOOD.replace("[r1]", "[]"), "hosts"),
        (GOOD.replace("recovered", "repaired"), "expect"),
        (GOOD.replace("script: rm /etc/frr/frr.conf", "disk: {name: data9, do: blank}"), "data9"),
        (GOOD.replace("script: rm /etc/frr/frr.conf", "boot_delay: soon"), "boot_delay"),
        (GOOD + "    reason: '('\n", "no regular expression"),
        (GOOD + "    undoes: 'true'\n", "undoes"),
    ],
    ids=["two-verbs", "no-verb", "host", "no-hosts", "expect", "disk", "delay", "reason", "key"],
)
def test_what_is_wrong_is_said_with_its_line(read, entry, said):
    with pytest.raises(InputError) as caught:
        read(entry)
    assert said in caught.value.message
    assert "faults.yml:" in caught.value.message


def test_a_name_that_stands_twice_is_refused(read):
    with pytest.raises(InputError, match="stands twice"):
        read(GOOD, GOOD)


def test_an_unknown_fault_has_the_nearest_name_in_its_error():
    lab = load_lab(PROJECT, "hosting-a")
    with pytest.raises(InputError, match="did you mean 'host-stays-off'"):
        find_fault(lab, "host-stay-off")


def test_hosting_a_has_at_least_twelve_faults_holds_say_why_and_repairs_have_a_proof():
    faults = load_faults(load_lab(PROJECT, "hosting-a"))
    assert len(faults) >= 12
    assert [f.name for f in faults.values() if f.expect == "held" and not f.reason] == []
    proven = [f.name for f in faults.values() if f.proof]
    assert proven == [f.name for f in faults.values() if f.expect == "recovered"]


def test_what_every_cut_of_hosting_a_leaves_behind_is_in_its_catalogue():
    lab = load_lab(PROJECT, "hosting-a")
    assert [fault.name for fault in faults_after_cut(lab)] == list(lab.file.after_cut)
    assert lab.file.after_cut
