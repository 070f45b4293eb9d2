"""A small real project for any test, and the real command to run in it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
from clean_environment import clean_environment
from hypothesis import settings

# No test asserts a time: a busy machine must not turn one red.
settings.register_profile("drcli", deadline=None)
settings.load_profile("drcli")

# Under nohup, all that is started here would ignore the signal whose effect some tests ask for.
signal.signal(signal.SIGHUP, signal.SIG_DFL)

DRCLI = Path(sys.executable).with_name("drcli")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """As root a skipped test is a failed one: what was not tried is not proven."""
    report = yield
    if report.skipped and os.geteuid() == 0 and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, where everything must be tried: {report.longrepr}"
    return report


HOSTS = """\
all:
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  children:
    routers: {hosts: {r1: , r2: }}
    databases: {hosts: {db1: , db2: }}
    imaging: {hosts: {img1: }}
"""

# Brings a component "back": a mark that its gate looks for, one for each host.
PLAYBOOK = """\
- name: Bring {name} back
  hosts: {hosts}
  gather_facts: false
  any_errors_fatal: true
  tasks:
    - name: Leave the mark of {name}
      ansible.builtin.lineinfile: # one run of a module; copy is three
        line: up
        create: true
        path: "{marks}/{name}-{{{{ inventory_hostname }}}}"
        mode: "0600"
"""

GATE = """\
minimum_checks = 1


def test_mark(host):
    name = host.backend.get_pytest_id().rpartition("/")[2]
    assert host.file("{marks}/{name}-" + name).exists
"""

DEFAULT_LAYERS = {
    "network": [{"name": "routing", "hosts": "routers"}],
    "storage": [
        {"name": "volumes", "hosts": "databases"},
        {"name": "database", "hosts": "databases", "needs": ["volumes"]},
    ],
    "applications": [{"name": "imaging", "hosts": "imaging"}],
}

Layers = Mapping[str, Sequence[Mapping[str, object]]]


@pytest.fixture
def make_project(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a project and returns its folder.

    `layers` are the components of each layer, as in a site file; for each a playbook and a gate are
    written where the site file would have them by default: the playbook leaves a file in `marks/`
    for each host, the gate looks for it. `site` and `hosts` replace the text of site.yml and
    hosts.yml; `extra` are more fields of the site file. JSON is YAML, so site.yml is JSON here.
    """

    def make(
        layers: Layers | None = None,
        *,
        name: str = "room-a",
        site: str | bytes | None = None,
        hosts: str = HOSTS,
        extra: Mapping[str, object] | None = None,
    ) -> Path:
        project = tmp_path / "project"
        marks = project / "marks"
        inventory = project / "inventories" / name
        for folder in (marks, inventory):
            folder.mkdir(parents=True, exist_ok=True)
        layers = DEFAULT_LAYERS if layers is None else layers
        content = {
            "site": name,
            "layers": [{"name": n, "components": list(cs)} for n, cs in layers.items()],
            **(extra or {}),
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) if site is None else site
        raw = text.encode() if isinstance(text, str) else text
        (inventory / "site.yml").write_bytes(raw)
        (inventory / "hosts.yml").write_text(hosts)
        (project / "ansible.cfg").write_text("[defaults]\nhost_key_checking = True\n")
        for layer, components in layers.items():
            folder = project / "playbooks" / layer
            folder.mkdir(parents=True, exist_ok=True)
            for component in components:
                words = {"name": component["name"], "hosts": component["hosts"], "marks": marks}
                (folder / f"{component['name']}.yml").write_text(PLAYBOOK.format(**words))
                (folder / f"test_{component['name']}.py").write_text(GATE.format(**words))
        return project

    return make


@pytest.fixture
def drcli(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the real command: `drcli("plan", "--site", "room-a", cwd=...)`.

    It has no terminal, a state directory of its own, and none of this machine's settings.
    """

    def run(
        *args: str | Path,
        cwd: Path,
        timeout: float = 300,  # a busy machine is no failure
        env: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> subprocess.CompletedProcess[str]:
        environment = clean_environment()
        environment |= {"DRCLI_STATE_DIR": str(tmp_path / "state"), **(env or {})}
        return subprocess.run(
            [DRCLI, *args],
            cwd=cwd,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            start_new_session=True,  # or it would ask whoever runs the tests
        )

    return run
