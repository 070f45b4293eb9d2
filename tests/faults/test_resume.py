"""A run that was killed or interrupted goes on: with what was proven, by the same files, once."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

DRCLI = Path(sys.executable).with_name("drcli")
RESUME = ["resume"]
LAYERS = {
    "network": [{"name": "routing", "hosts": "routers"}],
    "storage": [{"name": "volumes", "hosts": "databases"}],
}
HANG = """\
    - name: Hang
      ansible.builtin.command: sleep {{ seconds }}
      changed_when: false
"""
MARK = "    - name: Leave the mark"
HANGING, PASSING = ("-e", "seconds=600"), ("-e", "seconds=0")


APPROVAL = {"storage": [LAYERS["storage"][0] | {"approval": "Are its disks in?"}]}
QUESTION = b"Go on with it?"


@pytest.fixture
def project(make_project):
    """Two components, of which the second takes as long as it is told."""
    return hang_in_volumes(make_project(LAYERS))


def hang_in_volumes(project):
    playbook = project / "playbooks/storage/volumes.yml"
    playbook.write_text(playbook.read_text().replace(MARK, HANG + MARK))
    return project


@pytest.fixture
def killed(project, recovery):
    """A run of it that was killed in its second component; the first was verified."""
    run = recovery(project, *HANGING)
    run.wait_for("task_started", task="Hang")
    run.process.kill()
    run.process.wait(timeout=60)
    return project


def played(events):
    return [e["component"] for e in events if e["kind"] == "playbook_started"]


def stands(drcli, project):
    """Each component's state as `status` has it, and the run's."""
    status = json.loads(drcli("status", "--site", "room-a", "--json", cwd=project).stdout)
    return {c["name"]: c["state"] for c in status["components"]} | {"run": status["state"]}


def runs(drcli, project):
    return len(drcli("runs", "--json", cwd=project).stdout.splitlines())


def test_what_was_verified_is_left_alone_and_the_rest_is_brought_back(killed, recovery, drcli):
    code, events, errors = recovery(killed, *PASSING, command=RESUME).end()
    assert (code, events[0]["kind"]) == (0, "run_resumed"), errors
    assert played(events) == ["volumes"]
    assert stands(drcli, killed) == {
        "routing": "verified",
        "volumes": "verified",
        "run": "recovered",
    }
    assert runs(drcli, killed) == 1
    assert "went on after" in drcli("show", cwd=killed).stdout


def test_what_was_verified_and_is_red_again_is_brought_back_first(killed, recovery):
    for mark in (killed / "marks").iterdir():
        mark.unlink()  # the power went a second time
    code, events, errors = recovery(killed, *PASSING, command=RESUME).end()
    assert code == 0, errors
    assert played(events) == ["routing", "volumes"]


def test_no_new_run_begins_over_it_unless_asked_for(killed, drcli):
    refused = drcli("recover", "--site", "room-a", *PASSING, cwd=killed)
    assert refused.returncode == 2
    assert "was killed" in refused.stderr
    assert "drcli resume --site room-a" in refused.stderr
    assert "drcli recover --site room-a --new" in refused.stderr
    assert runs(drcli, killed) == 1
    anew = drcli("recover", "--site", "room-a", "--new", *PASSING, cwd=killed)
    assert anew.returncode == 0, anew.stderr
    assert runs(drcli, killed) == 2
    over = drcli("resume", "--site", "room-a", *PASSING, cwd=killed)
    assert (over.returncode, "came to its end" in over.stderr) == (2, True)


def test_a_dry_run_over_it_takes_nothing_from_it(killed, drcli):
    rehearsal = drcli("recover", "--site", "room-a", "--check", *PASSING, cwd=killed)
    assert rehearsal.returncode == 0, rehearsal.stderr
    refused = drcli("recover", "--site", "room-a", *PASSING, cwd=killed)
    assert refused.returncode == 2
    assert drcli("resume", "--site", "room-a", *PASSING, cwd=killed).returncode == 0


def on_a_terminal(project, state, *words, answer):
    """`drcli recover` on a terminal where a question is answered; its code, what it said."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [DRCLI, "recover", "--site", "room-a", "--state-dir", state, *words],
        cwd=project,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said = b""
    with suppress(OSError):  # the terminal's other end is closed: it has ended
        while chunk := os.read(ours, 4096):
            said += chunk
            if QUESTION in said and answer:
                os.write(ours, f"{answer}\n".encode())
                answer = None
    os.close(ours)
    return process.wait(timeout=60), said


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 2)])
def test_on_a_terminal_a_person_is_asked(killed, state, drcli, answer, code):
    ended, said = on_a_terminal(killed, state, *PASSING, answer=answer)
    assert (ended, QUESTION in said) == (code, True), said
    assert runs(drcli, killed) == 1
    assert stands(drcli, killed)["run"] == ("recovered" if answer == "y" else "interrupted")


