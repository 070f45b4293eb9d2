"""Gives the lab a fault, sees who notices it, recovers, and says whether it went as it must."""

from __future__ import annotations

import json
import re
import subprocess
import time
from dataclasses import dataclass, field

from on_the_lab import Ended, Lab, on

PATIENCE = 300.0  # seconds for any one command
NOBODY = "nobody"


@dataclass
class Row:
    """How one fault went; `wrong` has a line for each thing that was not as it must be."""

    fault: str
    expected: str
    noticed: str = NOBODY
    got: str = ""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Site:
    """The components of the plan, in order, and the faults of the catalogue by name."""

    components: tuple[dict, ...]
    faults: dict[str, dict]

    def below(self, name: str) -> list[str]:
        """What the component stands on, and itself; in the plan's order."""
        [stands_on] = [c["stands_on"] for c in self.components if c["name"] == name]
        return [c["name"] for c in self.components if c["name"] in (*stands_on, name)]

    def above(self, name: str) -> str | None:
        """One component that stands directly on it, its own layer first."""
        own = [c["name"] for c in self.components if name in c["needs"]]
        others = [c["name"] for c in self.components if name in c["stands_on"]]
        return next(iter([*own, *others]), None)


def read_site(lab: Lab) -> Site:
    """What the tests must know of the lab's site."""
    plan = json.loads(lab.must("plan", "--json").out)
    listed = json.loads(lab.must("lab", "break", "--list", "--json").out)
    return Site(tuple(plan["components"]), {f["name"]: f for f in listed["faults"]})


def try_fault(lab: Lab, site: Site, name: str, *, look_below: bool = True) -> Row:
    """Give the fault, see who notices it, recover, judge, and leave the components whole.

    With `look_below`, nothing that the component stands on may be red; else the recovery's own look
    at the component says who noticed.
    """
    fault = site.faults[name]
    row = Row(name, fault["expect"])
    began = time.monotonic()
    try:
        _must(lab, "lab", "break", name)
        try:
            if look_below:
                _look(lab, site, fault, row)
            _recover(lab, site, fault, row)
        finally:
            if fault["has_undo"]:
                _must(lab, "lab", "break", name, "--undo")
        if fault["expect"] == "held":
            again = lab.recover(*_chosen(site, fault), timeout=PATIENCE)
            if again.code:
                row.wrong.append(f"not recovered after the undo: {_last(again)}")
    except (AssertionError, subprocess.SubprocessError) as error:
        row.wrong.append(" ".join(str(error).split())[:600])
        row.got = row.got or "an error"
    row.seconds = time.monotonic() - began
    return row


def stop_service(lab: Lab, component: str, unit: str, host: str) -> Row:
    """Stop a service: the gate of its component must be red and name it and its host."""
    row = Row(f"{unit} stopped on {host}", "red")
    began = time.monotonic()
    try:
        on(host, "systemctl", "stop", unit)
        try:
            bad = _bad(lab("verify", "--json", "--component", component, timeout=PATIENCE))
        finally:
            on(host, "systemctl", "start", unit)
        named = [
            check for check in bad
            if check["host"] == host and unit.partition(".")[0] in check["message"]
        ]  # fmt: skip
        row.got = "red" if bad else "green"
        if named:
            row.noticed = _told(named[0])
        else:
            said = [f"{_told(check)}: {check['message'][:120]}" for check in bad]
            row.wrong.append(f"no check names {unit} on {host}: {said}")
    except (AssertionError, subprocess.SubprocessError) as error:
        row.wrong.append(" ".join(str(error).split())[:600])
    row.seconds = time.monotonic() - began
    return row


def _look(lab: Lab, site: Site, fault: dict, row: Row) -> None:
    """The gate of the fault's component is red, and none below it."""
    names = site.below(fault["component"])
    words = [word for name in names for word in ("--component", name)]
    ended = lab("verify", "--json", *words, timeout=PATIENCE)
    gates = {e["component"]: e for e in ended.events if e["kind"] == "gate_finished"}
    red = [name for name in names if name in gates and not gates[name]["green"]]
    if not red:
        row.wrong.append("no gate noticed it")
        return
    row.noticed = _noticed(gates[red[0]], _bad(ended))
    if red != [fault["component"]]:
        row.wrong.append(f"the gates that are red: {', '.join(red)}")


def _recover(lab: Lab, site: Site, fault: dict, row: Row) -> None:
    """Recover the component and one above; judge what came of it."""
    component, above = fault["component"], site.above(fault["component"])
    ended = lab.recover(*_chosen(site, fault), timeout=PATIENCE)
    events = ended.events
    looks = [e for e in events if e["kind"] == "gate_finished" and e["component"] == component]
    if looks and looks[0]["green"]:
        row.wrong.append(f"the gate of {component} did not notice it")
    elif row.noticed == NOBODY and looks:
        row.noticed = _noticed(looks[0], _bad(ended))
    by_kind = {(e["kind"], e["component"]) for e in events if "component" in e}
    if ended.code == 0:
        row.got = "recovered"
    elif {("component_failed", component), ("component_held", component)} & by_kind:
        row.got = "held"
    else:
        row.got = f"exit {ended.code}"
    if row.got != fault["expect"]:
        row.wrong.append(f"the run ended otherwise: {_last(ended)}")
        return
    if row.got == "recovered":
        _prove(fault, row)
        return
    said = "\n".join(str(e) for e in events if e.get("component") == component)
    if not re.search(fault["reason"], said, re.DOTALL):
        row.wrong.append(f"not for the reason {fault['reason']!r}: {_last(ended)}")
    if above is not None:
        started = [kind for kind, name in by_kind if name == above and kind.endswith("_started")]
        if ("component_blocked", above) not in by_kind or started:
            row.wrong.append(f"{above}, which stands on it, was not blocked: {started}")


def _prove(fault: dict, row: Row) -> None:
    """The proof of what was recovered succeeds on each of its hosts."""
    for host in fault["hosts"]:
        try:
            on(host, "sh", "-eus", stdin=fault["proof"])
        except subprocess.CalledProcessError as error:
            row.wrong.append(f"no proof on {host}: {error.stdout}{error.stderr}"[:400])


def _chosen(site: Site, fault: dict) -> list[str]:
    names = [fault["component"], site.above(fault["component"])]
    return [word for name in names if name for word in ("--component", name)]


def _bad(ended: Ended) -> list[dict]:
    checks = [e for e in ended.events if e["kind"] == "check_finished"]
    return [check for check in checks if check["outcome"] != "passed"]


def _noticed(gate: dict, bad: list[dict]) -> str:
    """The first bad check of a gate that is red, or its reasons where it has none."""
    own = [check for check in bad if check["component"] == gate["component"]]
    return _told(own[0]) if own else f"{gate['component']}: {'; '.join(gate['reasons'])[:100]}"


def _told(check: dict) -> str:
    name = check["check"].rpartition("::")[2].partition("[")[0]
    how = " (unreachable)" if check["outcome"] == "unreachable" else ""
    return f"{check['component']}: {name} on {check['host']}{how}"


def _last(ended: Ended) -> str:
    reasons = [
        f"{e['component']}: {e['reason']}"
        for e in ended.events
        if e["kind"] in ("component_failed", "component_held")
    ]
    return " ".join("; ".join(reasons or [ended.err[-400:]]).split())[:600]


def _must(lab: Lab, *words: str) -> None:
    ended = lab(*words, timeout=PATIENCE)
    assert ended.code == 0, f"drcli {' '.join(words)}: {ended}"
