"""What testinfra's modules say through a session is what they say through its own backend."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
import testinfra

from orchestrator import session as session_backend
from orchestrator.route import ansible_route

USER = getpass.getuser()


@pytest.fixture(scope="module")
def pair(server):
    """This machine through testinfra's ssh, and through a session."""
    options = {"ssh_config": str(server.config)}
    one = testinfra.get_host(f"ssh://{server.spec}", **options)
    two = testinfra.get_host(f"session://{server.spec}", **options)
    yield one, two
    two.backend.session.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Files of each kind."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "text").write_text("line\nlast line without end")
    (folder / "bytes").write_bytes(bytes(range(256)) * 40)
    (folder / "latin").write_bytes("café\n".encode("latin-1"))
    (folder / "utf-8").write_text("été 日本\n")
    (folder / "empty").touch(mode=0o640)
    (folder / "a name with 'quotes' and $money").write_text("x")
    (folder / "link").symlink_to("text")
    (folder / "dangling").symlink_to("nowhere")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)
        listening.bind("socket")
        os.chdir(here)
    return folder


def seen(host, look):
    """What a look at a host comes to, a failure too."""
    try:
        return look(host)
    except Exception as error:  # noqa: BLE001 -- whatever it is
        return type(error)


def same(pair, look):
    one, two = (seen(host, look) for host in pair)
    assert one == two
    return two


FILE = (
    *("exists", "is_file", "is_directory", "is_pipe", "is_socket", "is_symlink", "linked_to"),
    *("user", "uid", "group", "gid", "mode", "size", "mtime", "md5sum", "sha256sum", "content"),
    *("content_string", "is_executable"),
)


@pytest.mark.parametrize("attribute", FILE)
def test_file(pair, place, attribute):
    pair = testinfra.get_host("local://"), pair[1]  # the same files, in a tenth of the time
    names = [path.name for path in place.iterdir() if path.name != "pipe"]
    if not attribute.startswith("content") and not attribute.endswith("sum"):
        names.append("pipe")
    for name in [*names, "not there"]:
        same(pair, lambda host, n=name: getattr(host.file(str(place / n)), attribute))


def test_file_says_what_is_there(pair, place):
    file = pair[1].file(str(place / "bytes"))
    assert file.content == bytes(range(256)) * 40
    assert file.size == 10_240
    assert pair[1].file(str(place / "utf-8")).content_string == "été 日本\n"
    assert pair[1].file(str(place / "link")).linked_to == str(place / "text")
    assert pair[1].file(str(place / "text")).contains("last line")
    assert same(pair, lambda host: sorted(host.file(str(place)).listdir()))


def in_sudo(host):
    with host.sudo():
        one = host.check_output("id -un")
        with host.sudo("games"):
            return one, host.check_output("id -un"), host.user().name


