"""Drills that need no lab: on paper, in check mode, live; proof, and giving way to a recovery."""

from __future__ import annotations

import json
import os
import subprocess
import time
from xml.etree import ElementTree as ET

import pytest
from clean_environment import clean_environment
from conftest import DRCLI

TWO = {
    "network": [{"name": "routing", "hosts": "img1", "settle": "0s"}],
    "storage": [{"name": "volumes", "hosts": "img1", "settle": "0s", "needs": ["routing"]}],
}


@pytest.fixture
def project(make_project):
    return make_project(TWO, extra={"rto": "4h"})


def drill(drcli, project, *words, code=0):
    done = drcli("drill", "--site", "room-a", *words, cwd=project)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def runs(drcli, project):
    return drcli("runs", cwd=project).stdout


def test_on_paper_the_plan_is_walked_through_and_nothing_is_run(drcli, project):
    said = drill(drcli, project, "--tabletop").stdout
    assert said.index("routing on img1") < said.index("volumes on img1; stands on routing")
    assert "playbooks/storage/volumes.yml, then playbooks/storage/test_volumes.py" in said
    assert "walked through" in said
    assert not any((project / "marks").iterdir())
    assert "tabletop drill, passed" in runs(drcli, project)


def test_on_the_site_its_playbooks_run_in_check_mode_and_change_nothing(drcli, project, tmp_path):
    junit, reports = tmp_path / "drill.xml", tmp_path / "reports"
    said = drill(
        drcli, project, "--on", "site", "--junit", str(junit), "--report", str(reports)
    ).stdout
    assert "checked" in said
    assert not any((project / "marks").iterdir())
    assert ET.parse(junit).getroot().find("testsuite").get("failures") == "0"
    (report,) = reports.iterdir()
    assert report.read_text().startswith("<!doctype html>")
    assert "check drill, passed" in runs(drcli, project)


def test_a_drill_in_check_mode_fails_where_a_playbook_does(drcli, project):
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("content: up", "content: '{{ nowhere }}'"))
    done = drill(drcli, project, "--on", "site", code=1)
    assert "unexpected: the run did not end as the scenario demands" in done.stdout
    assert "check drill, FAILED: unexpected" in runs(drcli, project)


def test_a_live_drill_needs_somebody_who_types_the_sites_name(drcli, project):
    done = drill(drcli, project, "--on", "site", "--live", code=2)
    assert "a live drill changes room-a: nobody is here to agree" in done.stderr
    assert drill(drcli, project, "--on", "site", "--live", "--scheduled", code=2)
    assert not any((project / "marks").iterdir())


@pytest.fixture
def scheduled(make_project):
    return make_project(TWO, extra={"drills": {"live_from_schedule": True}})


def test_where_the_site_file_allows_it_a_live_drill_comes_from_a_schedule_and_proves(
    drcli, scheduled
):
    before = drcli("proof", "--site", "room-a", cwd=scheduled)
    assert before.returncode == 1
    assert "not proven as it is now: routing, volumes" in before.stdout
    drill(drcli, scheduled, "--on", "site", "--live", "--scheduled")
    assert len([*(scheduled / "marks").iterdir()]) == 2
    after = drcli("proof", "--site", "room-a", cwd=scheduled)
    assert after.returncode == 0, after.stdout
    assert "proven as it is now" in after.stdout


def test_a_changed_file_makes_the_proof_stale_which_a_recovery_shows_and_does_not_mind(
    drcli, scheduled
):
    drill(drcli, scheduled, "--on", "site", "--live", "--scheduled")
    gate = scheduled / "playbooks/storage/test_volumes.py"
    gate.write_text(gate.read_text() + "# another one now\n")
    proof = drcli("proof", "--site", "room-a", "--json", cwd=scheduled)
    assert proof.returncode == 1
    told = json.loads(proof.stdout)
    assert told["stale"] == ["volumes"]
    assert told["proofs"][1]["changed"] == ["playbooks/storage/test_volumes.py"]
    words = "volumes (playbooks/storage/test_volumes.py changed)"
    looked = drcli("preflight", "--site", "room-a", cwd=scheduled)
    assert looked.returncode == 0
    assert words in looked.stdout
    recovered = drcli("recover", "--site", "room-a", cwd=scheduled)
    assert recovered.returncode == 0
    assert words in recovered.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--live",), "--on site --live"),
        (("--all", "--tabletop"), "--all is of the lab"),
        (("--on", "site", "--scenario", "x"), "is of the lab alone"),
        (("--fail-if", "rain"), "'rain'"),
        (("--tabletop", "--scenario", "x"), "lab.yml"),
    ],
)
def test_what_makes_no_sense_is_told(drcli, project, words, told):
    assert told in drill(drcli, project, *words, code=2).stderr


@pytest.fixture
def slow_drill(drcli, project, tmp_path):
    """A drill whose first playbook is at work, and waits."""
    playbook = project / "playbooks/network/routing.yml"
    begun = project / "begun"
    waits = f"    - ansible.builtin.shell: touch {begun}; test -e {begun}.go || sleep 600\n"
    playbook.write_text(playbook.read_text() + waits)
    words = ("recover", "--site", "room-a", "--as-drill", "live:")
    environment = {**clean_environment(), "DRCLI_STATE_DIR": str(tmp_path / "state")}
    running = subprocess.Popen(
        [DRCLI, *words], cwd=project, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    while not begun.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    yield running
    if running.poll() is None:
        running.kill()
    running.communicate()


def test_a_drill_gives_way_to_a_recovery_at_once(drcli, project, slow_drill):
    (project / "begun.go").touch()
    recovered = drcli("recover", "--site", "room-a", cwd=project)
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert "gives way" in recovered.stderr
    said, _ = slow_drill.communicate(timeout=60)
    assert slow_drill.returncode == 130, said
    listed = runs(drcli, project)
    assert "a drill gives way to a recovery" in listed
    assert "recovered in" in listed


def test_no_drill_begins_while_the_site_is_being_recovered(drcli, project, slow_drill):
    refused = drill(drcli, project, "--tabletop", code=1)
    assert "no drill while room-a is being recovered" in refused.stderr
    left_out = drill(drcli, project, "--on", "site", "--scheduled", code=75)
    assert "this drill is left out" in left_out.stderr


def test_a_drill_that_was_killed_is_in_nobodys_way(drcli, project, slow_drill):
    os.kill(slow_drill.pid, 9)
    slow_drill.wait()
    (project / "begun.go").touch()
    recovered = drcli("recover", "--site", "room-a", cwd=project)
    assert recovered.returncode == 0, recovered.stdout + recovered.stderr
    assert "not scored" in runs(drcli, project)