def test_who_wants_another_part_of_the_site_is_not_asked_but_told(killed, state, drcli):
    ended, said = on_a_terminal(killed, state, "--layer", "storage", *PASSING, answer=None)
    assert (ended, QUESTION in said) == (2, False), said
    assert b"was killed" in said
    assert runs(drcli, killed) == 1


def test_what_a_person_has_approved_stays_approved(make_project, recovery, drcli):
    project = hang_in_volumes(make_project(APPROVAL))
    run = recovery(project, "--approve", "volumes", *HANGING)
    run.wait_for("task_started", task="Hang")
    run.process.kill()
    run.process.wait(timeout=60)
    code, events, errors = recovery(project, *PASSING, command=RESUME).end()
    assert code == 0, errors
    assert played(events) == ["volumes"]


def test_other_files_than_before_are_told_before_anything_is_done(killed, drcli):
    playbook = killed / "playbooks/storage/volumes.yml"
    playbook.write_text(f"{playbook.read_text()}# another\n")
    refused = drcli("resume", "--site", "room-a", *PASSING, cwd=killed)
    assert refused.returncode == 2
    assert "has changed since run" in refused.stderr
    agreed = drcli("resume", "--site", "room-a", "--replan", *PASSING, cwd=killed)
    assert agreed.returncode == 0, agreed.stderr


def test_it_must_be_given_what_it_was_given(killed, drcli):
    secret = "canary-4711"
    refused = drcli("resume", "--site", "room-a", "-e", f"token={secret}", cwd=killed)
    assert refused.returncode == 2
    assert "begun without --extra-vars token, with --extra-vars seconds" in refused.stderr
    assert secret not in refused.stderr


def test_an_inventory_is_trusted_again_and_its_hosts_are_the_same(project, recovery, drcli):
    said = {
        "all": {
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        },
        "routers": {"hosts": ["r1"]},
        "databases": {"hosts": ["db1"]},
        "_meta": {"hostvars": {"r1": {"uptime": 1}}},
    }
    answer = project / "said.json"
    answer.write_text(json.dumps(said))
    hosts = project / "inventories/room-a/hosts.yml"
    hosts.write_text(f"#!/bin/sh\ncat {answer}\n")
    hosts.chmod(0o755)
    trust = "--trust-inventory"
    run = recovery(project, trust, *HANGING)
    run.wait_for("task_started", task="Hang")
    run.process.kill()
    run.process.wait(timeout=60)
    refused = drcli("resume", "--site", "room-a", *PASSING, cwd=project)
    assert (refused.returncode, f"was begun with {trust}" in refused.stderr) == (2, True)
    answer.write_text(json.dumps({**said, "databases": {"hosts": ["db1", "db2"]}}))
    refused = drcli("resume", "--site", "room-a", trust, *PASSING, cwd=project)
    assert (refused.returncode, "has changed since run" in refused.stderr) == (2, True)
    answer.write_text(json.dumps({**said, "_meta": {"hostvars": {"r1": {"uptime": 2}}}}))
    done = drcli("resume", "--site", "room-a", trust, *PASSING, cwd=project)
    assert done.returncode == 0, done.stderr


def test_an_interrupted_run_goes_on_too_with_the_same_part_of_the_site(project, recovery, drcli):
    run = recovery(project, "--layer", "storage", *HANGING)
    run.wait_for("task_started", task="Hang")
    run.ctrl_c(signal.SIGTERM)
    assert run.end()[0] == 130
    code, events, errors = recovery(project, *PASSING, command=RESUME).end()
    assert code == 0, errors
    assert played(events) == ["volumes"]
    assert stands(drcli, project) == {"volumes": "verified", "run": "recovered"}


def test_there_may_be_nothing_to_go_on_with(project, drcli):
    none = drcli("resume", "--site", "room-a", cwd=project)
    assert (none.returncode, "no run of room-a" in none.stderr) == (2, True)


def test_of_two_that_go_on_with_it_at_once_one_does(killed, recovery):
    first = recovery(killed, *HANGING, command=RESUME)
    first.wait_for("task_started", task="Hang")
    code, events, errors = recovery(killed, *HANGING, command=RESUME).end()
    assert (code, events) == (1, [])
    assert f"process {first.process.pid}" in errors
    first.ctrl_c()
    assert first.end()[0] == 130
