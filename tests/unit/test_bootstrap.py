"""Every bootstrap loop that files can tell: of names, time, users, secrets, the way there."""
# ruff: noqa: E501 -- tables of files

from __future__ import annotations

import configparser

import pytest

from orchestrator.bootstrap import (
    Owners,
    Passage,
    name_findings,
    passage_findings,
    reliance_findings,
)
from orchestrator.controller import Controller, local_names, local_user, reliances
from orchestrator.inventory import load_inventory
from orchestrator.plan import make_plan
from orchestrator.reach import reach_of
from orchestrator.site import load_site

HOSTS = """\
all:
  vars: {other_addresses: ["198.51.100.{{ n }}"]}
  children:
    routers: {hosts: {r1: {ansible_host: 192.0.2.11, n: 11}}}
    databases: {hosts: {db1: {ansible_host: 192.0.2.31, n: 31}}}
    imaging: {hosts: {img1: {ansible_host: 192.0.2.61, n: 61}}}
"""
LAYERS = {
    "network": [{"name": "routing", "hosts": "routers"}],
    "storage": [{"name": "database", "hosts": "databases"}],
}


@pytest.fixture
def site(make_project, tmp_path):
    """A site whose plan recovers r1, then db1, and not img1; and its controller, with no file."""

    class Site:
        project = make_project(LAYERS, hosts=HOSTS)
        inventory = load_inventory(project / "inventories/room-a/hosts.yml")
        plan = make_plan(project, load_site(project, "room-a"), inventory)
        etc, proc, home = tmp_path / "etc", tmp_path / "proc", tmp_path / "home"

        def write(self, name, text):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return path

        def reaches(self):
            settings = configparser.ConfigParser()
            for host in self.inventory.all_hosts:
                known = self.inventory.variables(host)
                itself = {k: known[k] for k in ("ansible_host", "n") if k in known}
                yield reach_of(host, known, itself=itself, settings=settings)

        def controller(self, **given):
            given = {"environ": {}, "state": tmp_path / "state", **given}
            return Controller(
                project=self.project, etc=self.etc, proc=self.proc, home=self.home, **given
            )

        def loops(self, *, needs_names=False, **given):
            controller = self.controller(**given)
            found = reliances(controller)
            owners = Owners(self.plan, self.reaches(), local_names(controller))
            return {
                (finding.name, finding.severity.value, finding.where)
                for finding in reliance_findings(
                    found, owners, needs_names=needs_names, local_user=local_user(controller)
                )
            }

        def passages(self, *passages):
            owners = Owners(self.plan, self.reaches(), {})
            return list(passage_findings(passages, owners, self.plan))

    return Site()


# Each: the files, what of them is a loop, and where that stands.
FILES = [
    ("dns", "warns", "etc/resolv.conf", "# x\nnameserver 192.0.2.11\n", 2),
    ("dns", "warns", "etc/resolv.conf", "nameserver 198.51.100.31%eth0\n", 1),
    ("dns", "warns", "etc/systemd/resolved.conf", "[Resolve]\nDNS=192.0.2.11 9.9.9.9\n", 2),
    ("time", "warns", "etc/chrony/chrony.conf", "server 192.0.2.11 iburst\n", 1),
    ("time", "warns", "etc/systemd/timesyncd.conf", "[Time]\nNTP=9.9.9.9 db1\n", 2),
    ("time", "warns", "etc/chrony/sources.d/a.sources", "pool db1 iburst\n", 1),
    ("registry", "warns", "etc/containers/registries.conf", '[[registry]]\nlocation = "db1:5000"\n', 2),
    ("git", "warns", "project/.git/config", '[remote "o"]\n\turl = git@db1:site.git\n', 2),
    ("git", "warns", "project/.git/config", '[remote "o"]\n\turl = https://192.0.2.31/site.git\n', 2),
    ("mirror", "warns", "etc/pip.conf", "[global]\nindex-url = https://db1/simple\n", 2),
    ("mirror", "warns", "home/.config/pip/pip.conf", "[global]\nindex-url=http://192.0.2.31:80/x\n", 2),
    ("mirror", "warns", "etc/apt/sources.list", "deb http://198.51.100.31/debian stable main\n", 1),
    ("mirror", "warns", "etc/apt/sources.list.d/a.sources", "Types: deb\nURIs: http://db1/debian\n", 2),
    ("mirror", "warns", "project/playbooks/requirements.yml", "collections:\n  - source: https://db1/\n", 2),
    ("vpn", "warns", "etc/wireguard/wg0.conf", "[Peer]\nEndpoint = 192.0.2.11:51820\n", 2),
    ("vpn", "warns", "etc/openvpn/site.conf", "client\nremote 192.0.2.11 1194\n", 2),
    (
        "vault",
        "blocks",
        "project/inventories/room-a/group_vars/all.yml",
        "a: 1\nb: \"{{ lookup('hashi_vault', 'x url=https://192.0.2.31:8200') }}\"\n",
        2,
    ),
    ("mirror", "warns", "project/ansible.cfg", "[galaxy_server.own]\nurl = https://db1/api\n", None),
    ("vault", "blocks", "project/ansible.cfg", "[hashi_vault_collection]\nurl = https://db1:8200\n", None),
]  # fmt: skip


