"""Hosts that neither work nor refuse: every step ends by its own limit, and nothing is left."""

from __future__ import annotations

import os
import signal
import socket
import time
from threading import Thread

import pytest
from pausing import pause
from small_site import SmallSite
from sshd import Sshd

from orchestrator.events import PlaybookOutcome, TaskStarted

pytestmark = pytest.mark.once

LIMIT = 20  # seconds for a step; a busy machine needs some of them to begin it
LONG_AFTER = 60  # seconds more, within which a busy machine must be through with it
INVENTORY = """\
all:
  vars: {{ansible_python_interpreter: "{{{{ ansible_playbook_python }}}}"}}
  children:
    servers:
      hosts:
        s1:
          ansible_host: 127.0.0.1
          ansible_port: {port}
          ansible_user: {user}
          ansible_ssh_private_key_file: {folder}/id
          ansible_ssh_common_args: -o UserKnownHostsFile={folder}/known_hosts -o IdentitiesOnly=yes
"""


@pytest.fixture
def server(tmp_path):
    started = Sshd(tmp_path / "sshd", shared=False)
    yield started
    for pid in started._connections():
        os.kill(pid, signal.SIGCONT)
    started.stop()


@pytest.fixture
def site(tmp_path, server):
    made = SmallSite(tmp_path)
    made.inventory.write_text(
        INVENTORY.format(port=server.port, user=server.user, folder=server.folder)
    )
    yield made
    made.playbooks.close()


def freeze(server):
    """The host stops in the middle of everything, its network stays: as a hung kernel looks."""
    for pid in server._connections():
        pause(pid)
    pause(server.process.pid)


def test_a_host_that_freezes_in_the_middle_of_a_playbook_costs_no_more_than_its_limit(site, server):
    def at(event):
        if isinstance(event, TaskStarted) and event.task == "Work":
            freeze(server)

    begun = time.monotonic()
    result = site.play(
        "- name: Reach it\n  ansible.builtin.ping:\n"
        "- name: Work\n  ansible.builtin.command: sleep 1\n  changed_when: false\n",
        hosts=("s1",),
        tell=at,
        timeout=LIMIT,
    )
    os.kill(server.process.pid, signal.SIGCONT)
    assert result.outcome is PlaybookOutcome.TIMED_OUT
    assert "time limit" in result.reasons[0]
    assert time.monotonic() - begun < LIMIT + LONG_AFTER
    assert site.left() == ()


def test_a_host_that_freezes_in_the_middle_of_a_gate_costs_no_more_than_its_limit(site, server):
    mark = site.project / "begun"
    gate = f"def test_a(host):\n    host.run('touch {mark}; sleep 600')\n"

    def freeze_when_begun():
        deadline = time.monotonic() + LONG_AFTER
        while not mark.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        freeze(server)

    freezing = Thread(target=freeze_when_begun)
    freezing.start()
    begun = time.monotonic()
    result = site.check(gate, hosts=("s1",), timeout=LIMIT)
    freezing.join()
    os.kill(server.process.pid, signal.SIGCONT)
    assert not result.green
    assert time.monotonic() - begun < LIMIT + LONG_AFTER
    assert site.left() == ()


def test_a_host_that_accepts_and_says_nothing_is_unreachable(site):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(50)
        site.inventory.write_text(
            site.inventory.read_text().replace(
                f"ansible_port: {site.inventory.read_text().split('ansible_port: ')[1].split()[0]}",
                f"ansible_port: {silent.getsockname()[1]}",
            )
        )
        begun = time.monotonic()
        result = site.check("def test_a(host): pass\n", hosts=("s1",), timeout=90)
        assert not result.green
        assert "s1: unreachable" in "; ".join(result.reasons)
        played = site.play("- ansible.builtin.ping:\n", hosts=("s1",), timeout=90)
        assert played.outcome is PlaybookOutcome.FAILED
        assert "s1: unreachable" in "; ".join(played.reasons)
        assert time.monotonic() - begun < 180
    assert site.left() == ()
