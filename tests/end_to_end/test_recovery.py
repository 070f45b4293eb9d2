"""The main job: hosting-a loses its power in the middle of its work, and comes back whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from on_the_lab import PROJECT, SITE, on, red

pytestmark = pytest.mark.lab

TOOLS = Path(sys.executable).parent
LAYERS = ("network", "storage", "applications")


def kinds(events, kind):
    return [event for event in events if event["kind"] == kind]


SERVICES = {
    "r1": ("frr", "keepalived"),
    "r2": ("frr", "keepalived"),
    "ns1": ("unbound", "chrony"),
    "ns2": ("unbound", "chrony"),
    "db1": ("postgresql@15-main", "volumes-scrub", "volumes-witness.timer"),
    "db2": ("postgresql@15-main", "volumes-scrub", "volumes-witness.timer"),
    "bk1": ("backups.timer",),
    "ldap1": ("slapd",),
    "img1": ("orthanc",),
    "img2": ("orthanc",),
    "web1": ("haproxy", "nginx"),
    "probe1": (),
}


@pytest.fixture(scope="module")
def dark(lab, seen_red):
    """The whole site cut while writers commit, and powered on; what its gates said, and how a dry
    run of the whole plan ended."""
    lab.must("lab", "cut", "--site", SITE)
    lab.must("lab", "power-on", "--site", SITE)
    checks = lab.checks()
    seen_red |= red(checks)
    return checks, lab("recover", "--site", SITE, "--check", "--diff")


def test_no_gate_is_green_in_the_dark(dark):
    checks, _ = dark
    assert {c for c, _ in red(checks)} == {event["component"] for event in checks}


def test_a_dry_run_of_the_whole_plan_in_the_dark_changes_nothing_and_says_so(dark):
    _, dry = dark
    assert dry.code == 0, str(dry)
    assert "nothing was changed" in dry.out + dry.err


@pytest.mark.parametrize("host", SERVICES)
def test_after_a_power_cut_and_a_dry_run_a_host_offers_its_management_alone(dark, host):
    for unit in SERVICES[host]:
        assert (
            on(host, "systemctl", "show", "--property=ActiveState", unit)
            == "ActiveState=inactive\n"
        )
    shown = on(host, "ip", "-4", "-oneline", "address", "show", "scope", "global")
    assert {line.split()[1] for line in shown.splitlines()} == {"eth0"}
    listening = on(host, "ss", "--listening", "--tcp", "--udp", "--numeric", "--no-header")
    assert {line.split()[4].rpartition(":")[2] for line in listening.splitlines()} == {"22"}


@pytest.mark.parametrize("router", ["r1", "r2"])
def test_after_a_power_cut_a_router_forwards_and_filters_nothing(dark, router):
    assert on(router, "cat", "/proc/sys/net/ipv4/ip_forward").strip() == "0"
    assert on(router, "nft", "list", "ruleset") == ""


def test_after_a_power_cut_no_data_is_mounted_and_what_fails_is_in_its_place(dark):
    for host in ("db1", "db2"):
        assert "/srv/volumes" not in on(host, "cat", "/proc/mounts")
    assert on("ldap1", "stat", "--format=%U", "/var/lib/ldap/hosting-a/lock.mdb") == "root\n"
    assert "FAKETIME=+300s" in on("ns2", "systemctl", "show", "--property=Environment", "chrony")
    assert on("ns2", "ls", "/var/lib/lab/first-start")


@pytest.fixture(scope="module")
def recovered(lab, dark):
    """The events of the recovery."""
    ended, events = lab.recover()
    assert ended.code == 0, str(lab("show"))
    return events


LOGGED_SINCE_BOOT = """\
awk -v boot="$(systemctl show --value --property=UserspaceTimestamp --timestamp=utc |
               cut -d ' ' -f 2,3)" '$1 " " $2 >= boot' /var/log/postgresql/*.log
