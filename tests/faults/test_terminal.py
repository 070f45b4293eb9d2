"""A run on a real terminal: what it shows, Ctrl-C as typed, a terminal that is gone or stuck."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest
from sshd import Sshd

pytestmark = pytest.mark.once

DRCLI = Path(sys.executable).with_name("drcli")
PATIENCE = 240.0  # on a busy machine


class OnTerminal:
    """`drcli recover` in the foreground of a terminal of its own."""

    def __init__(self, project, state, *, before=()):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        words = [*before, DRCLI, "recover", "--site", "room-a", "--state-dir", state]
        environment = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS"}}
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *words],
            cwd=project,
            env={**environment, "TERM": "xterm-256color"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        self.seen = ""

    def read_until(self, text):
        """Read what comes to the screen until this text is on it, or the program ends."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, self.seen
            if not select.select([self.master], [], [], 1.0)[0]:
                continue
            try:
                self.seen += os.read(self.master, 65_536).decode()
            except OSError:  # the program has ended and closed its side
                return

    def type(self, text):
        os.write(self.master, text.encode())

    def close(self):
        if self.master >= 0:
            os.close(self.master)
            self.master = -1

    def end(self):
        if self.master >= 0:
            self.read_until("\x00never\x00")
        return self.process.wait(timeout=PATIENCE)


@pytest.fixture
def on_terminal(state):
    started = []

    def start(project, **given):
        started.append(OnTerminal(project, state, **given))
        return started[-1]

    yield start
    for one in started:
        one.close()
        if one.process.poll() is None:
            one.process.terminate()
            one.process.wait(timeout=PATIENCE)


def test_a_live_table_ends_with_the_state_and_the_next_command(make_project, on_terminal):
    project = make_project({"network": [{"name": "routing", "hosts": "img1"}]})
    run = on_terminal(project)
    assert run.end() == 0
    assert "COMPONENT" in run.seen
    assert "\x1b[1;32mverified" in run.seen
    last = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", run.seen).rstrip().splitlines()[-1]
    assert re.match(r"room-a: recovered in .*1 verified\. Next: drcli show ", last)


def test_ctrl_c_typed_at_the_terminal_ends_the_run_in_good_order(hanging, on_terminal, drcli):
    project = hanging("playbook")
    run = on_terminal(project)
    run.read_until("Hang on start")
    run.type("\x03")
    assert run.end() == 130
    assert "interrupted after" in run.seen
    assert "SIGINT" in drcli("status", cwd=project).stdout


def until_told(project):
    """Have the playbook of a hanging project end well when this file is made; the file."""
    told = project / "told"
    playbook = project / "playbooks/network/routing.yml"
    wait = f"sh -c 'until [ -e {told} ]; do sleep .1; done'"
    playbook.write_text(playbook.read_text().replace("sleep 600", wait))
    return told


def goes_on_without(project, recovery, told):
    """The run notes that its terminal is gone; whoever watches it sees it end well."""
    watching = recovery(project, command=["watch"])
    watching.wait_for("terminal_lost")
    told.touch()
    code, events, errors = watching.end()
    assert code == 0, errors
    [played] = [e for e in events if e["kind"] == "playbook_finished"]
    assert played["outcome"] == "succeeded"


AS_A_SHELL_DOES = ["bash", "-c", '"$@"; true', "bash"]


@pytest.mark.parametrize("before", [(), AS_A_SHELL_DOES], ids=["alone", "under a shell"])
def test_a_run_outlives_its_terminal_and_watch_follows_it(hanging, on_terminal, recovery, before):
    project = hanging("playbook")
    told = until_told(project)
    run = on_terminal(project, before=before)
    run.read_until("Hang on start")
    run.close()
    goes_on_without(project, recovery, told)
    assert run.end() == (0 if not before else -signal.SIGHUP)


def test_a_run_outlives_the_ssh_connection_it_was_started_through(
    hanging, recovery, state, tmp_path
):
    project = hanging("playbook")
    told = until_told(project)
    server = Sshd(tmp_path / "sshd", shared=False)
    try:
        words = f"cd {project} && {DRCLI} recover --site room-a --state-dir {state}"
        with subprocess.Popen(
            ["ssh", "-tt", "-F", server.config, "-p", str(server.port), "127.0.0.1", words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        ) as ssh:
            seen = b""
            while b"Hang on start" not in seen:
                chunk = os.read(ssh.stdout.fileno(), 65_536)
                assert chunk, seen
                seen += chunk
            server.end_connections()
            ssh.wait(timeout=PATIENCE)
        goes_on_without(project, recovery, told)
    finally:
        server.stop()


def test_a_terminal_that_takes_no_more_does_not_keep_the_run(make_project, on_terminal, drcli):
    layers = {"network": [{"name": f"part-{n}", "hosts": "routers"} for n in range(8)]}
    project = make_project(layers)
    run = on_terminal(project)
    assert run.process.wait(timeout=2 * PATIENCE) == 0  # nobody has read a word of it
    assert "recovered in" in drcli("status", cwd=project).stdout


def test_under_nohup_the_run_outlives_its_terminal(hanging, on_terminal, drcli):
    project = hanging("playbook")
    run = on_terminal(project, before=["nohup"])
    deadline = time.monotonic() + PATIENCE
    while "Hang on start" not in drcli("status", cwd=project).stdout:
        assert time.monotonic() < deadline
    run.close()
    with pytest.raises(subprocess.TimeoutExpired):
        run.process.wait(timeout=3)
    assert "room-a: running for" in drcli("status", cwd=project).stdout
    run.process.send_signal(signal.SIGTERM)
    assert run.end() == 130
