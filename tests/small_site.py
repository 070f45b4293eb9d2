"""Two local hosts, one playbook, one gate: what the playbook and gate runners are tried on."""

from __future__ import annotations

import json
import os
import textwrap
from pathlib import Path
from threading import Event as Flag

from orchestrator.attempt import processes_of
from orchestrator.events import GatePurpose
from orchestrator.gate import TestinfraGates
from orchestrator.playbook import AnsiblePlaybooks
from orchestrator.work import AnsibleOptions, GateRequest, PlaybookRequest

RUN = "20260101-000000-test"
HOSTS = """\
all:
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  children:
    servers:
      hosts: {h1: , h2: }
      vars: {ansible_connection: local}
    remote:
      hosts:
        s1: {ansible_host: 192.0.2.1}
        s2: {ansible_host: 192.0.2.2}
"""
FAKE_SSH = """\
#!/bin/sh
# Stands in for ssh: runs the command here, unless the host's address is listed as gone; then it
# says what `said` has, or that there is no route.
for word; do last=$word; done
for address in $(cat "{gone}" 2>/dev/null); do
  case " $* " in *" $address "*) echo >>"{tried}"
    cat "{said}" >&2 2>/dev/null || echo "ssh: connect to host $address: No route to host" >&2
    exit 255;; esac
done
exec sh -c "$last"
"""


class SmallSite:
    """A project in a folder; `play` and `check` run for real and remember what was told."""

    def __init__(self, folder: Path) -> None:
        self.project = folder / "project"
        self.project.mkdir(exist_ok=True)
        self.state = folder / "state"
        self.inventory = self.write("hosts.yml", HOSTS)
        self.gone = folder / "gone"
        self.tried = folder / "tried"
        self.said = folder / "said"
        self.playbooks = AnsiblePlaybooks(self.state)
        self.gates = TestinfraGates()
        self.run = f"{RUN}-{folder.parent.name}-{folder.name}"
        self.told = []

    def pass_through(self, **options) -> None:
        """Give playbook and gate these of AnsibleOptions."""
        given = AnsibleOptions(**options)
        self.playbooks = AnsiblePlaybooks(self.state, given)
        self.gates = TestinfraGates(given)

    def write(self, name: str, text: str) -> Path:
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def fake_ssh(self, monkeypatch) -> None:
        """Put a stand-in for ssh before the real one."""
        path = self.write(
            "bin/ssh", FAKE_SSH.format(gone=self.gone, tried=self.tried, said=self.said)
        )
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")

    def play(
        self,
        text,
        hosts=("h1", "h2"),
        *,
        tell=None,
        timeout=60,
        stop=None,
        inventory=None,
        variables=None,
    ):
        """Run a playbook: whole when it starts with a play, else the tasks of a play on servers."""
        if not text.lstrip().startswith("- hosts"):
            tasks = textwrap.indent(textwrap.dedent(text), "    ")
            text = f"- hosts: servers\n  gather_facts: false\n  tasks:\n{tasks}"
        request = PlaybookRequest(
            run=self.run,
            component="web",
            attempt=1,
            project=self.project,
            inventory=inventory or (self.inventory,),
            playbook=self.write("web.yml", text),
            hosts=tuple(hosts),
            timeout=timeout,
            variables=variables or {},
        )
        return self.playbooks(request, self._teller(tell), stop or Flag())

    def check(
        self,
        text,
        hosts=("h1", "h2"),
        *,
        tell=None,
        minimum=1,
        timeout=60,
        stop=None,
        purpose=GatePurpose.VERIFY,
        inventory=None,
        variables=None,
    ):
        """Run a gate file of this text."""
        request = GateRequest(
            run=self.run,
            component="web",
            purpose=purpose,
            attempt=1,
            project=self.project,
            inventory=inventory or (self.inventory,),
            gate=self.write("test_web.py", text),
            hosts=tuple(hosts),
            minimum=minimum,
            timeout=timeout,
            variables=variables or {},
        )
        return self.gates(request, self._teller(tell), stop or Flag())

    def left(self):
        """The processes of this site's attempts that are alive."""
        return processes_of(f"{self.run}/")

    def log(self):
        """The kept events of the playbook."""
        path = self.state / "artifacts" / self.run / "web-1.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def _teller(self, tell):
        self.told = []

        def both(event):
            self.told.append(event)
            if tell:
                tell(event)

        return both