"""


@pytest.mark.parametrize(
    ("host", "command", "said"),
    [
        ("db1", LOGGED_SINCE_BOOT, "not properly shut down; automatic recovery"),
        (
            "db1",
            "journalctl --boot --unit volumes-scrub",
            "errors were met and mended",
        ),
        ("db2", LOGGED_SINCE_BOOT, "interrupted while in recovery"),
        ("ns2", "journalctl --boot --unit unbound", "Failed to start"),
    ],
)
def test_what_a_power_cut_had_done_was_met_on_the_way(recovered, host, command, said):
    assert said in on(host, "sh", "-c", command)


def test_every_component_is_verified_by_at_least_four_checks_on_each_host(recovered):
    started = recovered[0]
    last = {event["component"]: event for event in kinds(recovered, "gate_finished")}
    for component in started["components"]:
        gate = last[component["name"]]
        assert gate["green"], gate
        assert gate["passed"] >= 4 * len(component["hosts"])


def test_no_layer_starts_before_the_one_below_is_verified(recovered):
    layer_of = {c["name"]: LAYERS.index(c["layer"]) for c in recovered[0]["components"]}
    up: set[str] = set()
    for event in recovered:
        if event["kind"] in ("component_verified", "component_healthy"):
            up.add(event["component"])
        if event["kind"] in ("gate_started", "playbook_started"):
            below = {n for n, at in layer_of.items() if at < layer_of[event["component"]]}
            assert below <= up, f"{event} before {below - up}"


def test_no_acknowledged_record_is_lost(lab, recovered):
    verdict = lab.must("lab", "ledger", "--site", SITE)
    found = re.search(r"\b0 of (\d+) acknowledged records lost", verdict.out)
    assert found, str(verdict)
    assert int(found[1]) > 0


def test_a_second_recovery_finds_everything_healthy_and_changes_nothing(lab, recovered):
    ended, events = lab.recover()
    assert ended.code == 0, str(ended)
    assert not kinds(events, "playbook_started"), [e for e in events if e.get("message")]
    healthy = {event["component"] for event in kinds(events, "component_healthy")}
    assert healthy == {c["name"] for c in events[0]["components"]}


def test_every_playbook_run_again_changes_nothing(lab, recovered):
    """Idempotence, straight from ansible-playbook: no host reports a change."""
    plan = json.loads(lab.must("plan", "--site", SITE, "--json").out)
    books = [component["playbook"] for component in plan["components"]]
    done = subprocess.run(
        [TOOLS / "ansible-playbook", "-i", f"inventories/{SITE}/hosts.yml", *books],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    changed = re.findall(r"^(\S+)\s*: ok=.*changed=([1-9]\d*)", done.stdout, re.MULTILINE)
    assert not changed, re.findall(r"^TASK \[.*\n(?:ok.*\n)*changed: .*", done.stdout, re.MULTILINE)


def test_a_dry_run_on_the_healthy_site_changes_nothing_and_says_so(lab, recovered):
    ended = lab("recover", "--site", SITE, "--check", "--diff")
    assert ended.code == 0, str(lab("show"))
    assert "nothing was changed" in ended.out + ended.err


def gateway_of(network, gateway):
    """The router that has a network's gateway address, its card there, and the other one's."""
    cards = {r: on(r, "cat", f"/sys/class/net/{network}/address").strip() for r in ("r1", "r2")}
    holder = next(r for r in cards if f" {gateway}/" in on(r, "ip", "-4", "address"))
    other = next(card for router, card in cards.items() if router != holder)
    return holder, cards[holder], other


ASK = """
import socket, struct, sys
name = b"".join(bytes([len(p)]) + p.encode() for p in sys.argv[2].split(".")) + b"\\0"
query = struct.pack(">6H", 7, 256, 1, 0, 0, 0) + name + struct.pack(">2H", 6, 1)
with socket.create_connection((sys.argv[1], 53), timeout=10) as server:
    for _ in sys.stdin:
        try:
            server.sendall(struct.pack(">H", len(query)) + query)
            size = struct.unpack(">H", server.recv(2, socket.MSG_WAITALL))[0]
            server.recv(size, socket.MSG_WAITALL)
            print("answered", flush=True)
        except OSError as error:
            print(error, flush=True)
"""


def test_a_connection_that_the_other_router_carried_meanwhile_goes_on(lab, recovered):
    """Else a firewall takes what it did not see for a forgery, and drops the answers for ever."""
    ways = (
        ("img1", "application", "10.77.3.1"),
        ("ns1", "core", "10.77.1.1"),
    )
    ask_ns1 = ["python3", "-c", ASK, "10.77.1.21", "hosting-a.internal"]
    words = ["podman", "exec", "-i", f"drcli-{SITE}-img1", *ask_ns1]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as client:

        def ask():
            client.stdin.write("\n")
            return client.stdout.readline().strip()

        try:
            assert ask() == "answered"
            for host, network, gateway in ways:
                _, _, other = gateway_of(network, gateway)
                entry = ("replace", gateway, "dev", network, "lladdr", other, "nud", "permanent")
                on(host, "ip", "neigh", *entry)
            assert [ask() for _ in range(3)] == ["answered"] * 3
        finally:
            for host, network, gateway in ways:
                on(host, "ip", "neigh", "del", gateway, "dev", network)
        assert ask() == "answered"


def test_a_host_that_sends_to_the_wrong_router_learns_better(lab, recovered):
    """Else answers pass a router that saw no question, and its firewall drops them for ever."""
    gateway = "10.77.2.1"
    holder, right, wrong = gateway_of("storage", gateway)
    entry = ("ip", "neigh", "replace", gateway, "dev", "storage", "lladdr", wrong)
    on("db1", *entry, "nud", "permanent")
    on("db1", *entry, "nud", "reachable")
    deadline = time.monotonic() + 30
    while wrong in (known := on("db1", "ip", "neigh", "show", gateway)):
        assert time.monotonic() < deadline, f"{holder} has {gateway}; db1 still believes {known}"
        time.sleep(0.5)
    assert right in known
