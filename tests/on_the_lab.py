"""The real command on the real lab, as the tests here use it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from clean_environment import clean_environment
from ruamel.yaml import YAML

PROJECT = Path(__file__).parents[1]
SITE = "hosting-a"
DRCLI = Path(sys.executable).with_name("drcli")
# DRCLI_TESTS_LAB names another lab than that of this checkout's tests.
OWN = f"tests-{hashlib.sha256(str(PROJECT).encode()).hexdigest()[:6]}"
NAME = os.environ.get("DRCLI_TESTS_LAB", OWN)
FOLDER = Path("/var/lib/drcli/labs") / NAME


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"

    @property
    def events(self) -> list[dict]:
        """What a command that was given --json told, in order."""
        return [json.loads(line)["event"] for line in self.out.splitlines()]


class Lab:
    """The real command on this lab, with a state directory of its own."""

    def __init__(self, state_dir: Path) -> None:
        self.environment = clean_environment() | {
            "DRCLI_STATE_DIR": str(state_dir),
            "DRCLI_LAB": NAME,
        }

    def __call__(self, *words: str, timeout: float = 900) -> Ended:
        done = subprocess.run(
            [DRCLI, *words, "--site", SITE],
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def must(self, *words: str) -> Ended:
        """The same, and it ends well."""
        ended = self(*words)
        assert ended.code == 0, f"drcli {' '.join(words)}: {ended}"
        return ended

    def recover(self, *words: str, timeout: float = 900) -> Ended:
        """Recover the site; its events are in what is returned."""
        return self("recover", "--json", *words, timeout=timeout)

    def checks(self, *components: str) -> list[dict]:
        """Run gates alone, all when none is named; return what each check said."""
        named = [word for name in components for word in ("--component", name)]
        ended = self("verify", "--json", *named)
        assert ended.events, ended
        return [event for event in ended.events if event["kind"] == "check_finished"]


def on(host: str, *command: str, stdin: str = "") -> str:
    """What a command prints on a host of the lab, over its management network.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    hosts = YAML(typ="safe").load(FOLDER / "hosts.yml")["all"]["hosts"]
    words = ["ssh", "-i", FOLDER / "id_ed25519", "-o", f"UserKnownHostsFile={FOLDER}/known_hosts"]
    words += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
    words += [f"root@{hosts[host]['ansible_host']}", *command]
    done = subprocess.run(
        words, input=stdin, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout
