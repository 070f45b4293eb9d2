"""`report`, `compare` and `plan --format` through the real command."""

from __future__ import annotations

import html
import json
import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from engine import FakeGates, FakePlaybooks, options, plan_of, run_to_end

from orchestrator.events import PlaybookOutcome
from orchestrator.journal import open_journal

GRAPH = {"routing": (), "dns": ("routing",), "portal": ("dns",)}


@pytest.fixture
def kept(tmp_path):
    """A journal with a run in which dns failed, and one after it in which all is up."""
    playbooks = FakePlaybooks(outcomes={"dns": PlaybookOutcome.FAILED})
    failed = run_to_end(plan_of(GRAPH), playbooks, FakeGates(repaired_by=playbooks))
    green = FakeGates(green=set(GRAPH))
    good = run_to_end(plan_of(GRAPH), FakePlaybooks(), green, options=options(run="r2"))
    with open_journal(tmp_path / "state") as journal:
        for record in (*failed, *good):
            journal.append(record)
    return tmp_path / "state"


def test_a_report_is_one_file_that_is_its_owners_alone(drcli, kept, tmp_path):
    out = tmp_path / "report.html"
    done = drcli("report", "r1", "--out", out, "--state-dir", kept, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Next: drcli recover --site lab-a\n")
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    page = out.read_text()
    assert page.startswith("<!doctype html>")
    assert "NOT recovered" in page
    assert "the chain of their hashes holds" in page


@pytest.mark.parametrize("shape", ["html", "md", "json", "junit"])
def test_each_format_tells_of_the_failed_component(drcli, kept, tmp_path, shape):
    done = drcli("report", "r1", "--format", shape, "--state-dir", kept, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "dns" in done.stdout
    if shape == "json":
        content = json.loads(done.stdout)
        assert (content["outcome"], content["chain_fault"]) == ("not_recovered", "")
        assert len(content["head"]) == 64
    if shape == "junit":
        assert ET.fromstring(done.stdout).get("name") == "lab-a"


def test_compare_names_who_came_to_another_end(drcli, kept, tmp_path):
    done = drcli("compare", "r1", "r2", "--state-dir", kept, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"dns +failed, .*healthy", done.stdout)
    assert "3 components came to another end" in done.stdout
    done = drcli("compare", "r1", "r2", "--json", "--state-dir", kept, cwd=tmp_path)
    assert {c["component"] for c in json.loads(done.stdout)["components"]} == set(GRAPH)


@pytest.mark.parametrize("words", [["report", "nope"], ["compare", "r1", "nope"]])
def test_an_unknown_run_is_wrong_input(drcli, kept, tmp_path, words):
    done = drcli(*words, "--state-dir", kept, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no run 'nope'" in done.stderr


def test_without_any_run_a_report_says_what_begins_one(drcli, tmp_path):
    done = drcli("report", "--state-dir", tmp_path / "none", cwd=tmp_path)
    assert done.returncode == 2
    assert "drcli recover --site SITE" in done.stderr


LAYERS = {
    "network": [{"name": "routing", "hosts": "routers"}],
    "storage": [{"name": "database", "hosts": "databases", "approval": "<b>Primary</b> & sure?"}],
}


@pytest.mark.parametrize("shape", ["html", "md"])
def test_the_runbook_has_hosts_order_questions_and_escapes_them(make_project, drcli, shape):
    project = make_project(LAYERS)
    done = drcli("plan", "--site", "room-a", "--format", shape, cwd=project)
    assert done.returncode == 0, done.stderr
    for word in ("routing", "db1", "db2", "Primary", "ansible-playbook"):
        assert word in done.stdout
    assert not re.search(r"(?<!\\)<b>", done.stdout)


def test_what_the_runbook_says_to_type_brings_a_component_back_without_drcli(make_project, drcli):
    project = make_project(LAYERS)
    page = drcli("plan", "--site", "room-a", "--format", "html", cwd=project).stdout
    typed = [
        html.unescape(re.sub(r"<.*?>", "", text)).strip()
        for text in re.findall(r"<code>(.*?)</code>", page)
    ]
    look = next(text for text in typed if text.startswith("pytest"))
    recover = next(text for text in typed if text.startswith("ansible-playbook"))
    assert _by_hand(look, project) != 0
    assert _by_hand(recover, project) == 0
    assert _by_hand(look, project) == 0


def _by_hand(command, project):
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    words = shlex.split(command)
    done = subprocess.run(
        words, cwd=project, env={**os.environ, "PATH": path}, capture_output=True, timeout=60,
        check=False,
    )  # fmt: skip
    return done.returncode
