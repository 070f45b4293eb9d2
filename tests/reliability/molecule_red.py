"""Regressions planted in a copy of the checkout: Molecule must end red, each at its own step.

    molecule_red.py [NAME...]

Each is planted in a production playbook, role or gate of the network layer after the lab has been
made, so that the lab is a good one. Prints one row for each; exit code 1 when one was not seen, or
was seen at another step.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
CONFIG = ".config/molecule/config.yml"
MADE = ("destroy", "syntax", "create", "prepare", "cleanup")  # once for all, not for each
AT_MOST = 900  # seconds for one run of Molecule
ROLE = "playbooks/roles/dns/tasks/main.yml"
GATE = "playbooks/network/test_dns.py"
ALWAYS = '\n- name: Do it again\n  ansible.builtin.command: {argv: ["true"]}\n'


@dataclass(frozen=True)
class Regression:
    """A text in a file, what takes its place, and the step that must be red for it."""

    file: str
    old: str
    new: str
    step: str


REGRESSIONS = {
    "a check that passes whatever it sees": Regression(
        GATE, 'assert state == "active", f"unbound is {state}"', "assert state", "verify red.yml"
    ),
    "a check that is not run any more": Regression(
        GATE, "def test_unbound_runs", "def unbound_runs", "verify red.yml"
    ),
    "a task that always changes something": Regression(
        ROLE, "\n- name: Run unbound", f"{ALWAYS}\n- name: Run unbound", "idempotence"
    ),
    "a dry run that changes something": Regression(
        ROLE,
        "\n- name: Run unbound",
        f"{ALWAYS}  changed_when: ansible_check_mode\n  check_mode: false\n\n- name: Run unbound",
        "verify check_mode.yml",
    ),
    "a role that no longer starts its service": Regression(
        ROLE,
        "  vars:\n    service_name: unbound",
        "  when: false\n  vars:\n    service_name: unbound",
        "verify green.yml",
    ),
}


def molecule(copy: Path, *words: str, configs: tuple[str, ...] = (CONFIG,)) -> tuple[int, str]:
    """Run Molecule there; how it ended, and what it said."""
    options = [word for config in configs for word in ("--base-config", config)]
    done = subprocess.run(
        ["molecule", *options, *words, "--no-command-borders", "-s", "network"],
        cwd=copy,
        env=os.environ | {"MOLECULE_EPHEMERAL_DIRECTORY": f"{copy}/.ansible/molecule/network"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=AT_MOST, check=False,
    )  # fmt: skip
    return done.returncode, re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)


def last_step(said: str) -> str:
    """The step that Molecule was at last: `idempotence`, `verify red.yml`."""
    step = re.findall(r"network ➜ (\w+): Executing", said)[-1]
    playbook = re.findall(r"molecule/steps/(\w+\.yml)", said)
    return f"{step} {playbook[-1]}" if step == "verify" and playbook else step


def copy_to(folder: Path) -> Path:
    """All that git knows of this checkout, and its collections."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, target)
    (folder / "collections").symlink_to(PROJECT / "collections")
    return folder


def rest_of_the_sequence(copy: Path) -> str:
    """A configuration with what Molecule tests once the lab is there."""
    steps = re.findall(r"^    - (\w+.*?)(?: #.*)?$", (copy / CONFIG).read_text(), re.MULTILINE)
    left = [step for step in steps if step not in MADE]
    (copy / "rest.yml").write_text(f"scenario:\n  test_sequence: {left}\n")
    return "rest.yml"


def main(chosen: list[str]) -> int:
    """Plant each of the regressions chosen, all without a choice."""
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="drcli-red-") as folder:
        copy = copy_to(Path(folder))
        rest = rest_of_the_sequence(copy)
        try:
            for step in ("create", "prepare"):
                code, said = molecule(copy, step)
                if code:
                    print(said)
                    return 2
            for name in chosen or REGRESSIONS:
                planted = REGRESSIONS[name]
                file = copy / planted.file
                before = file.read_text()
                assert planted.old in before, f"{planted.file} has changed: {planted.old!r}"
                file.write_text(before.replace(planted.old, planted.new))
                began = time.monotonic()
                code, said = molecule(copy, "test", "--destroy", "never", configs=(CONFIG, rest))
                file.write_text(before)
                seen = last_step(said) if code else "nowhere"
                wrong += seen != planted.step
                took = time.monotonic() - began
                print(f"{name} | {planted.file} | {seen} | {took:.0f} s", flush=True)
                if seen != planted.step:
                    print(f"{said}\nmust be red at {planted.step}, was at {seen}")
        finally:
            molecule(copy, "destroy")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
