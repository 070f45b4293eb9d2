"""Whatever is wrong is told with its place and what to do: exit code 2, before anything starts."""

from __future__ import annotations

import os
import subprocess

import pytest

ONE = {"network": [{"name": "routing", "hosts": "img1", "settle": "0s"}]}
GATE = "playbooks/network/test_routing.py"
SKIPPING = "minimum_checks = 1\nimport pytest\npytestmark = pytest.mark.skip('later')\n"


def started(drcli, project):
    return "No run" not in drcli("status", cwd=project).stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--site", "room-b"], "room-b"),
        (["--site", "room-a", "--component", "rooting"], "did you mean 'routing'?"),
        (["--site", "room-a", "--layer", "netwerk"], "did you mean 'network'?"),
        (["--site", "room-a", "--approve", "rooting"], "rooting"),
        ([], "--site"),
    ],
)
def test_a_word_that_names_nothing(make_project, drcli, words, says):
    project = make_project(ONE)
    done = drcli("recover", *words, cwd=project)
    assert done.returncode == 2
    assert says in done.stderr
    assert "hint: " in done.stderr
    assert not started(drcli, project)


CYCLE = [
    {"name": "a", "hosts": "img1", "needs": ["b"]},
    {"name": "b", "hosts": "img1", "needs": ["a"]},
]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"site": b"site: room-a\n\tlayers:\n"}, "site.yml:2:1: not YAML"),
        ({"site": b"site: room-a\nsite: room-a\n"}, "site.yml:2:1: site: written twice"),
        ({"layers": {"network": CYCLE}}, "a cycle: a -> b -> a, each needs the next"),
        (
            {"layers": {"network": [{"name": "dns", "hosts": "nobody"}]}},
            "no group or host 'nobody'",
        ),
        ({"layers": ONE, "hosts": "all: {children: {imaging: }}"}, "no host in it"),
    ],
    ids=["tabs", "duplicate key", "cycle", "unknown group", "empty inventory"],
)
def test_a_site_that_is_wrong(make_project, drcli, given, says):
    project = make_project(**given)
    done = drcli("recover", "--site", "room-a", cwd=project)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not started(drcli, project)


def test_a_component_whose_group_is_empty(make_project, drcli):
    hosts = "all: {hosts: {r1: {ansible_connection: local}}, children: {imaging: }}"
    layers = {"network": [{"name": "routing", "hosts": "imaging"}]}
    done = drcli("plan", "--site", "room-a", cwd=make_project(layers, hosts=hosts))
    assert done.returncode == 2
    assert "component routing: " in done.stderr
    assert "'imaging' matches no host" in done.stderr


@pytest.mark.parametrize("missing", ["playbooks/network/routing.yml", GATE])
def test_a_component_without_its_playbook_or_gate(make_project, drcli, missing):
    project = make_project(ONE)
    (project / missing).unlink()
    done = drcli("recover", "--site", "room-a", cwd=project)
    assert done.returncode == 2
    assert f"{missing}: no such file" in done.stderr


def test_a_gate_with_a_syntax_error(make_project, drcli):
    project = make_project(ONE)
    (project / GATE).write_text("minimum_checks = 1\ndef test_it(host:\n")
    done = drcli("recover", "--site", "room-a", cwd=project)
    assert done.returncode == 2
    assert f"{GATE}:2:12: not Python" in done.stderr
    assert not started(drcli, project)


@pytest.mark.parametrize(
    ("gate", "says"),
    [
        ("minimum_checks = 1\n", "no check was run"),
        (f"{SKIPPING}def test_it(host): pass\n", "skipped"),
        ("minimum_checks = 2\ndef test_it(host): pass\n", "1 checks ran on it, at least 2 must"),
        ("minimum_checks = 1\nimport nothing_of_that_name\n", "nothing_of_that_name"),
    ],
    ids=["collects nothing", "all skipped", "too few", "cannot be imported"],
)
def test_a_gate_that_proves_nothing_is_red_and_says_why(make_project, drcli, gate, says):
    project = make_project(ONE)
    (project / GATE).write_text(gate)
    done = drcli("verify", "--site", "room-a", cwd=project)
    assert done.returncode == 1
    assert says in done.stdout + done.stderr


def test_a_state_directory_that_cannot_be_used(make_project, drcli, tmp_path):
    project = make_project(ONE)
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, where a folder is wanted")
    done = drcli("recover", "--site", "room-a", "--state-dir", blocked / "state", cwd=project)
    assert done.returncode == 2
    assert "state directory" in done.stderr
    assert "--state-dir" in done.stderr
    assert not list((project / "marks").iterdir())


@pytest.fixture
def read_only(tmp_path):
    """A folder on a file system that is mounted read-only: not even root may write there."""
    if os.geteuid() != 0:
        folder = tmp_path / "read-only"
        folder.mkdir(mode=0o500)
        yield folder
        return
    folder = tmp_path / "read-only"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=64k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_read_only_state_directory(make_project, drcli, read_only):
    project = make_project(ONE)
    done = drcli("recover", "--site", "room-a", "--state-dir", read_only, cwd=project)
    assert done.returncode == 2
    assert "state directory" in done.stderr
    assert not list((project / "marks").iterdir())
