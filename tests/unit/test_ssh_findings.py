"""Keys, certificates, host keys, clocks and routes: judged from what was read and said."""

from __future__ import annotations

import subprocess

import pytest

from orchestrator.reach import Reach
from orchestrator.ssh_findings import (
    clock_findings,
    gateway_of,
    host_findings,
    key_findings,
    passages,
)
from orchestrator.ssh_look import Look

# /proc/net/route: two networks of our own, a route through .1 and one through a router.
ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t006433C6\t0B0200C0\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
eth1\t006433C6\t0C0200C0\t0003\t0\t0\t9\t00FFFFFF\t0\t0\t0
broken
"""


def keygen(*words):
    subprocess.run(["ssh-keygen", "-q", *map(str, words)], check=True, capture_output=True)


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "id"
    keygen("-t", "ed25519", "-N", "", "-f", path)
    return path


def keys(path, looks=()):
    found = key_findings([Reach(host="h1", address="192.0.2.1", key=path)], looks)
    return [(finding.name, finding.severity.value, finding.what) for finding in found]


def test_a_good_key_is_no_finding(key):
    assert keys(key) == []


def test_a_key_that_is_missing_or_open_to_others_blocks(key, tmp_path):
    [(name, severity, what)] = keys(tmp_path / "none")
    assert (name, severity, "No such file" in what) == ("key", "blocks", True)
    key.chmod(0o644)
    [(name, severity, what)] = keys(key)
    assert (name, severity, "mode 644" in what) == ("key", "blocks", True)


@pytest.mark.parametrize(
    ("interval", "what"),
    [
        ("20200101:20210101", "expired at 2021-01-01T00:00:00 UTC"),
        ("20990101:20990201", "is valid from 2099-01-01T00:00:00 UTC only"),
        ("20200101:20990101", ""),
        ("always:forever", ""),
        ("always:20210101", "expired at"),
    ],
)
def test_a_certificate_counts_by_its_dates(key, tmp_path, monkeypatch, interval, what):
    monkeypatch.setenv("TZ", "UTC")
    ca = tmp_path / "ca"
    keygen("-t", "ed25519", "-N", "", "-f", ca)
    keygen("-s", ca, "-I", "x", "-n", "root", "-V", interval, tmp_path / "id.pub")
    found = keys(key)
    assert [(name, severity) for name, severity, _ in found] == (
        [("certificate", "blocks")] if what else []
    )
    assert all(what in told for _, _, told in found)
    # The same when only ssh's own configuration names the key.
    looks = [Look(host="h1", settings={"identityfile": (str(key),)})]
    found = key_findings([Reach(host="h1", address="192.0.2.1")], looks)
    assert [finding.name for finding in found] == (["certificate"] if what else [])


def test_what_is_no_certificate_is_told(key):
    key.with_name("id-cert.pub").write_text("nonsense\n")
    assert keys(key) == [("certificate", "blocks", "is not a certificate")]


@pytest.mark.parametrize(
    ("address", "gateway"),
    [
        ("192.0.2.77", None),
        ("198.51.100.5", "192.0.2.11"),
        ("203.0.113.5", "192.0.2.1"),
        ("fd00::1", None),
    ],
)
def test_the_gateway_is_that_of_the_longest_and_nearest_route(address, gateway):
    assert gateway_of(address, ROUTES) == gateway


def test_without_a_table_of_routes_nothing_is_said():
    assert gateway_of("192.0.2.1", "") is None


def test_passages_are_ssh_s_jumps_and_the_routers():
    reaches = [Reach(host="a", address="198.51.100.5"), Reach(host="b", address="b.example")]
    found = passages(reaches, [Look(host="b", via=("bastion",))], ROUTES)
    assert [(p.kind, p.host, p.through, p.where) for p in found] == [
        ("jump", "b", "bastion", "ssh -G b.example"),
        ("router", "a", "192.0.2.11", "ip route get 198.51.100.5"),
    ]


def clocks(**apart):
    return [(finding.where, finding.what) for finding in clock_findings(apart)]


def test_clocks_that_agree_are_no_finding():
    assert clocks() == clocks(a=0.0) == clocks(a=4.0, b=-4.0) == []


def test_a_host_whose_clock_is_apart_is_named():
    [(where, what)] = clocks(a=0.0, b=-1_790_000_000.0)
    assert (where, what) == ("b", "its clock is 1790000000 s behind of this one")
    assert len(clocks(a=100.0)) == 1  # one alone proves nothing about us
    assert [where for where, _ in clocks(a=100.0, b=-100.0)] == ["a", "b"]


def test_when_all_hosts_agree_it_is_the_controllers_clock():
    [(where, what)] = clocks(a=3_600.0, b=3_601.0, c=3_599.0)
    assert (where, what) == ("controller", "3 hosts agree that this clock is 3600 s behind")


def test_a_host_that_says_nothing_is_no_finding():
    silent = [Look(host="a"), Look(host="b", said="ssh: connect to host b: No route to host")]
    assert list(host_findings(silent)) == []


def test_a_refused_login_is_a_warning():
    [finding] = host_findings([Look(host="a", said="root@a: Permission denied (publickey).")])
    assert (finding.name, finding.severity.value, finding.where) == ("key", "warns", "a")
