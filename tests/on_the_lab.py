"""The real command on the real lab, as the tests here use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SITE = "hosting-a"


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


class Drcli:
    """The real command, with a state directory of its own."""

    def __init__(self, state_dir: Path) -> None:
        self.environment = {**os.environ, "DRCLI_STATE_DIR": str(state_dir)}

    def __call__(self, *words: str, timeout: float = 1800) -> Ended:
        command = [str(Path(sys.executable).with_name("drcli")), *words]
        done = subprocess.run(
            command,
            cwd=PROJECT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def must(self, *words: str) -> Ended:
        ended = self(*words)
        assert ended.code == 0, f"drcli {' '.join(words)}: {ended}"
        return ended

    def recover(self) -> tuple[Ended, list[dict]]:
        """Recover the whole site; return how it ended and its events in order."""
        ended = self("recover", "--site", SITE, "--json")
        return ended, [json.loads(line)["event"] for line in ended.out.splitlines()]

    def checks(self, *components: str) -> list[dict]:
        """Run gates alone, all when none is named; return what each check said."""
        named = [word for name in components for word in ("--component", name)]
        ended = self("verify", "--site", SITE, "--json", *named)
        events = [json.loads(line)["event"] for line in ended.out.splitlines()]
        assert events, ended
        return [event for event in events if event["kind"] == "check_finished"]


def red(checks: list[dict]) -> set[tuple[str, str]]:
    """Of what checks said: those that were red, as (component, check)."""
    bad = ("failed", "error")
    return {(e["component"], e["check"]) for e in checks if e["outcome"] in bad}


def on(host: str, *command: str) -> str:
    """What a command prints in a host, past its network and SSH.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    words = ["podman", "exec", f"drcli-{SITE}-{host}", *command]
    return subprocess.run(words, capture_output=True, text=True, timeout=30, check=True).stdout