@pytest.mark.parametrize("case", FILES, ids=lambda case: f"{case[0]}-{case[2]}")
def test_a_loop_is_found_in_the_file_that_makes_it(site, case):
    kind, severity, name, text, line = case
    path = site.write(name, text)
    where = f"{path}:{line}" if line else str(path)
    assert site.loops() == {(f"bootstrap-{kind}", severity, where)}


@pytest.mark.parametrize("case", FILES, ids=lambda case: f"{case[0]}-{case[2]}")
def test_what_is_not_of_this_plan_is_no_loop(site, case):
    _, _, name, text, _ = case
    for ours, other in (("192.0.2", "203.0.113"), ("198.51.100", "203.0.113"), ("db1", "img1")):
        text = text.replace(ours, other)
    site.write(name, text)
    assert site.loops() == set()


@pytest.mark.parametrize(
    ("name", "value", "kind", "severity"),
    [
        ("VAULT_ADDR", "https://192.0.2.31:8200", "vault", "blocks"),
        ("DRCLI_JOURNAL", "postgresql+psycopg://u:p@192.0.2.31:5432/x", "journal", "blocks"),
        ("DRCLI_CLUSTER", "tls://db1:8786", "cluster", "blocks"),
        ("https_proxy", "http://[::1]:3128", "proxy", None),
        ("HTTPS_PROXY", "http://r1:3128", "proxy", "warns"),
        ("PIP_INDEX_URL", "https://db1/simple", "mirror", "warns"),
    ],
)
def test_a_loop_is_found_in_the_environment(site, name, value, kind, severity):
    expected = {(f"bootstrap-{kind}", severity, f"${name}")} if severity else set()
    assert site.loops(environ={name: value}) == expected


def test_name_servers_of_the_site_block_where_names_are_needed(site):
    site.write("etc/resolv.conf", "nameserver 192.0.2.11\n")
    [(name, severity, _)] = site.loops(needs_names=True)
    assert (name, severity) == ("bootstrap-dns", "blocks")


@pytest.mark.parametrize(
    ("switch", "name", "text"),
    [
        ("passwd: files ldap\n", "etc/ldap/ldap.conf", "BASE x\nURI ldap://192.0.2.31 ldap://db1\n"),
        ("passwd: files\nsudoers: files sss\n", "etc/sssd/sssd.conf", "[d]\nldap_uri = ldaps://db1\n"),
        ("passwd: files sss\n", "etc/krb5.conf", "[realms]\n kdc = db1:88\n"),
        ("passwd: files ldap\n", "etc/nslcd.conf", "# x\nuri ldap://db1/\n"),
    ],
)  # fmt: skip
def test_a_directory_of_the_site_blocks_whoever_is_not_a_local_user(site, switch, name, text):
    path = site.write(name, text)
    site.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1:1::/:/bin/sh\n")
    assert site.loops(user="ann") == set()  # it is not asked
    site.write("etc/nsswitch.conf", switch)
    assert site.loops(user="ann") == {("bootstrap-directory", "warns", f"{path}:2")}
    assert site.loops(user="bob") == {("bootstrap-directory", "blocks", f"{path}:2")}


