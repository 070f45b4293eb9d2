"""`recover` and `verify` through the real command, on real playbooks and gates of local hosts."""

from __future__ import annotations

import json
import os
from xml.etree import ElementTree as ET

import pytest
from asking_sudo import PASSWORD, asking_sudo

from orchestrator.artifacts import KEEP_RUNS

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


def test_a_playbook_that_fails_is_shown_with_task_host_and_message(make_project, drcli):
    project = make_project(ONE)
    playbook = project / "playbooks/network/routing.yml"
    text = playbook.read_text().replace("content: up", 'content: "{{ nowhere_defined }}"')
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
    assert routing["failures"][0]["unreachable"]


def test_a_component_that_wants_approval_is_held_until_it_is_given(make_project, drcli):
    layers = {"network": [{**ONE["network"][0], "approval": "Primary chosen?"}]}
    project = make_project(layers)
    done = recover(drcli, project, code=1)
    assert done.stdout.rstrip().endswith("Next: drcli recover --site room-a --approve routing")
    assert "held: Primary chosen?" in done.stderr
    assert not marks(project)
    recover(drcli, project, "--approve", "routing")


def test_a_dry_run_changes_nothing_and_says_so(make_project, drcli):
    project = make_project(TWO)
    done = recover(drcli, project, "--check", "--diff")
    assert "nothing was changed" in done.stdout
    assert not marks(project)
    assert {c["state"] for c in shown(drcli, project).values()} == {"pending"}


def test_a_dry_run_never_says_that_nothing_was_changed_when_something_was(make_project, drcli):
    project = make_project(TWO)
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text() + "      check_mode: false\n")
    done = recover(drcli, project, "--check", "--diff", code=1)
    assert marks(project) == {"routing-img1"}
    assert "nothing was changed" not in done.stdout
    assert "something WAS CHANGED, by routing" in done.stdout.splitlines()[-1]
    [failure] = shown(drcli, project)["routing"]["failures"]
    assert (failure["task"], failure["host"]) == ("Leave the mark of routing", "img1")


def test_what_old_runs_left_is_removed_when_a_new_one_begins(make_project, drcli, tmp_path):
    artifacts = tmp_path / "state" / "artifacts"
    for number in range(KEEP_RUNS + 2):
        folder = artifacts / f"20200101-0000{number:02}-dead"
        folder.mkdir(parents=True)
        os.utime(folder, (number, number))
    recover(drcli, make_project(ONE))
    left = sorted(path.name for path in artifacts.iterdir())
    assert left[0] == "20200101-000002-dead"
    assert len(left) == KEEP_RUNS + 1  # with the new one's


def test_extra_variables_reach_the_playbook_and_a_selection_is_kept_to(make_project, drcli):
    project = make_project(TWO)
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("content: up", 'content: "{{ word }}"'))
    recover(drcli, project, "-e", "word='from the line'", "--component", "routing")
    assert (project / "marks/routing-img1").read_text() == "from the line"
    assert marks(project) == {"routing-img1"}


@pytest.mark.parametrize(
    ("words", "done"),
    [
        (["--layer", "storage"], {"volumes-db1", "volumes-db2"}),
        (["--from", "volumes"], {"volumes-db1", "volumes-db2", "imaging-img1"}),
        (["--limit", "db1:img1"], {"volumes-db1", "imaging-img1"}),
    ],
    ids=["layer", "from", "limit"],
)
def test_a_part_of_a_site_is_brought_back_and_nothing_else(make_project, drcli, words, done):
    layers = {
        "network": [{"name": "routing", "hosts": "routers", "settle": "0s"}],
        "storage": [{"name": "volumes", "hosts": "databases", "settle": "0s"}],
        "applications": [{"name": "imaging", "hosts": "imaging", "settle": "0s"}],
    }
    project = make_project(layers)
    recover(drcli, project, *words)
    assert marks(project) == done


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--site", "room-b"], "room-b"),
        (["--site", "room-a", "--component", "rooting"], "did you mean 'routing'?"),
        (["--site", "room-a", "--approve", "rooting"], "no such component"),
        (["--site", "room-a", "-e", "a={{ 1 }}"], "Jinja is refused"),
        (["--site", "room-a", "--forks", "0"], "--forks"),
        ([], "--site"),
    ],
)
def test_wrong_input_is_exit_code_2_and_nothing_is_started(make_project, drcli, words, says):
    project = make_project(ONE)
    done = drcli("recover", *words, cwd=project)
    assert done.returncode == 2
    assert says in done.stderr
    assert "hint: " in done.stderr
    assert "No run yet" in drcli("status", cwd=project).stdout


def test_json_gives_the_events_one_a_line_and_nothing_else_on_stdout(make_project, drcli):
    done = recover(drcli, make_project(ONE), "--json")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[-1]["event"]["outcome"] == "recovered"
    assert "Next: drcli show" in done.stderr


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


def test_verify_of_a_site_that_is_up_is_exit_code_0(make_project, drcli):
    project = make_project(ONE)
    (project / "marks/routing-img1").write_text("up")
    done = drcli("verify", "--site", "room-a", "--json", cwd=project)
    assert done.returncode == 0
    assert json.loads(done.stdout.splitlines()[-1])["event"]["outcome"] == "verified"


def test_a_site_whose_sudo_asks_is_recovered_and_verified_with_its_password(
    make_project, drcli, tmp_path
):
    project = make_project(ONE)
    variables = project / "inventories/room-a/group_vars/all.yml"
    variables.parent.mkdir()
    variables.write_text(json.dumps(asking_sudo(project)))
    raw = f"ansible.builtin.raw: echo up >{project}/marks/routing-img1"
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(f"- hosts: img1\n  gather_facts: false\n  tasks: [{{{raw}}}]\n")
    password = tmp_path / "password"
    password.write_text(f"{PASSWORD}\n")
    given = ("--become-password-file", password)
    said = recover(drcli, project, *given, "--json", code=0)
    assert marks(project) == {"routing-img1"}
    verified = drcli("verify", "--site", "room-a", *given, cwd=project)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    without = drcli("verify", "--site", "room-a", cwd=project)
    assert without.returncode == 1
    kept = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    for done in (said, verified, without):
        kept += [done.stdout.encode(), done.stderr.encode()]
    assert not [text for text in kept if PASSWORD.encode() in text]


def test_verify_is_given_extra_variables_too(make_project, drcli):
    project = make_project(ONE)
    recover(drcli, project)
    words = ("verify", "--site", "room-a")
    assert drcli(*words, cwd=project).returncode == 0
    assert (
        drcli(
            *words,
            "-e",
            "ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1",
            cwd=project,
        ).returncode
        == 1
    )
