"""Recoveries in a row, in one process, of a host behind real SSH: nothing grows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from sshd import Sshd

from orchestrator.attempt import processes_of
from orchestrator.journal import read_journal

pytestmark = pytest.mark.once

SOAKING = Path(__file__).parents[1] / "soaking.py"
WARM = 2  # recoveries until all that is loaded once is loaded
FEW, MANY = 5, 100
GROWN = 40_000_000  # bytes in FEW recoveries: the first ones still fill caches
GROWN_EACH = 200_000  # bytes a recovery in MANY
A_RECOVERY = 180  # seconds, on a very busy machine
HOSTS = """\
all:
  children:
    servers:
      hosts:
        s1:
          ansible_host: 127.0.0.1
          ansible_port: {port}
          ansible_user: {user}
          ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"
          ansible_ssh_private_key_file: {folder}/id
          ansible_ssh_common_args: -o UserKnownHostsFile={folder}/known_hosts -o IdentitiesOnly=yes
"""


@pytest.fixture
def short():
    """Folders in memory whose names leave room for a socket's."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


@pytest.fixture
def server(tmp_path):
    started = Sshd(tmp_path / "sshd", shared=False)
    yield started
    started.stop()


def soak(make_project, server, short, times):
    """What the process held after each recovery."""
    sockets, memory = short / "sockets", short / "memory"
    for folder in (sockets, memory):
        folder.mkdir()
    project = make_project(
        {"network": [{"name": "routing", "hosts": "servers"}]},
        hosts=HOSTS.format(port=server.port, user=server.user, folder=server.folder),
    )
    (project / "ansible.cfg").write_text(f"[ssh_connection]\ncontrol_path_dir = {sockets}\n")
    state = short / "state"
    done = subprocess.run(
        [sys.executable, SOAKING, project, state, sockets, str(times)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(memory)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=times * A_RECOVERY,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    with read_journal(state) as journal:
        runs = [line.run for line in journal.runs()]
    assert len(runs) == times
    assert [process for run in runs for process in processes_of(f"{run}/")] == []
    return [json.loads(line) for line in done.stdout.splitlines()]


def grown(held, what):
    return held[-1][what] - held[WARM - 1][what]


def nothing_but_memory_grows(held):
    counted = {what: grown(held, what) for what in held[0] if what != "memory"}
    assert {what: more for what, more in counted.items() if more > 0} == {}
    assert held[-1]["sockets"] <= 2  # the playbooks' connection, and the gates'
    assert held[-1]["folders"] == 0


@pytest.mark.timeout(2 * FEW * A_RECOVERY)
def test_a_few_recoveries_in_a_row_hold_no_more_than_the_second(make_project, server, short):
    held = soak(make_project, server, short, FEW)
    nothing_but_memory_grows(held)
    assert grown(held, "memory") < GROWN


@pytest.mark.long
@pytest.mark.timeout(MANY * A_RECOVERY)
def test_a_hundred_recoveries_in_a_row_hold_no_more_than_the_second(
    make_project, server, short, record_property
):
    record_property("fault", f"{MANY} recoveries in a row")
    held = soak(make_project, server, short, MANY)
    first, last = held[WARM - 1], held[-1]
    record_property(
        "figure",
        f"soak: {MANY} recoveries in one process over SSH; held after recovery {WARM} and after the"
        f" last: {first['files']} and {last['files']} open files, {first['threads']} and"
        f" {last['threads']} threads, {first['children']} and {last['children']} children,"
        f" {first['sockets']} and {last['sockets']} shared connections,"
        f" {first['memory'] / 1e6:.0f} and {last['memory'] / 1e6:.0f} MB.",
    )
    nothing_but_memory_grows(held)
    assert grown(held, "memory") < MANY * GROWN_EACH