LOOKS = {
    "run": lambda h: repr_of(h.run("echo out; echo err >&2; exit 7")),
    "run with arguments": lambda h: repr_of(h.run("printf %s:%s %s", "a 'b'", ";exit 1", "$HOME")),
    "run %": lambda h: repr_of(h.run("stat --format %a /")),
    "run not ASCII": lambda h: repr_of(h.run("printf %s é")),
    "run 128": lambda h: repr_of(h.run("sh -c 'exit 128'")),
    "run_test": lambda h: h.run_test("exit 2"),
    "check_output": lambda h: h.check_output("echo a; echo b"),
    "check_output fails": lambda h: h.check_output("exit 1"),
    "exists": lambda h: (h.exists("sh"), h.exists("no-such-command")),
    "find_command": lambda h: h.find_command("sysctl"),
    "find_command fails": lambda h: h.find_command("no-such-command"),
    "user": lambda h: details(
        h.user(USER), "name uid gid group gids groups home shell gecos password"
    ),
    "user nobody": lambda h: details(h.user("nobody"), "exists uid gid home shell"),
    "user that is not": lambda h: (h.user("not-there").exists, h.user("not-there").uid),
    "user now": lambda h: h.user().name,
    "group": lambda h: details(h.group("root"), "exists gid members"),
    "group that is not": lambda h: h.group("not-there").exists,
    "package": lambda h: details(h.package("bash"), "is_installed version release"),
    "package that is not": lambda h: h.package("not-there").is_installed,
    "package version fails": lambda h: h.package("not-there").version,
    "process": lambda h: [p.pid for p in h.process.filter(pid=1)],
    "process comm": lambda h: h.process.get(pid=1).comm,
    "process args": lambda h: h.process.get(pid=1).args,
    "process not there": lambda h: h.process.filter(comm="not-there"),
    "process of itself": lambda h: len(h.process.filter(comm="sleep-not-there")),
    "service": lambda h: h.service("not-there").is_running,
    "service enabled": lambda h: h.service("not-there").is_enabled,
    "service exists": lambda h: h.service("ssh").exists,
    "mount_point": lambda h: details(h.mount_point("/"), "exists filesystem device options path"),
    "mount_point proc": lambda h: details(h.mount_point("/proc"), "exists filesystem device"),
    "mount_point that is not": lambda h: h.mount_point("/not/there").exists,
    "mount_points": lambda h: [
        (m.path, m.device, m.options)
        for m in h.mount_point.get_mountpoints()
        if m.path in {"/", "/proc", "/sys"}
    ],
    "interface": lambda h: details(h.interface("lo"), "exists addresses speed"),
    "interface that is not": lambda h: h.interface("not-there").exists,
    "interface names": lambda h: type(h.interface.names()),
    "interface default": lambda h: str(h.interface.default()),
    "block_device": lambda h: h.block_device("/dev/not-there").size,
    "addr": lambda h: details(h.addr("localhost"), "is_resolvable ipv4_addresses namespace"),
    "addr that is not": lambda h: h.addr("not-there.invalid").is_resolvable,
    "addr reachable": lambda h: h.addr("127.0.0.1").is_reachable,
    "sysctl": lambda h: (h.sysctl("kernel.ostype"), h.sysctl("vm.swappiness")),
    "sysctl that is not": lambda h: h.sysctl("not.there"),
    "system_info": lambda h: details(h.system_info, "type distribution release codename arch"),
    "environment": lambda h: sorted(set(h.environment()) - CONNECTION)[:5],
    "pip": lambda h: h.pip("not-there").is_installed,
    "kernel": lambda h: h.check_output("uname -r"),
    "sudo": in_sudo,
    "iptables": lambda h: h.iptables.rules("mangle", "INPUT"),
}
CONNECTION = {"SSH_CLIENT", "SSH_CONNECTION", "_", "PWD", "OLDPWD", "SHLVL"}


def details(module, names):
    return {name: seen(module, lambda m, n=name: getattr(m, n)) for name in names.split()}


def repr_of(result):
    return (result.rc, result.stdout_bytes, result.stderr_bytes, result.succeeded)


FAILS = {  # as testinfra means it; any other look has a value, or the two could fail alike
    "run_test", "check_output fails", "find_command fails", "user that is not",
    "package version fails", "block_device", "sysctl that is not",
}  # fmt: skip
NEEDS = {  # what may be missing on a machine
    "addr reachable": "ping",
    "find_command": "sysctl",
    "interface": "ip",
    "interface default": "ip",
    "interface names": "ip",
    "iptables": "iptables",
    "package": "dpkg-query",
    "package that is not": "dpkg-query",
    "process": "ps",
    "process args": "ps",
    "process comm": "ps",
    "sysctl": "sysctl",
}
RIGHTS = {"iptables": "iptables -S", "sudo": "sudo -n -u games true"}


def may(name):
    """Whether this machine has what a look needs, and lets us."""
    words = RIGHTS.get(name, "true").split()
    tool = shutil.which(NEEDS.get(name, "sh"))
    with suppress(OSError):
        return tool and not subprocess.run(words, capture_output=True, check=False).returncode
    return False


