"""The plugin, as any user of testinfra starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.attempt import MARK, processes_of
from orchestrator.session import SessionBackend

GATE = """\
def test_home(host):
    assert host.check_output("echo $HOME") and host.file("/").is_directory

def test_where(host):
    with open({seen!r}, "a") as seen:
        print(host.backend.get_pytest_id(), host.check_output("echo $SSH_CONNECTION $PPID"),
              sep="|", file=seen)

def test_where_again(host):
    test_where(host)
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest on a gate; return how it ended and what the gate saw."""

    def run(*words, gate=GATE, inventory=None):
        seen = tmp_path / "seen"
        seen.unlink(missing_ok=True)
        (tmp_path / "test_gate.py").write_text(gate.format(seen=str(seen)))
        if inventory:
            (tmp_path / "hosts.yml").write_text(inventory)
            words = (*words, f"--ansible-inventory={tmp_path / 'hosts.yml'}")
        bin_folder = str(Path(sys.executable).parent)
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "PYTEST_"))}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "orchestrator.session", *words],
            cwd=tmp_path,
            env={**clean, "PATH": f"{bin_folder}:{clean['PATH']}", MARK: str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        lines = seen.read_text().splitlines() if seen.exists() else []
        return done, [line.split("|") for line in lines]

    return run


def test_a_host_by_its_name(run, server):
    done, seen = run(f"--hosts=session://{server.spec}", f"--ssh-config={server.config}")
    assert done.returncode == 0, done.stdout
    assert {name for name, _ in seen} == {"session://127.0.0.1"}
    assert len({rest for _, rest in seen}) == 1  # one connection, one shell
    assert str(server.port) in seen[0][1]


def inventory(server, **more):
    args = " ".join(f"-o {name}={value}" for name, value in server.options.items())
    known = {
        "ansible_host": "127.0.0.1",
        "ansible_port": server.port,
        "ansible_user": server.user,
        "ansible_ssh_args": args,
        **more,
    }
    lines = "".join(f"        {name}: {value!r}\n" for name, value in known.items())
    return f"all:\n  hosts:\n    h1: {{ansible_connection: local}}\n    h2:\n{lines}"


def test_the_hosts_of_an_inventory(run, server):
    done, seen = run("--hosts=ansible://all", "--session", inventory=inventory(server))
    assert done.returncode == 0, done.stdout
    assert {name for name, _ in seen} == {"ansible://h1", "ansible://h2"}
    assert len({tuple(line) for line in seen}) == 2


def test_a_time_limit_for_every_command(run, server):
    gate = "def test_a(host):\n    host.run('sleep 60')\ndef test_b(host):\n    host.run('true')\n"
    words = ("--hosts=ansible://h2", "--session", "--session-limit=0.5")
    done, _ = run(*words, gate=gate, inventory=inventory(server))
    assert "NotEnded: `sleep 60` did not end within 0.5 s" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_a_time_limit_of_one_command_of_an_inventory_host(run, server):
    gate = "def test_a(host):\n    host.run('sleep %s', '60', timeout=0.5)\n"
    words = ("--hosts=ansible://h2", "--session")
    done, _ = run(*words, gate=gate, inventory=inventory(server))
    assert "NotEnded: `sleep 60` did not end within 0.5 s" in done.stdout


def test_variables_and_modules_of_ansible_still_work(run, server):
    gate = "def test_a(host):\n    assert host.ansible.get_variables()['color'] == 'red'\n"
    done, _ = run(
        "--hosts=ansible://h2", "--session", gate=gate, inventory=inventory(server, color="red")
    )
    assert done.returncode == 0, done.stdout


def test_a_host_that_is_gone_fails_its_checks(run, own_server):
    own_server.cut()
    gate = "def test_a(host):\n    assert not host.service('x').is_running\n"
    done, _ = run("--hosts=ansible://h2", "--session", gate=gate, inventory=inventory(own_server))
    assert done.returncode == 1
    assert "Unreachable: ssh: connect to host 127.0.0.1" in done.stdout


def test_nothing_is_left_behind(run, server, tmp_path):
    run("--hosts=ansible://all", "--session", inventory=inventory(server))
    assert processes_of(str(tmp_path)) == ()  # the connection that is shared is not meant


def test_two_hosts_with_other_options_are_two_sessions(server):
    options = {"ssh_config": str(server.config)}
    one, two = (SessionBackend(server.spec, **options) for _ in range(2))
    assert one.run("echo $PPID").stdout != two.run("echo $PPID").stdout
    one.session.close()
    two.session.close()
