"""Sites that exist on paper only, as large as asked, and playbooks and gates that do nothing."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event as Flag

from orchestrator.events import (
    CheckFinished,
    CheckOutcome,
    GatePurpose,
    HostStats,
    PlaybookOutcome,
    TaskStarted,
)
from orchestrator.work import GateRequest, GateResult, PlaybookRequest, PlaybookResult, Tell

LAYERS = 5
TASKS = 10  # of each playbook
_PLAYBOOK = """\
- name: Bring {name} back
  hosts: {name}
  gather_facts: false
  tasks:
    - name: Do nothing
      ansible.builtin.meta: noop
"""
_GATE = '''"""Gate of {name}."""

minimum_checks = 1


def test_it_is_there(host):
    assert host.file("/").exists
'''


def write_site(project: Path, site: str, *, components: int, hosts_each: int) -> None:
    """Write a project with one site: five layers of components, each with hosts of its own."""
    inventory = project / "inventories" / site
    inventory.mkdir(parents=True)
    groups: dict[str, object] = {}
    layers = []
    for number in range(LAYERS):
        layer = f"layer-{number}"
        folder = project / "playbooks" / layer
        folder.mkdir(parents=True)
        names = [f"c{one:04}" for one in range(components) if one % LAYERS == number]
        for name in names:
            (folder / f"{name}.yml").write_text(_PLAYBOOK.format(name=name), encoding="utf-8")
            (folder / f"test_{name}.py").write_text(_GATE.format(name=name), encoding="utf-8")
            first = int(name[1:]) * hosts_each
            groups[name] = {
                "hosts": {
                    f"h{one:05}": {"ansible_host": f"10.{one >> 16}.{one >> 8 & 255}.{one & 255}"}
                    for one in range(first, first + hosts_each)
                }
            }
        layers.append({"name": layer, "components": [{"name": n, "hosts": n} for n in names]})
    text = json.dumps({"all": {"children": groups}}, indent=1)
    (inventory / "hosts.yml").write_text(text, encoding="utf-8")
    text = json.dumps({"site": site, "layers": layers}, indent=1)
    (inventory / "site.yml").write_text(text, encoding="utf-8")


class NoPlaybooks:
    """Every playbook has ten tasks and succeeds at once on every host."""

    def __call__(self, request: PlaybookRequest, tell: Tell, stop: Flag) -> PlaybookResult:  # noqa: ARG002 -- the Protocol's
        """Say what a playbook would say."""
        for number in range(TASKS):
            tell(TaskStarted(component=request.component, play="play", task=f"Task {number}"))
        stats = {host: HostStats(ok=TASKS) for host in request.hosts}
        return PlaybookResult(outcome=PlaybookOutcome.SUCCEEDED, stats=stats)


class NoGates:
    """Red before the playbook, with one check; green after it, `checks` of them on every host."""

    def __init__(self, checks: int) -> None:
        self._checks = checks

    def __call__(self, request: GateRequest, tell: Tell, stop: Flag) -> GateResult:  # noqa: ARG002 -- the Protocol's
        """Say what a gate would say."""
        green = request.purpose is GatePurpose.VERIFY
        outcome = CheckOutcome.PASSED if green else CheckOutcome.FAILED
        checks = tuple(
            CheckFinished(
                component=request.component,
                check=f"test_number_{number}",
                host=host,
                outcome=outcome,
                seconds=0.01,
                message="" if green else "not there yet",
            )
            for host in (request.hosts if green else request.hosts[:1])
            for number in range(self._checks if green else 1)
        )
        for check in checks:
            tell(check)
        reasons = () if green else ("1 check failed",)
        return GateResult(green=green, checks=checks, reasons=reasons)
