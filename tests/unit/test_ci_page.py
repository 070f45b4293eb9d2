"""The pipelines of docs/ci.md: well-formed, alike, and of commands that exist."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess

import click
import pytest
from ci_page import github_lines, gitlab_lines, pipelines
from on_the_lab import PROJECT

from orchestrator.cli.main import main

GITHUB, GITLAB = pipelines()
LINES = [line for lines in github_lines(GITHUB) for line in lines]


def test_both_pipelines_run_the_same_commands_in_the_same_order():
    assert github_lines(GITHUB) == gitlab_lines(GITLAB)
    assert all(github_lines(GITHUB))


def test_githubs_pipeline_has_the_shape_that_github_reads():
    assert GITHUB["on"] == ["push", "pull_request"]
    [job] = GITHUB["jobs"].values()
    assert job["runs-on"]
    assert job["timeout-minutes"] <= 60
    assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    assert job["steps"][0]["uses"].startswith("actions/checkout@")


def test_gitlabs_pipeline_has_the_shape_that_gitlab_reads():
    [job] = GITLAB.values()
    assert all(isinstance(line, str) for line in job["script"] + job["after_script"])
    assert job["artifacts"] == {"when": "always", "reports": {"junit": "gates.xml"}}


@pytest.mark.parametrize("line", LINES)
def test_each_command_exists_with_these_options(line):
    words = shlex.split(line)
    settings = dict(word.split("=", 1) for word in words if "=" in word and word[0] != "-")
    command, *rest = [word for word in words if word.partition("=")[0] not in settings]
    if command == "make":
        dry = ["make", "--dry-run", "--always-make", *rest]
        quiet = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
        subprocess.run(dry, cwd=PROJECT, env=quiet, check=True, capture_output=True)
    elif command == ".ci/molecule":
        assert os.access(PROJECT / command, os.X_OK)
        assert importlib.util.find_spec(f"molecule.command.{settings['COMMAND']}")
        assert all((PROJECT / "molecule" / name / "molecule.yml").exists() for name in rest)
    else:
        assert command == ".venv/bin/drcli"
        found, context = main, click.Context(main)
        while isinstance(found, click.Group):
            _, found, rest = found.resolve_command(context, rest)
            context = click.Context(found, parent=context)
        found.make_parser(context).parse_args(rest)


def test_molecule_is_found_from_a_shell_that_knows_nothing_of_the_checkout(tmp_path):
    (tmp_path / ".venv/bin").mkdir(parents=True)
    shutil.copytree(PROJECT / ".ci", tmp_path / ".ci")
    for name, script in (("molecule", 'drcli "$*"'), ("drcli", 'echo "drcli for: $*"')):
        path = tmp_path / ".venv/bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    done = subprocess.run(
        [tmp_path / ".ci/molecule", "network"],
        cwd="/", env={"PATH": "/usr/bin:/bin", "COMMAND": "destroy"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "drcli for: --base-config .config/molecule/config.yml destroy" in done.stdout
