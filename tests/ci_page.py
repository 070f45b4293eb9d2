"""The pipelines of docs/ci.md, as values: what they run, in order."""

from __future__ import annotations

import re

from on_the_lab import PROJECT
from ruamel.yaml import YAML


def pipelines():
    """The two fenced blocks: GitHub's, GitLab's."""
    page = (PROJECT / "docs/ci.md").read_text(encoding="utf-8")
    return [
        YAML(typ="safe").load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    ]


def github_lines(pipeline):
    """Its commands: those of the job, and those that run whatever happened."""
    [job] = pipeline["jobs"].values()
    runs = [step for step in job["steps"] if "run" in step]
    always = [step for step in runs if step.get("if") == "always()"]
    return tuple(
        [line for step in steps for line in step["run"].strip().splitlines()]
        for steps in ([step for step in runs if step not in always], always)
    )


def gitlab_lines(pipeline):
    """The same of GitLab's."""
    [job] = pipeline.values()
    return job["script"], job["after_script"]
