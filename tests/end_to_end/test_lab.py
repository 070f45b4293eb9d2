"""The lab itself, on a tiny site of its own: its power cuts, its seeded state, its removal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from clean_environment import clean_environment
from ruamel.yaml import YAML
from tiny_site import PROJECT, SITE, make_tiny_site

pytestmark = pytest.mark.lab

DRCLI = (sys.executable, "-c", "from orchestrator.cli.front import main; main()")
LABS = Path("/var/lib/drcli/labs")
OURS = re.compile(r"drcli-[0-9a-f]{6}")


class TinyLab:
    """One instance of the tiny site, through the real command."""

    def __init__(self, project: Path, cache: Path, name: str) -> None:
        self.project, self.name, self.folder = project, name, LABS / name
        self.environment = clean_environment() | {
            "PYTHONPATH": str(PROJECT),
            "XDG_CACHE_HOME": str(cache),
            "DRCLI_LAB": name,
        }

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*DRCLI, "lab", words[0], "--site", SITE, *words[1:]],
            cwd=self.project, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, *words: str, code: int = 0) -> str:
        process = self.start(*words)
        out, err = process.communicate(timeout=300)
        assert process.returncode == code, f"{words}: {process.returncode}\n{out}\n{err}"
        return out + err

    @property
    def short(self) -> str:
        return json.loads((self.folder / "instance.json").read_text())["short"]

    def inside(self, host: str, script: str) -> str:
        command = ["podman", "exec", f"drcli-{self.short}-{host}", "sh", "-euc", script]
        return run(*command)

    def running(self) -> dict[str, bool]:
        found = json.loads(self("status", "--json", code=self.expected).splitlines()[0])
        return {host["name"]: host["on"] and host["ssh"] for host in found["hosts"]}

    expected = 0


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def left_of(*labs: TinyLab, shorts: set[str]) -> list[str]:
    """What is still there of these labs, whose short ids were these."""
    links = [link["ifname"] for link in json.loads(run("ip", "-json", "link"))]
    rooms = run("ip", "netns", "list").split()
    containers = run("podman", "ps", "--all", "--external", "--format", "{{.Names}}").split()
    loops = run("losetup", "--list", "--noheadings", "--output", "BACK-FILE").split()
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    return [
        *(name for name in (*links, *rooms, *containers) if any(s in name for s in shorts)),
        *(p for p in (*loops, *mounts) if any(p.startswith(str(lab.folder)) for lab in labs)),
        *(str(lab.folder) for lab in labs if lab.folder.exists()),
    ]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """The tiny site, up and seeded."""
    packages = YAML(typ="safe").load(PROJECT / "inventories/hosting-a/lab/lab.yml")["packages"]
    project = make_tiny_site(tmp_path_factory.mktemp("tiny") / "project", packages=packages)
    lab = TinyLab(project, tmp_path_factory.mktemp("cache"), f"tiny-{uuid.uuid4().hex[:6]}")
    said = lab("up")
    assert "made by its playbooks" in said
    yield lab
    short = lab.short
    lab("down")
    assert left_of(lab, shorts={short}) == []
    images = run("podman", "images", "--format", "{{.Repository}}:{{.Tag}}").split()
    content = next((lab_cache(lab)).iterdir()).name
    run("podman", "rmi", *(image for image in images if f"/{content}:" in image))


def lab_cache(lab: TinyLab) -> Path:
    return Path(lab.environment["XDG_CACHE_HOME"]) / "drcli" / "lab"


def test_a_new_lab_is_a_running_site_with_its_first_records(tiny):
    assert all(tiny.running().values())
    assert re.search(r"^0 of \d+ acknowledged records lost", tiny("ledger"), re.MULTILINE)


def test_the_overlay_reaches_every_host_with_known_keys(tiny):
    ansible = Path(sys.executable).with_name("ansible")
    hosts = ("-i", f"inventories/{SITE}/hosts.yml", "-i", str(tiny.folder / "hosts.yml"))
    said = subprocess.run(
        [ansible, *hosts, "all", "-m", "ping"],
        cwd=tiny.project, env=tiny.environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert said.count("SUCCESS") == 3


def test_no_host_reaches_another_over_the_management_network(tiny):
    other = json.loads((tiny.folder / "hosts.yml").read_text())["all"]["hosts"]["srv2"]
    with pytest.raises(subprocess.CalledProcessError):
        tiny.inside("srv1", f"ping -c 1 -W 1 {other['ansible_host']}")


def test_a_cut_loses_what_was_not_flushed_and_a_boot_starts_ssh_alone(tiny):
    tiny("reset")
    tiny.inside("srv1", "echo kept >/srv/notes/kept; sync; echo lost >/srv/notes/lost")
    said = tiny("cut", "--writes", "20")
    assert int(re.search(r"(\d+) writes acknowledged", said)[1]) >= 20
    tiny.expected = 1
    assert tiny.running() == {"srv1": False, "srv2": False, "client1": True}
    tiny.expected = 0
    tiny("power-on")
    assert tiny.running() == {"srv1": True, "srv2": True, "client1": True}
    assert "10.9.9" not in tiny.inside("srv1", "ip address; ip route; cat /etc/resolv.conf || true")
    assert "UP" in tiny.inside("srv1", "ip -brief link show dev data")
    assert "10.9.9.91" in tiny.inside("client1", "ip address")
    assert tiny.inside("srv2", "ls /root/left-by-the-cut /var/lib/lab/power-event")
    services = "systemctl list-units --type=service --state=running --plain --no-legend"
    assert tiny.inside("srv1", f"{services} | cut -d ' ' -f 1").split() == [
        "ssh.service",
        "systemd-journald.service",
    ]
    tiny.inside("srv1", "mount -t btrfs /dev/data0 /srv/notes")
    assert tiny.inside("srv1", "cat /srv/notes/kept") == "kept\n"
    assert tiny.inside("srv1", "cat /srv/notes/lost 2>/dev/null || true") == ""
    tiny.inside("srv1", "ip address replace 10.9.9.21/24 dev data; systemctl start notes")
    assert re.search(r"^0 of \d+ acknowledged records lost", tiny("ledger"), re.MULTILINE)


def test_the_ledger_sees_what_was_acknowledged_without_a_flush(tiny):
    tiny("reset")
    tiny.inside("srv1", "touch /etc/notes-never-sync")
    tiny("cut", "--writes", "30")
    tiny("power-on")
    tiny.inside("srv1", "mount -t btrfs /dev/data0 /srv/notes; touch /srv/notes/log")
    tiny.inside("srv1", "ip address replace 10.9.9.21/24 dev data; systemctl start notes")
    lost = re.search(r"^(\d+) of (\d+) acknowledged", tiny("ledger", code=1), re.MULTILINE)
    assert 0 < int(lost[1]) < int(lost[2])


def given(lab: TinyLab) -> dict[str, list[str]]:
    listed = json.loads(lab("break", "--list", "--json").splitlines()[0])["faults"]
    return {fault["name"]: fault["given"] for fault in listed if fault["given"]}


def test_some_hosts_or_a_feed_are_cut_and_an_unknown_feed_is_refused_with_those_there_are(tiny):
    tiny("reset")
    tiny("cut", "--hosts", "srv2")
    assert tiny.inside("srv1", "systemctl is-active notes") == "active\n"
    tiny("power-on", "--hosts", "srv2")
    assert all(tiny.running().values())
    said = tiny("cut", "--feed", "B", "--writes", "5")
    assert "power cut of feed B: srv2\n" in said
    assert "writes acknowledged until the cut" in said
    assert tiny.inside("srv1", "systemctl is-active notes") == "active\n"
    assert "their disks keep" in tiny("cut", "--feed", "A", "--writes", "0")
    assert "Its feeds: A, B" in tiny("cut", "--feed", "C", code=2)
    assert "not both" in tiny("cut", "--feed", "A", "--hosts", "srv1", code=2)


def test_faults_are_listed_given_and_taken_back(tiny):
    tiny("reset")
    assert given(tiny) == {}
    assert "The server is broken." in tiny("break", "unmounted")
    assert given(tiny) == {"unmounted": ["srv1"]}
    assert "given: srv1" in tiny("break", "--list")
    assert "inactive" in tiny.inside("srv1", "systemctl is-active notes || true")
    tiny("break", "unmounted", "--undo")
    assert tiny.inside("srv1", "systemctl is-active notes") == "active\n"
    assert given(tiny) == {}
    assert "did you mean 'unmounted'" in tiny("break", "unmuonted", code=2)
    assert "notes is not on it" in tiny("break", "unmounted", "--host", "srv2", code=2)


def test_a_host_that_stays_off_and_a_disk_that_is_out_come_back_with_the_undo(tiny):
    tiny("reset")
    tiny("break", "stays-off")
    assert "srv1 stays off: drcli lab break stays-off --undo" in tiny("power-on")
    tiny("break", "stays-off", "--undo")
    assert all(tiny.running().values())
    tiny("break", "disk-out")
    tiny("cut", "--writes", "0")
    tiny("power-on")
    with pytest.raises(subprocess.CalledProcessError):
        tiny.inside("srv1", "mount -t btrfs /dev/data0 /srv/notes")
    tiny("break", "disk-out", "--undo")
    tiny.inside("srv1", "mount -t btrfs /dev/data0 /srv/notes; test -s /srv/notes/log")


def test_a_disk_that_was_damaged_is_whole_again_after_a_reset(tiny):
    tiny("reset")
    for fault in ("disk-blank", "disk-noise"):
        tiny("break", fault)
        with pytest.raises(subprocess.CalledProcessError):
            tiny.inside("srv1", "mount -t btrfs /dev/data0 /srv/notes")
        assert "has no undo" in tiny("break", fault, "--undo", code=2)
        tiny("reset")
        assert re.search(r"^0 of \d+ acknowledged records lost", tiny("ledger"), re.MULTILINE)


def test_a_late_host_and_another_key_are_undone_by_a_reset_or_by_hand(tiny):
    tiny("reset")
    known = (tiny.folder / "host_keys" / "srv1.pub").read_text().split()[1]
    shown = "cut -d ' ' -f 2 /etc/ssh/ssh_host_ed25519_key.pub"
    tiny("break", "other-key")
    assert tiny.inside("srv1", shown).strip() != known
    tiny("break", "other-key", "--undo")
    assert tiny.inside("srv1", shown).strip() == known
    tiny("break", "late")
    tiny.expected = 1
    assert tiny.running() == {"srv1": False, "srv2": True, "client1": True}
    tiny.expected = 0
    tiny("break", "late", "--undo")
    tiny("break", "stays-off")
    tiny("reset")
    assert given(tiny) == {}
    assert all(tiny.running().values())


def test_a_process_with_mounts_of_its_own_does_not_keep_the_disks(tiny):
    """Every playbook has a mount namespace of its own, with a copy of all mounts of the moment."""
    with subprocess.Popen(["unshare", "--mount", "sleep", "300"]) as other:
        try:
            tiny("reset")
        finally:
            other.kill()
    assert all(tiny.running().values())


def test_two_labs_of_one_site_stand_side_by_side(tiny):
    other = TinyLab(tiny.project, lab_cache(tiny).parents[1], f"tiny-{uuid.uuid4().hex[:6]}")
    try:
        # From the same snapshot its disks would have the UUIDs of the first one's.
        assert "made by its playbooks" in other("up")
        short = other.short
        tiny.inside("srv1", "systemctl stop notes")
        assert re.search(r"^0 of \d+ acknowledged", other("ledger"), re.MULTILINE)
        other("cut", "--writes", "1")
        assert all(tiny.running().values())
    finally:
        other("down")
    assert left_of(other, shorts={short}) == []
    assert all(tiny.running().values())


def test_what_a_broken_off_up_left_is_taken_down(tiny):
    half = TinyLab(tiny.project, lab_cache(tiny).parents[1], f"tiny-{uuid.uuid4().hex[:6]}")
    starting = half.start("up")
    while starting.poll() is None:
        if "hosts" in starting.stderr.readline():
            starting.kill()
    starting.communicate()
    short = half.short
    half("down")
    assert left_of(half, shorts={short}) == []


def test_a_lab_of_which_everything_was_killed_at_once_is_taken_down(tiny):
    doomed = TinyLab(tiny.project, lab_cache(tiny).parents[1], f"tiny-{uuid.uuid4().hex[:6]}")
    doomed("up", "--bare")
    short = doomed.short
    containers = json.loads(run("podman", "ps", "--format", "json"))
    ours = [c for c in containers if c["Names"][0].startswith(f"drcli-{short}-")]
    conmons = [int(Path(c["ConmonPidFile"]).read_text()) for c in map(inspected, ours)]
    for process in (*conmons, *(c["Pid"] for c in ours)):
        os.kill(process, signal.SIGKILL)
    doomed("down")
    assert left_of(doomed, shorts={short}) == []


def inspected(container: dict) -> dict:
    return json.loads(run("podman", "inspect", container["Id"]))[0]


def test_a_lab_that_is_not_up_is_an_error_that_names_the_mend(tiny):
    absent = TinyLab(tiny.project, lab_cache(tiny).parents[1], "tiny-absent")
    said = absent("status", code=2)
    assert "drcli lab up --site tiny" in said
    assert "Its layers: storage." in absent("up", "--layer", "network", code=2)
    assert not absent.folder.exists()
