"""`preflight`, and the first look of `recover` and `resume`, through the real command."""
# ruff: noqa: E501 -- inventories

from __future__ import annotations

import json
import socket
from functools import partial

import pytest

ONE = {"network": [{"name": "routing", "hosts": "imaging", "settle": "0s"}]}
BLOCKING = "import nowhere_installed\n"


@pytest.fixture
def drcli(drcli):
    """The command, on a machine that may be busy: what is asked here is never how long it takes."""
    return partial(drcli, timeout=300)


@pytest.fixture
def project(make_project):
    return make_project(ONE)


@pytest.fixture
def broken(project):
    """Its gate imports what is not installed, once it runs."""
    gate = project / "playbooks/network/test_routing.py"
    gate.write_text(BLOCKING + gate.read_text())
    return project


def test_nothing_stands_against_a_sound_site(project, drcli):
    done = drcli("preflight", "--site", "room-a", "--component", "routing", cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing stands against a recovery" in done.stdout
    assert done.stdout.rstrip().endswith("Next: drcli recover --site room-a")


def test_what_blocks_is_told_with_its_place_and_mend_and_exit_code_1(broken, drcli):
    done = drcli("preflight", "--site", "room-a", cwd=broken)
    assert done.returncode == 1
    where = broken / "playbooks/network/test_routing.py"
    assert f"blocks gate-import: {where}:1: it imports nowhere_installed" in done.stdout
    assert "pip install nowhere_installed" in done.stdout
    assert done.stdout.rstrip().endswith("mend it, then: drcli preflight --site room-a")
    as_json = drcli("preflight", "--site", "room-a", "--json", cwd=broken)
    content = json.loads(as_json.stdout)
    assert (as_json.returncode, content["blocks"]) == (1, True)
    [first, *_] = content["findings"]
    assert (first["name"], first["severity"], first["where"]) == (
        "gate-import",
        "blocks",
        f"{where}:1",
    )
    assert first["mend"]


def test_a_host_of_no_component_is_told_and_does_not_block(project, drcli):
    done = drcli("preflight", "--site", "room-a", cwd=project)
    assert done.returncode == 0
    assert "warns unchecked-host: site.yml: host r1 belongs to no component" in done.stdout


def test_a_dark_host_is_no_reason_not_to_start(make_project, drcli):
    hosts = (
        "all: {children: {imaging: {hosts: {img1: {ansible_host: 127.0.0.1, ansible_port: 1}}}}}"
    )
    done = drcli("preflight", "--site", "room-a", cwd=make_project(ONE, hosts=hosts))
    assert done.returncode == 0, done.stdout


def test_a_host_that_accepts_and_says_nothing_is_not_waited_for(make_project, drcli):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        port = silent.getsockname()[1]
        hosts = f"all: {{children: {{imaging: {{hosts: {{img1: {{ansible_host: 127.0.0.1, ansible_port: {port}}}}}}}}}}}"
        done = drcli("preflight", "--site", "room-a", cwd=make_project(ONE, hosts=hosts))
    assert done.returncode == 0, done.stdout + done.stderr


def recover(drcli, project, *words):
    return drcli("recover", "--site", "room-a", *words, cwd=project)


def test_recover_looks_first_and_starts_nothing_when_something_blocks(broken, drcli):
    done = recover(drcli, broken)
    assert done.returncode == 1
    assert "preflight blocks gate-import" in done.stderr
    assert "hint: Mend it, or start all the same: --ignore gate-import --because" in done.stderr
    assert not list((broken / "marks").iterdir())
    assert json.loads(drcli("runs", "--json", cwd=broken).stdout or "[]") == []


def test_what_is_ignored_by_name_stands_in_the_journal_with_its_reason(broken, drcli):
    done = recover(drcli, broken, "--ignore", "gate-import", "--because", "it is\ninstalled there")
    assert done.returncode == 1  # the gate is red, for it cannot be loaded
    assert list((broken / "marks").iterdir())  # the playbook has run
    content = json.loads(drcli("show", "--json", cwd=broken).stdout)
    [ignored] = content["ignored"]
    assert (ignored["name"], ignored["because"]) == ("gate-import", "it is installed there")
    assert ignored["where"].endswith("test_routing.py:1")
    assert "because: it is installed there" in drcli("show", cwd=broken).stdout
    assert "ignored by" in done.stderr


def test_resume_looks_first_too(broken, drcli, project):
    ignore = ("--ignore", "gate-import", "--because", "why not")
    recover(drcli, broken, *ignore)
    done = drcli("resume", "--site", "room-a", cwd=project)
    assert done.returncode == 2  # it came to its end
    assert "came to its end" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--ignore", "gate-import"], "--ignore without --because"),
        (["--because", "x"], "--because without --ignore"),
        (["--ignore", "gate-imports", "--because", "x"], "--ignore"),
        (["--ignore", "clock", "--because", " "], "--ignore without --because"),
        (["--ignore", "clock", "--because", "x" * 501], "longer than 500"),
    ],
)
def test_ignoring_wants_a_known_name_and_a_reason(project, drcli, words, told):
    done = recover(drcli, project, *words)
    assert (done.returncode, told in done.stderr) == (2, True), done.stderr


def test_ignoring_what_is_not_found_any_more_is_said_and_does_no_harm(project, drcli):
    done = recover(drcli, project, "--ignore", "clock", "--because", "x")
    assert done.returncode == 0, done.stderr
    assert "--ignore clock: there is no such finding any more" in done.stderr


def test_a_state_directory_of_the_site_s_own_disk_and_more_are_told_together(broken, drcli):
    """A vault of the site, in the environment of a real command."""
    hosts = broken / "inventories/room-a/hosts.yml"
    hosts.write_text(hosts.read_text().replace("img1: ", "img1: {other_addresses: [192.0.2.9]}"))
    environment = {"VAULT_ADDR": "https://192.0.2.9:8200"}
    done = drcli("preflight", "--site", "room-a", cwd=broken, env=environment)
    assert done.returncode == 1
    assert "blocks bootstrap-vault: $VAULT_ADDR: the controller takes secrets" in done.stdout
    assert "img1 (recovered by routing)" in done.stdout
    assert "2 reasons not to start" in done.stdout
