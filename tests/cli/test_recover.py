"""`recover` and `verify` through the real command, on real playbooks and gates of local hosts."""

from __future__ import annotations

import json
import os
import shlex
from xml.etree import ElementTree as ET

import pytest
from conftest import PLAYBOOK

ONE = {"network": [{"name": "routing", "hosts": "img1", "settle": "0s"}]}
TWO = {**ONE, "storage": [{"name": "volumes", "hosts": "img1", "settle": "0s"}]}


def recover(drcli, project, *words, code=0):
    done = drcli("recover", "--site", "room-a", *words, cwd=project)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def shown(drcli, project):
    """What `show --json` tells of the last run, by component."""
    content = json.loads(drcli("show", "--json", cwd=project).stdout)
    return {component["name"]: component for component in content["components"]}


def marks(project):
    return {path.name for path in (project / "marks").iterdir()}


def test_a_dark_site_is_recovered_and_a_second_run_changes_nothing(make_project, drcli):
    project = make_project(TWO)
    first = recover(drcli, project)
    assert "recovered in" in first.stdout
    assert marks(project) == {"routing-img1", "volumes-img1"}
    written = {path: path.stat().st_mtime_ns for path in (project / "marks").iterdir()}
    second = recover(drcli, project)
    assert "2 healthy already" in second.stdout
    assert written == {path: path.stat().st_mtime_ns for path in (project / "marks").iterdir()}
    assert [c["attempts"] for c in shown(drcli, project).values()] == [0, 0]


def test_a_red_gate_fails_its_component_and_nothing_above_starts(make_project, drcli):
    project = make_project(TWO)
    gate = project / "playbooks/network/test_routing.py"
    gate.write_text("minimum_checks = 1\n\n\ndef test_routes(host):\n    assert len('ab') == 3\n")
    done = recover(drcli, project, code=1)
    assert "failed: routing; blocked: volumes" in done.stdout
    assert marks(project) == {"routing-img1"}
    show = drcli("show", cwd=project).stdout
    assert "test_routes on img1: failed" in show
    assert "assert 2 == 3" in show
    assert show.rstrip().endswith("Next: drcli recover --site room-a")


def test_what_is_told_next_works_from_where_project_and_journal_had_to_be_named(
    make_project, drcli, tmp_path
):
    project = make_project(ONE)
    playbook = project / "playbooks/network/routing.yml"
    whole = playbook.read_text()
    playbook.write_text(whole.replace("line: up", 'line: "{{ nowhere }}"'))
    (tmp_path / "elsewhere").mkdir()

    def typed(words, code=0):
        done = drcli(*words, cwd=tmp_path / "elsewhere")
        assert done.returncode == code, done.stdout + done.stderr
        return shlex.split(done.stdout.rpartition("Next: drcli ")[2])

    journal = ["--state-dir", "a journal"]
    show = typed(["--project", "../project", "recover", "--site", "room-a", *journal], code=1)
    again = typed(show)
    playbook.write_text(whole)
    verify = typed(again)
    assert (verify[2], typed(verify)[2]) == ("verify", "status")
    assert marks(project) == {"routing-img1"}


def test_a_playbook_that_fails_is_shown_with_task_host_and_message(make_project, drcli):
    project = make_project(ONE)
    playbook = project / "playbooks/network/routing.yml"
    text = playbook.read_text().replace("line: up", 'line: "{{ nowhere_defined }}"')
    playbook.write_text(text)
    recover(drcli, project, code=1)
    [failure] = shown(drcli, project)["routing"]["failures"]
    assert (failure["task"], failure["host"]) == ("Leave the mark of routing", "img1")
    assert "nowhere_defined" in failure["message"]


def test_an_unreachable_host_is_named_and_fails_its_component(make_project, drcli):
    hosts = (
        "all: {children: {imaging: {hosts: {img1: {ansible_host: 127.0.0.1, ansible_port: 1}}}}}"
    )
    project = make_project(ONE, hosts=hosts)
    done = recover(drcli, project, code=1)
    assert "failed: routing" in done.stdout
    routing = shown(drcli, project)["routing"]
    assert "img1" in routing["reason"]
    assert "unreachable" in routing["reason"]


def test_a_component_that_wants_approval_is_held_until_it_is_given(make_project, drcli):
    layers = {"network": [{**ONE["network"][0], "approval": "Primary chosen?"}]}
    project = make_project(layers)
    done = recover(drcli, project, code=1)
    assert done.stdout.rstrip().endswith("Next: drcli recover --site room-a --approve routing")
    assert "held: Primary chosen?" in done.stderr
    assert not marks(project)
    recover(drcli, project, "--approve", "routing")