def test_a_script_that_asks_the_sites_vault_for_the_password_blocks(site):
    script = site.write("project/ask.sh", "#!/bin/sh\ncurl https://db1:8200/v1/secret\n")
    expected = {("bootstrap-vault", "blocks", f"{script}:2")}
    assert site.loops(vault_sources=(f"prod@{script}",)) == expected
    site.write("project/ansible.cfg", "[defaults]\nvault_password_file = ask.sh\n")
    assert site.loops() == expected
    site.write("project/ansible.cfg", "[defaults]\nvault_identity_list = a@prompt, b@ask.sh\n")
    assert site.loops() == expected


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("192.0.2.31:/export {} nfs4 rw 0 0", "blocks"),
        ("//db1/share {} cifs rw 0 0", "blocks"),
        ("/dev/sda1 {} ext4 rw 0 0", None),
        ("203.0.113.1:/export {} nfs rw 0 0", None),
    ],
)
def test_the_controllers_own_files_on_a_disk_of_the_site_block(site, tmp_path, line, severity):
    at = tmp_path / "with blank"
    escaped = str(at).replace(" ", r"\040")
    site.write("proc/mounts", f"/dev/vda1 / ext4 rw 0 0\n{line.format(escaped)}\n")
    where = f"{at / 'state'} (mounted at {escaped})"
    expected = {("bootstrap-storage", severity, where)} if severity else set()
    assert site.loops(state=at / "state") == expected


def test_a_loopback_address_is_no_hosts_own(site):
    hosts = site.project / "inventories/room-a/hosts.yml"
    hosts.write_text(HOSTS.replace("192.0.2.11", "127.0.0.1"))
    site.inventory = load_inventory(hosts)
    assert site.loops(environ={"VAULT_ADDR": "http://127.0.0.1:8200"}) == set()
    assert site.loops(environ={"VAULT_ADDR": "http://localhost:8200"}) == set()


def test_a_name_of_etc_hosts_counts_as_its_address(site):
    site.write("etc/hosts", "192.0.2.31 vault.example vault\n")
    [(name, _, _)] = site.loops(environ={"VAULT_ADDR": "https://vault.example:8200"})
    assert name == "bootstrap-vault"


def test_files_that_cannot_be_read_say_nothing(site, tmp_path):
    (tmp_path / "etc/resolv.conf").mkdir(parents=True)
    site.write("etc/pip.conf", "")
    (tmp_path / "etc/pip.conf").write_bytes(b"\xff\x00index-url = http://[\n")
    site.write("proc/mounts", "x\n")
    assert site.loops() == set()


@pytest.mark.parametrize("kind", ["jump", "router"])
def test_a_host_reached_through_one_that_is_recovered_before_it_is_no_loop(site, kind):
    fine = Passage(kind=kind, host="db1", through="192.0.2.11", where="ssh_config")
    assert site.passages(fine) == []
    loop = Passage(kind=kind, host="r1", through="db1", where="ssh_config")
    [finding] = site.passages(fine, loop)
    assert (finding.name, finding.severity.value) == (f"bootstrap-{kind}", "blocks")
    assert "r1 reached through db1" in finding.what
    assert "recovered by database" in finding.what


def test_a_host_reached_through_itself_or_a_stranger_is_no_loop(site):
    itself = Passage(kind="jump", host="r1", through="198.51.100.11", where="x")
    stranger = Passage(kind="jump", host="r1", through="bastion.example", where="x")
    other = Passage(kind="jump", host="r1", through="img1", where="x")  # not of this plan
    assert site.passages(itself, stranger, other) == []


@pytest.mark.parametrize(
    ("server", "severity"), [("192.0.2.11", "blocks"), ("203.0.113.9", "warns")]
)
def test_names_that_need_a_name_server_are_told_and_block_when_it_is_of_the_site(
    site, server, severity
):
    site.write("etc/resolv.conf", f"nameserver {server}\n")
    site.write("etc/hosts", "192.0.2.5 known\n")
    controller = site.controller()
    settings = configparser.ConfigParser()
    addresses = {"a": "known", "b": "b.example", "c": "192.0.2.7", "d": "localhost", "e": "fd00::1"}
    named = [
        reach_of(host, {"ansible_host": address}, itself={}, settings=settings)
        for host, address in addresses.items()
    ]
    named.append(reach_of("f", {"ansible_connection": "local"}, itself={}, settings=settings))
    owners = Owners(site.plan, site.reaches(), {})
    [finding] = name_findings(named, local_names(controller), reliances(controller), owners)
    assert (finding.name, finding.severity.value) == ("names", severity)
    assert finding.what.endswith(": b as b.example")
