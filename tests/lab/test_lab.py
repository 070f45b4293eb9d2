"""The lab on a small site: machines that boot, lose their power, and leave nothing when removed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab_site import SITE, printed

from orchestrator.lab.definition import LAB_ROOT

pytestmark = pytest.mark.lab


def remains() -> list[str]:
    found = (
        printed("podman", "ps", "--all", "--format={{.Names}}"),
        printed("podman", "network", "ls", "--format={{.Name}}"),
        printed("ip", "netns", "list"),
        printed("losetup", "--list", "--noheadings", "--output=BACK-FILE"),
        Path("/proc/self/mounts").read_text(encoding="utf-8"),
        *(str(path) for path in LAB_ROOT.glob(f"{SITE}/*")),
    )
    return [line for text in found for line in text.splitlines() if SITE in line]


def test_down_leaves_nothing_after_an_up_that_was_killed_half_way(site):
    drcli = str(Path(sys.executable).with_name("drcli"))
    command = [drcli, "lab", "up", "--bare", "--site", SITE]
    with subprocess.Popen(command, cwd=site.project, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as up:  # fmt: skip
        deadline = time.monotonic() + 300
        while not remains() and up.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        up.send_signal(signal.SIGKILL)
    site.must("down")
    assert remains() == []


def test_down_finds_everything_without_the_state_of_the_lab(up):
    for path in (LAB_ROOT / SITE).glob("*.json*"):
        path.unlink()
    (LAB_ROOT / SITE / "known_hosts").unlink()
    up.must("down")
    assert remains() == []


def test_down_of_no_lab_says_so(site):
    site.must("down")
    assert "nothing was there" in site.must("down")


def test_hosts_answer_with_the_key_that_was_known_before_they_first_booted(up):
    assert [up.ssh(name).returncode for name in ("one", "two")] == [0, 0]


def test_a_host_has_its_cables_up_and_no_address_on_them(up):
    links = json.loads(up.inside("one", "ip -json address show"))
    data = {link["ifname"]: link for link in links if link["ifname"] in ("left", "right")}
    assert {name: link["operstate"] for name, link in data.items()} == {"left": "UP", "right": "UP"}
    assert [a for link in data.values() for a in link["addr_info"] if a["family"] == "inet"] == []


def test_hosts_on_one_network_reach_each_other_and_this_machine_has_no_part_in_it(up):
    up.inside("one", "ip address replace 10.123.0.1/24 dev left")
    up.inside("two", "ip address replace 10.123.0.2/24 dev left")
    up.inside("one", "ping -c 1 -W 2 10.123.0.2")
    assert "10.123.0." not in printed("ip", "address")


def test_only_ssh_and_what_systemd_itself_needs_starts_at_boot(up):
    listed = up.inside("one", "systemctl list-units --type=service --state=running --plain -q")
    running = {line.split()[0] for line in listed.splitlines()}
    own = {"dbus.service", "systemd-journald.service", "systemd-logind.service"}
    assert running - own == {"ssh.service"}


def test_a_second_up_changes_nothing_and_takes_seconds(up):
    before = printed("podman", "ps", "--format={{.ID}} {{.Names}}")
    begun = time.monotonic()
    up.must("up", "--bare")
    assert time.monotonic() - begun < 30
    assert printed("podman", "ps", "--format={{.ID}} {{.Names}}") == before


def test_a_cut_takes_what_was_only_running_and_keeps_what_was_on_disk(up):
    up.inside("two", "ip address replace 10.123.0.2/24 dev left; touch /run/gone")
    up.inside("two", "echo kept > /root/kept; sync")
    up.must("cut", "--hosts", "two")
    assert "two      10.78" in up.must("status").replace("two   ", "two      ")
    up.must("power-on")
    found = up.inside("two", "cat /root/kept; ls /run/gone 2>&1 || true; ip address show dev left")
    assert found.startswith("kept\n")
    assert "cannot access '/run/gone'" in found
    assert "10.123.0.2" not in found


def test_network_cards_are_the_same_after_a_cut(up):
    cards = "ip -brief link | awk '{print $1, $3}' | sed 's/@[^ ]*//' | grep -E 'eth0|left'"
    before = up.inside("two", cards)
    up.must("cut", "--hosts", "two")
    up.must("power-on")
    assert up.inside("two", cards) == before


def test_a_feed_takes_its_own_hosts_and_no_others(up):
    said = up.must("cut", "--feed", "B")
    assert "power cut: two" in said
    assert up.ssh("one").returncode == 0


def test_a_cut_of_dark_hosts_says_so(up):
    up.must("cut", "--hosts", "two")
    assert "off already" in up.must("cut", "--hosts", "two")


def test_a_cut_comes_in_the_middle_of_writing_and_every_acknowledgement_is_on_disk(up):
    ledger = LAB_ROOT / SITE / "ledger.jsonl"
    ledger.unlink(missing_ok=True)
    said = up.must("cut", "--writes", "10")
    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))
    assert len(lines) >= 10
    assert f"rows: {len(lines)} writes acknowledged until the cut" in said


def test_a_cut_of_a_dark_site_says_that_no_client_could_write(up):
    up.must("cut")
    assert "no client could write" in up.must("cut")


def test_a_cut_leaves_behind_what_lab_yml_says_before_ssh_answers(up):
    up.inside("one", "rm -f /root/left-behind")
    up.must("cut", "--writes", "0")
    up.must("power-on")
    assert up.ssh("one", "cat /root/left-behind").stdout == "left\n"


def test_the_verdict_counts_what_was_acknowledged(up):
    (LAB_ROOT / SITE / "ledger.jsonl").write_text('{"kind":"row","id":1}\n{"kind":"row","id')
    assert "0 of 1 acknowledged records lost (1 row)" in up.must("ledger")


def test_a_host_that_stays_off_is_not_booted_until_that_is_undone(up):
    up.must("break", "stays-off")
    assert "two stays off: fault stays-off" in up.must("power-on")
    assert up.ssh("two").returncode == 255
    up.must("break", "stays-off", "--undo")
    assert up.ssh("two").returncode == 0


def test_a_host_with_a_new_key_is_refused_until_that_is_undone(up):
    up.must("break", "new-key")
    refused = up.ssh("two")
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in refused.stderr
    up.must("break", "new-key", "--undo")
    assert up.ssh("two").returncode == 0


def test_a_slow_host_is_not_waited_for_and_its_ssh_is_silent(up):
    up.must("break", "slow")
    assert up.ssh("two").returncode == 255
    up.must("break", "slow", "--undo")
    deadline = time.monotonic() + 30
    while up.ssh("two").returncode and time.monotonic() < deadline:
        time.sleep(0.2)
    assert up.ssh("two").returncode == 0


def test_damage_to_a_disk_is_where_it_was_asked_for_and_nowhere_else(up):
    up.inside("two", "dd if=/dev/zero of=/dev/data0 bs=1M count=16 conv=fsync 2>&1")
    up.must("break", "noise")
    where = "dd if=/dev/data0 bs=64K skip={} count={} 2>/dev/null | tr -d '\\0' | wc -c"
    assert int(up.inside("two", where.format(16, 1))) > 60_000
    assert int(up.inside("two", where.format(0, 16))) == 0
    assert int(up.inside("two", where.format(17, 239))) == 0


def test_a_disk_that_is_out_has_no_medium_until_that_is_undone(up):
    up.inside("two", "echo data | dd of=/dev/data0 conv=fsync 2>&1")
    up.must("break", "no-disk")
    assert up.inside("two", "head -c 4 /dev/data0 2>&1 || true") != "data"
    up.must("break", "no-disk", "--undo")
    assert up.inside("two", "head -c 4 /dev/data0") == "data"


def test_a_fault_that_a_recovery_repairs_has_no_undo(up):
    done = up("break", "noise", "--undo")
    assert done.returncode == 2
    assert "a recovery repairs it" in done.stderr


def test_an_unknown_fault_is_refused_with_the_list_to_look_at(up):
    done = up("break", "nosie")
    assert done.returncode == 2
    assert "noise" in done.stderr
    assert "drcli lab break --list" in done.stderr


def test_a_rebuilt_host_has_lost_everything_and_still_has_its_key(up):
    up.inside("two", "touch /root/mine; dd if=/dev/urandom of=/dev/data0 bs=1K count=1 2>&1")
    up.must("up", "--bare", "--rebuild", "two")
    assert up.ssh("two", "ls /root/mine").returncode == 2
    assert int(up.inside("two", "head -c 1024 /dev/data0 | tr -d '\\0' | wc -c")) == 0