def test_what_dies_again_while_others_start_is_brought_back_and_the_run_goes_on(
    make_project, drcli
):
    project = make_project(TWO)
    marks = project / "marks"
    needs_it = f"""
    - name: Start on the router, which dies the first time
      ansible.builtin.shell: |
        test -e {marks}/once || rm {marks}/routing-img1
        touch {marks}/once
        test -e {marks}/routing-img1
      changed_when: false
"""
    words = {"name": "volumes", "hosts": "img1", "marks": marks}
    playbook = project / "playbooks/storage/volumes.yml"
    text = PLAYBOOK.format(**words)
    playbook.write_text(text.replace("  tasks:\n", f"  tasks:{needs_it}"))
    done = recover(drcli, project)
    assert "DOWN AGAIN" in done.stderr
    assert "held back: waits for routing, which is down again" in done.stderr
    routing, volumes = shown(drcli, project).values()
    assert (routing["turned_red"], routing["attempts"]) == (1, 2)
    assert (volumes["state"], volumes["attempts"]) == ("verified", 2)


@pytest.mark.parametrize(
    ("words", "done"),
    [
        (["--layer", "storage"], {"volumes-db1", "volumes-db2"}),
        (["--component", "imaging"], {"imaging-img1"}),
    ],
    ids=["layer", "component"],
)
def test_a_part_of_a_site_is_brought_back_and_nothing_else(make_project, drcli, words, done):
    layers = {
        "network": [{"name": "routing", "hosts": "routers"}],
        "storage": [{"name": "volumes", "hosts": "databases"}],
        "applications": [{"name": "imaging", "hosts": "imaging"}],
    }
    project = make_project(layers)
    recover(drcli, project, *words)
    assert marks(project) == done


def test_json_gives_the_events_one_a_line_and_nothing_else_on_stdout(make_project, drcli):
    done = recover(drcli, make_project(ONE), "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event"]["outcome"] == "recovered"
    assert "Next: drcli " in done.stderr


def test_verify_runs_the_gates_alone_and_writes_junit(make_project, drcli, tmp_path):
    project = make_project(TWO)
    (project / "marks/routing-img1").write_text("up")
    report = tmp_path / "gates.xml"
    done = drcli("verify", "--site", "room-a", "--junit", report, cwd=project)
    assert done.returncode == 1
    assert "NOT verified: red: volumes. Next: drcli recover --site room-a" in done.stdout
    assert marks(project) == {"routing-img1"}
    root = ET.parse(report).getroot()
    assert (root.attrib["tests"], root.attrib["failures"]) == ("2", "1")
    assert "No run" in drcli("runs", cwd=project).stdout


@pytest.mark.parametrize("report", ["", "no-folder/gates.xml", "/proc/gates.xml", "pipe"])
def test_a_report_that_cannot_be_written_is_refused_before_a_gate_runs(make_project, drcli, report):
    project = make_project(ONE)
    os.mkfifo(project / "pipe")
    done = drcli("verify", "--site", "room-a", "--junit", report, cwd=project)
    assert done.returncode == 2
    assert "--junit" in done.stderr
    assert "gates only" not in done.stderr


def test_what_became_of_the_gates_is_told_when_their_report_could_not_be_written(
    make_project, drcli, tmp_path
):
    project = make_project(ONE)
    reports = tmp_path / "reports"
    reports.mkdir()
    gate = project / "playbooks/network/test_routing.py"
    gate.write_text(f"import os\n\nos.rmdir({str(reports)!r})\n{gate.read_text()}")
    done = drcli("verify", "--site", "room-a", "--junit", reports / "gates.xml", cwd=project)
    assert done.returncode == 2
    assert "NOT verified: red: routing. Next: drcli recover --site room-a" in done.stdout
    assert f"cannot write {reports / 'gates.xml'}: No such file or directory" in done.stderr


def test_a_report_takes_the_place_of_the_one_before_it_whole(make_project, drcli, tmp_path):
    project = make_project(ONE)
    (tmp_path / "reports").mkdir()
    report, link = tmp_path / "reports/gates.xml", tmp_path / "latest.xml"
    report.write_text("the one before it, " * 1000)
    link.symlink_to(report)
    drcli("verify", "--site", "room-a", "--junit", link, cwd=project)
    assert ET.parse(report).getroot().attrib["tests"] == "1"
    assert link.is_symlink()
    assert list(report.parent.iterdir()) == [report]


def test_verify_of_a_site_that_is_up_is_exit_code_0(make_project, drcli):
    project = make_project(ONE)
    (project / "marks/routing-img1").write_text("up")
    done = drcli("verify", "--site", "room-a", "--json", cwd=project)
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1])["event"]["outcome"] == "verified"
