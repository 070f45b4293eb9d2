"""The commands of docs/ci.md, run as a runner would: in a fresh clone, and nothing stays.

    pipeline.py

Exit code 1 when one fails, when a gate is red in gates.xml, or when a lab is left.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree as ET

sys.path.insert(0, str(Path(__file__).parents[1]))

from ci_page import gitlab_lines, pipelines
from clean_environment import clean_environment
from on_the_lab import PROJECT

from orchestrator.lab.instance import all_instances

AT_MOST = 3600  # seconds for one command, as the pipelines' own limit


def run(line: str, clone: Path) -> bool:
    """Run one command as a runner's shell does; whether it ended well."""
    began = time.monotonic()
    environment = {k: v for k, v in clean_environment().items() if not k.startswith("MAKE")}
    of_make = str(PROJECT / ".venv" / "bin")  # a runner's shell does not have it
    paths = [path for path in environment["PATH"].split(":") if path != of_make]
    environment["PATH"] = ":".join(paths)
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", line],
        cwd=clone, env=environment, timeout=AT_MOST, check=False,
    )  # fmt: skip
    print(f"{line}: exit code {done.returncode} after {time.monotonic() - began:.0f} s", flush=True)
    return done.returncode == 0


def main() -> int:
    """Run both parts; the second one whatever the first came to."""
    _, gitlab = pipelines()
    script, after = gitlab_lines(gitlab)
    with tempfile.TemporaryDirectory(prefix="drcli-pipeline-") as folder:
        clone = Path(folder) / "drcli"
        subprocess.run(["git", "clone", "--quiet", PROJECT, clone], check=True)
        try:
            good = all(run(line, clone) for line in script)
        finally:
            cleaned = [run(line, clone) for line in after]
        junit = clone / "gates.xml"
        bad = ("failures", "errors", "skipped")
        red = not junit.exists() or any(int(ET.parse(junit).getroot().get(n)) for n in bad)
        left = [one.name for one in all_instances() if one.project == clone.resolve()]
        print(f"gates.xml {'red' if red else 'green'}; labs left: {left or 'none'}")
    return int(not good or red or bool(left) or not all(cleaned))


if __name__ == "__main__":
    sys.exit(main())
