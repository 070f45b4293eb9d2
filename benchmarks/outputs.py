"""What each side says it did, read from its own output."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from benchmarks.command import CommandFailed

_PASSED = re.compile(r"^PASSED \S+\[(?:\S*?-)?ansible://([^\]-]+)(?:-\S*)?\]", re.MULTILINE)
_SUMMARY = re.compile(r"^.*\b\d+ (?:passed|failed|errors?|skipped)\b.* in [\d.]+s.*$", re.MULTILINE)
_STEP = re.compile(r"^step .*$", re.MULTILINE)
_RECAP = re.compile(r"^\S+ +: ok=(\d+) .*?skipped=(\d+) ", re.MULTILINE)


def pytest_work(text: str) -> dict[str, int]:
    """Checks that passed, and the hosts they ran on, of `pytest -rA` on testinfra hosts.

    Raises:
        CommandFailed: it has no summary, or a check that did not pass.
    """
    checks, hosts = _last_gate(text)
    return {"checks": checks, "hosts": len(hosts)}


def script_work(text: str) -> dict[str, int]:
    """Checks of every component's last gate, and the hosts they ran on, of a recovery script.

    Raises:
        CommandFailed: a component's last gate was not green.
    """
    gates = [_last_gate(part) for part in _STEP.split(text)[:-1]]
    hosts = set().union(*(hosts for _, hosts in gates))
    return {"checks": sum(checks for checks, _ in gates), "hosts": len(hosts)}


def _last_gate(text: str) -> tuple[int, set[str]]:
    """Checks and hosts of the last run of pytest in this output: all must have passed."""
    ends = [0, *(found.end() for found in _SUMMARY.finditer(text))]
    said = text[ends[-2] : ends[-1]] if len(ends) > 1 else ""
    summary = said.splitlines()[-1] if said else "no summary"
    passed = re.search(r"(\d+) passed", summary)
    if not passed or re.search(r"\d+ (?:failed|error|skipped)", summary):
        raise CommandFailed(f"pytest: {summary}: {text[-300:]}")
    return int(passed[1]), set(_PASSED.findall(said))


def script_tasks(text: str) -> int:
    """Tasks that ansible-playbook counted, over all hosts: done or skipped."""
    return sum(int(ok) + int(skipped) for ok, skipped in _RECAP.findall(text))


def records(text: str) -> list[dict[str, Any]]:
    """The records of `drcli … --json`, in order."""
    return [json.loads(line) for line in text.splitlines()]


def drcli_work(text: str) -> dict[str, int]:
    """Checks that passed, and the hosts they ran on, of `drcli verify --json`.

    Raises:
        CommandFailed: a check did not pass.
    """
    checks = [event for event in _events(text) if event["kind"] == "check_finished"]
    bad = [c for c in checks if c["outcome"] != "passed"]
    if bad:
        raise CommandFailed(f"drcli: {bad[0]['check']} on {bad[0]['host']}: {bad[0]['outcome']}")
    return {"checks": len(checks), "hosts": len({c["host"] for c in checks if c["host"]})}


def drcli_recovery_work(text: str) -> dict[str, int]:
    """Checks of every component's last gate, and the hosts they ran on, of `drcli recover --json`.

    Raises:
        CommandFailed: a component's last gate was not green.
    """
    hosts: set[str] = set()
    last: dict[str, dict[str, Any]] = {}
    for event in _events(text):
        if event["kind"] == "check_finished" and event["host"]:
            hosts.add(event["host"])
        elif event["kind"] == "gate_finished":
            last[event["component"]] = event
    for name, gate in last.items():
        if not gate["green"]:
            raise CommandFailed(f"drcli: the gate of {name} is red: {gate['reasons']}")
    return {"checks": sum(gate["passed"] for gate in last.values()), "hosts": len(hosts)}


def drcli_tasks(text: str) -> int:
    """Tasks of every playbook that ran, over all hosts: done or skipped."""
    played = [event for event in _events(text) if event["kind"] == "playbook_finished"]
    return sum(host["ok"] + host["skipped"] for one in played for host in one["stats"].values())


def _events(text: str) -> Iterator[dict[str, Any]]:
    return (record["event"] for record in records(text))
