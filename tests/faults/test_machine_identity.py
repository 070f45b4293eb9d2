"""An address that belongs to another machine now: nothing is changed there."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event as Flag

import pytest
from small_site import SmallSite

from orchestrator.events import PlaybookOutcome

TOUCH = "- ansible.builtin.copy: {content: x, dest: '%s', mode: '0600'}"
OTHER = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def site(tmp_path):
    return SmallSite(tmp_path)


@pytest.fixture
def own():
    path = Path("/etc/machine-id")
    if not path.exists():
        pytest.skip("this machine has no /etc/machine-id")
    return path.read_text().strip()


def declare(site, **ids):
    """Give hosts a machine_id in host_vars."""
    for host, machine_id in ids.items():
        site.write(f"host_vars/{host}.yml", f"machine_id: {machine_id}\n")


def play(site, tmp_path, hosts=("h1", "h2")):
    mark = tmp_path / "changed"
    result = site.play(TOUCH % mark, hosts)
    return result, mark.exists()


def test_the_right_machines_are_changed(site, tmp_path, own):
    declare(site, h1=f'"{own}"')
    result, changed = play(site, tmp_path)
    assert result.outcome is PlaybookOutcome.SUCCEEDED
    assert changed


def test_another_machine_stops_the_component_and_both_ids_are_named(site, tmp_path, own):
    declare(site, h1=f'"{own}"', h2=f'"{OTHER}"')
    result, changed = play(site, tmp_path)
    assert result.outcome is PlaybookOutcome.FAILED
    [reason] = result.reasons
    assert reason.startswith(f"h2: the machine at its address is {own}")
    assert OTHER in reason
    assert not changed
    assert not site.left()


def test_a_host_of_another_component_is_not_asked(site, tmp_path):
    declare(site, h2=f'"{OTHER}"')
    assert play(site, tmp_path, hosts=("h1",))[0].outcome is PlaybookOutcome.SUCCEEDED


@pytest.mark.parametrize("written", ["12", "01234567012345670123456701234567", "web-1"])
def test_what_is_no_machine_id_is_refused(site, tmp_path, written):
    declare(site, h1=written)
    result, changed = play(site, tmp_path)
    assert "write 32 hexadecimal digits, in quotes" in result.reasons[0]
    assert not changed


def test_a_host_that_does_not_answer_is_the_playbooks_to_tell(site, tmp_path, monkeypatch):
    site.fake_ssh(monkeypatch)
    site.gone.write_text("192.0.2.1")
    declare(site, s1=f'"{OTHER}"')
    text = "- hosts: remote\n  gather_facts: false\n  tasks:\n    - ansible.builtin.ping:\n"
    result = site.play(text, ("s1",))
    assert result.outcome is PlaybookOutcome.FAILED
    assert "no route to host" in result.reasons[0]


def test_it_is_asked_through_ssh_as_ansible_would_go(site, tmp_path, monkeypatch, own):
    site.fake_ssh(monkeypatch)
    site.gone.write_text("")
    declare(site, s1=f'"{OTHER}"')
    result, changed = play(site, tmp_path, hosts=("s1",))
    assert own in result.reasons[0]
    assert not changed


def test_a_stop_ends_the_question(site, tmp_path, monkeypatch):
    site.write("bin/ssh", "#!/bin/sh\nexec sleep 600\n").chmod(0o755)
    monkeypatch.setenv("PATH", f"{site.project}/bin:/usr/bin:/bin")
    declare(site, s1=f'"{OTHER}"')
    stop = Flag()
    stop.set()
    begun = time.monotonic()
    result = site.play("- hosts: remote\n  tasks: []\n", ("s1",), stop=stop, timeout=600)
    assert result.outcome is not PlaybookOutcome.SUCCEEDED
    assert time.monotonic() - begun < 300
    assert not site.left()


def test_without_the_variable_nobody_is_asked(site, tmp_path, monkeypatch):
    monkeypatch.setattr("orchestrator.machine_identity._ask", None)
    monkeypatch.setattr("orchestrator.gate_inventory.Inventories.load", None)
    assert play(site, tmp_path)[0].outcome is PlaybookOutcome.SUCCEEDED
