"""Fakes of playbooks and gates that keep the promises of work.py, and plans to drive with them."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

from orchestrator import order
from orchestrator.events import CheckFinished, CheckOutcome, HostStats, PlaybookOutcome, TaskStarted
from orchestrator.plan import Component, Plan
from orchestrator.recovery import recover
from orchestrator.run import RunOptions
from orchestrator.site import Site
from orchestrator.state import fold
from orchestrator.work import GateResult, PlaybookResult

PATIENCE = 30.0  # seconds a fake waits for a stop before it counts as forgotten


class FakePlaybooks:
    """Each playbook succeeds at once, unless told otherwise; it notes what started and runs."""

    def __init__(self, *, outcomes=None, during=None, patient=(), tasks=("Start it",)):
        self.outcomes = outcomes or {}
        self.during = during or {}
        self.patient = set(patient)  # these run until they are asked to stop
        self.tasks = tasks
        self.started, self.succeeded, self.requests = [], set(), []
        self.running, self.most_at_once = set(), 0
        self._lock = threading.Lock()

    def __call__(self, request, tell, stop):
        name = request.component
        with self._lock:
            self.started.append(name)
            self.requests.append(request)
            self.running.add(name)
            self.most_at_once = max(self.most_at_once, len(self.running))
        try:
            for task in self.tasks:
                tell(TaskStarted(component=name, play="play", task=task))
            self.during.get(name, lambda: None)()
            if name in self.patient:
                assert stop.wait(PATIENCE), "nobody asked this playbook to stop"
            if stop.is_set():
                return PlaybookResult(outcome=PlaybookOutcome.CANCELLED, reasons=("stopped",))
            outcome = self.outcomes.get(name, PlaybookOutcome.SUCCEEDED)
            if outcome is PlaybookOutcome.SUCCEEDED:
                self.succeeded.add(name)
                stats = {host: HostStats(ok=1) for host in request.hosts}
                return PlaybookResult(outcome=outcome, stats=stats)
            return PlaybookResult(outcome=outcome, reasons=("because the test says so",))
        finally:
            with self._lock:
                self.running.discard(name)


class FakeGates:
    """Green for the components named, and for those a playbook has repaired; red for others."""

    def __init__(self, *, green=(), repaired_by=None, red_after_playbook=None, tells=True):
        self.green = set(green)
        self.repaired_by = repaired_by
        self.red_after_playbook = dict(red_after_playbook or {})  # how often, before it is green
        self.tells = tells
        self.asked, self.requests = [], []

    def __call__(self, request, tell, stop):
        name = request.component
        self.asked.append((name, request.purpose))
        self.requests.append(request)
        green = name in self.green
        if self.repaired_by and name in self.repaired_by.succeeded:
            left = self.red_after_playbook.get(name, 0)
            green = left == 0
            self.red_after_playbook[name] = max(left - 1, 0)
        if stop.is_set():
            return GateResult(green=False, reasons=("stopped",))
        check = CheckFinished(
            component=name,
            check="test_it_works",
            host=request.hosts[0],
            outcome=CheckOutcome.PASSED if green else CheckOutcome.FAILED,
            seconds=0.0,
        )
        if self.tells:
            tell(check)
        return GateResult(green=green, checks=(check,))


def plan_of(graph, *, settle=5.0, approval=None, recheck=60.0, allow_async=None):
    """A plan of site lab-a from a graph: name -> names it stands on, two hosts a component."""
    inside = {name: tuple(n for n in below if n in graph) for name, below in graph.items()}
    reach = order.stands_on(inside)
    components = tuple(
        Component(
            name=name,
            layer="network",
            hosts=(f"{name}-1", f"{name}-2"),
            playbook=Path(f"/p/playbooks/network/{name}.yml"),
            gate=Path(f"/p/playbooks/network/test_{name}.py"),
            minimum_checks=1,
            needs=tuple(stands_on),
            stands_on=reach[name],
            settle=settle,
            timeout=60.0,
            recheck=recheck,
            approval=(approval or {}).get(name),
            allow_async=(allow_async or {}).get(name),
        )
        for name, stands_on in graph.items()
    )
    named = [{"name": name, "hosts": name} for name in graph]
    layers = [{"name": "network", "components": named}]
    return Plan(
        site=Site.model_validate({"site": "lab-a", "layers": layers}),
        components=components,
        graph=inside,
        stages=(),
        critical_path=(),
        hash="0" * 64,
    )


def options(**given):
    given = {"run": "r1"} | given
    return RunOptions(project=Path("/p"), inventory=(Path("/p/hosts.yml"),), **given)


def run_to_end(plan, playbooks, gates, **given):
    given.setdefault("options", options())
    with closing(recover(plan, playbooks, gates, **given)) as records:
        return list(records)


def verdicts(records):
    return {name: c.state for name, c in fold(records).components.items()}
