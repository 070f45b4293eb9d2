"""The production gates of a layer on a lab: all green, or red for one named reason.

It runs `drcli verify`, which counts checks and takes none that was skipped for a success, and reads
the JUnit file that a pipeline reads too. What is red is printed, one line a check.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

AT_MOST = 300  # seconds for one run of a layer's gates


@dataclass(frozen=True)
class Check:
    """What one check on one host came to; `says` is empty when it passed."""

    component: str
    name: str
    says: str
    red: bool

    def __str__(self) -> str:
        return f"{'RED  ' if self.red else 'green'} {self.component} {self.name}: {self.says}"


def read_junit(text: str) -> list[Check]:
    """Every check in a JUnit file."""
    return list(_checks(ET.fromstring(text)))  # noqa: S314 -- drcli has just written it


def _checks(suites: ET.Element) -> Iterator[Check]:
    for suite in suites.iter("testsuite"):
        for case in suite.iter("testcase"):
            bad = [*case.iter("failure"), *case.iter("error"), *case.iter("skipped")]
            says = "; ".join(one.text or one.get("message", "") for one in bad)
            yield Check(
                suite.get("name", "").rpartition(".")[2], case.get("name", ""), says, bool(bad)
            )


def why_not_green(code: int, checks: list[Check], components: list[str]) -> str:
    """Why these gates are not green; empty when they are."""
    red = [check for check in checks if check.red]
    if red:
        return f"{len(red)} of {len(checks)} checks are red"
    silent = set(components) - {check.component for check in checks}
    if silent:
        return f"no check of {', '.join(sorted(silent))} was run"
    return f"drcli verify ended with exit code {code}" if code else ""


def why_not_red(  # noqa: PLR0913, PLR0917 -- the four words of a reason
    code: int, checks: list[Check], component: str, check: str, host: str, says: str
) -> str:
    """Why these gates are not red for that reason alone; empty when they are."""
    if code != 1:
        return f"drcli verify ended with exit code {code}, must be 1: the layer is broken"
    others = {one.component for one in checks if one.red} - {component}
    if others:
        return f"red is also {', '.join(sorted(others))}: that was not broken"
    named = [one for one in checks if (one.component, one.name) == (component, f"{check}[{host}]")]
    if not named:
        return f"{component} has no check {check} on {host}"
    if not named[0].red:
        return f"{check} on {host} is green on a broken layer: this check proves nothing"
    if says not in named[0].says:
        return f"{check} on {host} is red for another reason than {says!r}"
    return ""


def main() -> int:
    """Run the gates once to see red; until green, or as long as a recovery would, to see green."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("layer")
    parser.add_argument("--site", required=True)
    parser.add_argument("--lab", required=True)
    parser.add_argument("--junit", required=True, type=Path)
    parser.add_argument("--red", nargs=4, metavar=("COMPONENT", "CHECK", "HOST", "SAYS"))
    given = parser.parse_args()
    where = ["--site", given.site, "--layer", given.layer]
    planned = json.loads(_drcli("plan", *where, "--json").stdout)["components"]
    components = [component["name"] for component in planned]
    deadline = time.monotonic() + max(component["settle"] for component in planned)
    while True:
        given.junit.unlink(missing_ok=True)
        done = _drcli("verify", *where, "--lab", given.lab, "--junit", str(given.junit))
        if not given.junit.exists():
            print(done.stdout, done.stderr, sep="\n")  # noqa: T201
            return 1
        checks = read_junit(given.junit.read_text(encoding="utf-8"))
        wrong = (
            why_not_red(done.returncode, checks, *given.red)
            if given.red
            else why_not_green(done.returncode, checks, components)
        )
        if not wrong or given.red or time.monotonic() > deadline:
            break
    for check in checks:
        if check.red:
            print(check)  # noqa: T201
    red = sum(check.red for check in checks)
    print(wrong or f"{len(checks)} checks of {', '.join(components)}, {red} red: as it must be")  # noqa: T201
    return int(bool(wrong))


def _drcli(*words: str) -> subprocess.CompletedProcess[str]:
    """The command as a person calls it: without the settings that Molecule makes for Ansible."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("ANSIBLE_", "MOLECULE_"))}
    return subprocess.run(  # noqa: S603
        ["drcli", *words],  # noqa: S607
        env=kept, capture_output=True, text=True, timeout=AT_MOST, check=False,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
