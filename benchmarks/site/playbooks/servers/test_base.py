"""Twenty checks of a server, of the kinds that gates are made of."""

from __future__ import annotations

minimum_checks = 20


def test_ssh_runs(host):
    assert host.service("ssh").is_running


def test_journal_runs(host):
    assert host.service("systemd-journald").is_running


def test_service_runs(host):
    assert host.service("bench").is_running


def test_ssh_listens(host):
    assert host.socket("tcp://22").is_listening


def test_ssh_is_installed(host):
    assert host.package("openssh-server").is_installed


def test_python_is_installed(host):
    assert host.package("python3").is_installed


def test_ssh_has_a_process(host):
    assert host.process.filter(comm="sshd")


def test_service_has_one_process(host):
    assert len(host.process.filter(args="/usr/bin/sleep infinity")) == 1


def test_root_is_root(host):
    assert host.user("root").uid == 0


def test_ssh_has_a_user_that_cannot_log_in(host):
    assert host.user("sshd").shell == "/usr/sbin/nologin"


def test_administrators_have_a_group(host):
    assert host.group("adm").exists


def test_root_is_mounted(host):
    assert host.mount_point("/").exists


def test_memory_is_mounted_at_run(host):
    assert host.mount_point("/run").filesystem == "tmpfs"


def test_management_interface_has_an_address(host):
    assert host.interface("eth0").addresses


def test_forwards_nothing(host):
    assert host.sysctl("net.ipv4.ip_forward") == 0


def test_ssh_configuration_is_roots(host):
    assert host.file("/etc/ssh/sshd_config").user == "root"


def test_host_key_is_private(host):
    assert host.file("/etc/ssh/ssh_host_ed25519_key").mode == 0o600


def test_shadow_is_private(host):
    assert host.file("/etc/shadow").group == "shadow"


def test_service_knows_its_name(host):
    assert host.file("/run/bench/name").content_string.strip()


def test_disk_has_room(host):
    line = host.check_output("df --output=pcent /").splitlines()[1]
    assert int(line.strip().rstrip("%")) < 100