@pytest.mark.parametrize("name", LOOKS)
def test_the_same_is_seen(pair, name):
    found = same(pair, LOOKS[name])
    failed = isinstance(found, type) and issubclass(found, Exception)
    assert failed == (name in FAILS) or not may(name)


def test_socket(pair, server):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        for port in (server.port, closed.getsockname()[1]):
            for spec in (f"tcp://127.0.0.1:{port}", f"tcp://{port}", f"udp://127.0.0.1:{port}"):
                listens = same(pair, lambda h, s=spec: h.socket(s).is_listening)
            assert listens is False  # nothing listens on UDP
    assert pair[1].socket(f"tcp://127.0.0.1:{server.port}").is_listening
    # Other tests come and go on this machine: what one way saw twice the other sees in between.
    one, two, one_again, two_again = (set(h.socket.get_listening_sockets()) for h in (*pair, *pair))
    assert f"tcp://127.0.0.1:{server.port}" in one & one_again
    assert one & one_again <= two
    assert two & two_again <= one_again


def test_sysctl_user_group_and_command_say_what_is_there(pair):
    host = pair[1]
    assert host.sysctl("kernel.ostype") == "Linux"
    assert (host.user("root").uid, host.group("root").gid) == (0, 0)
    assert host.user().name == USER
    assert host.exists("sh")
    assert host.mount_point("/proc").filesystem == "proc"
    assert "127.0.0.1" in host.interface("lo").addresses
    assert host.process.get(pid=os.getpid()).pid == os.getpid()


def test_package_process_mount_and_interface_say_what_is_there(pair):
    host = pair[1]
    if shutil.which("dpkg-query"):
        words = ["dpkg-query", "--show", "--showformat=${Version}", "bash"]
        version = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        assert host.package("bash").is_installed
        assert host.package("bash").version == version
        assert not host.package("not-there").is_installed
    process = host.process.get(pid=os.getpid())
    assert (process.ppid, process.uid) == (os.getppid(), os.getuid())
    mounts = [line.split()[:3] for line in Path("/proc/mounts").read_text().splitlines()]
    [*_, (device, _, filesystem)] = [mount for mount in mounts if mount[1] == "/"]
    root = host.mount_point("/")
    assert (root.device, root.filesystem) == (device, filesystem)
    assert not host.mount_point("/not/there").exists
    names = {path.name for path in Path("/sys/class/net").iterdir() if path.is_dir()}
    assert set(host.interface.names()) == names
    known = pwd.getpwuid(os.getuid())
    user = host.user(known.pw_name)
    assert (user.home, user.shell, user.gid) == (known.pw_dir, known.pw_shell, known.pw_gid)


def test_text_that_is_not_ascii(pair):
    assert pair[1].run("printf 'été'").stdout == "été"
    assert pair[1].run("printf %s", "日本").stdout_bytes == "日本".encode()


def test_a_time_limit_of_one_command(pair):
    with pytest.raises(session_backend.NotEnded, match=r"`sleep 30` did not end within 0\.2 s"):
        pair[1].run("sleep 30", timeout=0.2)


def test_a_command_line_that_ends_a_command_of_sudo(pair):
    if subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no sudo without a password")
    with pair[1].sudo(), pytest.raises(session_backend.NotEnded, match=r"within 0\.2 s$"):
        pair[1].run("sleep 30", timeout=0.2)


def test_a_host_on_this_machine():
    stock = testinfra.get_host("local://")
    backend = session_backend.SessionBackend(
        "here", route=ansible_route("here", {"ansible_connection": "local"})
    )
    host = testinfra.host.Host(backend)
    for look in (LOOKS["run"], LOOKS["user"], LOOKS["mount_point"], LOOKS["system_info"]):
        assert seen(stock, look) == seen(host, look)
    backend.session.close()
