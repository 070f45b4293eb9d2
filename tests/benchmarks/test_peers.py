"""The scripts that drcli is compared with do all the work that they are timed for."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from benchmarks.command import run
from benchmarks.outputs import pytest_work, script_tasks, script_work
from benchmarks.world import PEERS, TOOLS

HOSTS = """\
all:
  vars: {ansible_connection: local, ansible_python_interpreter: PYTHON}
  children: {servers: {hosts: {h1: , h2: }}}
"""
ROLE = """\
- name: Leave a mark
  ansible.builtin.copy:
    content: up
    dest: "{{ playbook_dir }}/../{{ inventory_hostname }}"
    mode: "0644"
"""
PLAYBOOK = "- hosts: servers\n  gather_facts: false\n  roles: [mark]\n"
GATE = """\
from pathlib import Path

def test_it_is_up(host):
    name = host.backend.get_pytest_id().removeprefix("ansible://")
    assert host.file(f"{Path(__file__).parents[1]}/{name}").content_string == "up"

def test_there_is_a_root(host):
    assert host.file("/").is_directory
"""


@pytest.fixture
def project(tmp_path):
    for name, text in {
        "hosts.yml": HOSTS.replace("PYTHON", sys.executable),
        "playbooks/roles/mark/tasks/main.yml": ROLE,
        "playbooks/network/web.yml": PLAYBOOK,
        "playbooks/network/test_web.py": GATE,
        # What a project sets for its own tests is none of a gate's business.
        "pyproject.toml": '[tool.pytest.ini_options]\naddopts = "--no-such-option"\n',
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def given(folder: Path, **more: str) -> dict[str, str]:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("ANSIBLE_", "PYTEST_"))}
    return {**kept, "HOME": str(home), "PATH": f"{TOOLS}:{os.environ['PATH']}", **more}


@pytest.mark.parametrize(
    ("script", "xdist"),
    [("recover-plain.sh", ""), ("recover-tuned.sh", ""), ("recover-tuned.sh", "-n 2")],
)
def test_a_script_runs_the_role_and_every_check_on_every_host(project, script, xdist):
    if script == "recover-plain.sh":
        (project / "pyproject.toml").unlink()
    ended = run(
        [PEERS / script, "hosts.yml"],
        cwd=project,
        env=given(project, XDIST=xdist),
        stdin="playbooks/network/web.yml playbooks/network/test_web.py servers\n",
    )
    assert script_work(ended.out) == {"checks": 4, "hosts": 2}
    assert script_tasks(ended.out) == 2
    assert ended.out.splitlines()[-1].startswith("step playbooks/network/web.yml ")


@pytest.mark.parametrize(
    ("script", "xdist"),
    [("verify-stock.sh", ""), ("verify-tuned.sh", ""), ("verify-tuned.sh", "-n 2")],
)
def test_a_verification_runs_every_check_on_every_host(project, script, xdist):
    (project / "pyproject.toml").unlink()
    for name in ("h1", "h2"):
        (project / "playbooks" / name).write_text("up")
    ended = run(
        [PEERS / script, "hosts.yml", "playbooks/network/test_web.py"],
        cwd=project,
        env=given(project, XDIST=xdist),
    )
    assert pytest_work(ended.out) == {"checks": 4, "hosts": 2}
