"""People and a run on real playbooks: every command typed in a second terminal, as it would be."""

from __future__ import annotations

import json
import signal

import pytest
from pausing import pause

pytestmark = pytest.mark.once

PATIENCE = 60.0
HANG = """\
    - name: Hang
      ansible.builtin.command: sh -c 'for i in $(seq 600); do [ -e {flag} ] && exit; sleep .1; done'
      changed_when: false
"""
MARK = "    - name: Leave the mark"
SURE = {"ask": "Primary chosen?"}


@pytest.fixture
def two(make_project):
    """Return a function that makes a project of two components; the second may ask and may hang."""

    def make(*, approval=None, hang=()):
        volumes = {"name": "volumes", "hosts": "databases", "settle": "0s"}
        if approval:
            volumes["approval"] = approval
        routing = {"name": "routing", "hosts": "routers", "settle": "0s"}
        project = make_project({"network": [routing], "storage": [volumes]})
        for layer, name in (("network", "routing"), ("storage", "volumes")):
            if name in hang:
                playbook = project / f"playbooks/{layer}/{name}.yml"
                text = HANG.format(flag=project / f"go-{name}") + MARK
                playbook.write_text(playbook.read_text().replace(MARK, text))
        return project

    return make


@pytest.fixture
def say(drcli):
    """Return a function that types a command in a second terminal; its output."""

    def run(project, *words, code=0, by=None):
        done = drcli(*words, cwd=project, env={"SUDO_USER": by} if by else {"SUDO_USER": ""})
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def shown(drcli, project):
    return json.loads(drcli("show", "--json", cwd=project).stdout)


def states(drcli, project):
    return {c["name"]: c["state"] for c in shown(drcli, project)["components"]}


def kinds(events):
    return [event["kind"] for event in events]


def test_a_run_waits_and_is_approved_from_a_second_terminal(two, recovery, say):
    project = two(approval=SURE)
    run = recovery(project, "--wait")
    run.wait_for("component_held")
    status = say(project, "status", "--site", "room-a")
    assert "volumes asks: Primary chosen?" in status
    assert "Next: drcli approve " in status.splitlines()[-1]
    assert "has taken it: approve volumes" in say(project, "approve", "volumes", "--reason", "db1")
    code, events, _ = run.end()
    assert code == 0
    [given] = [e for e in events if e["kind"] == "approval_given"]
    assert given["reason"] == "db1"


def test_a_run_that_is_denied_ends_with_the_component_held(two, recovery, say):
    project = two(approval=SURE)
    run = recovery(project, "--wait")
    run.wait_for("component_held")
    say(project, "approve", "volumes", "--deny", "--reason", "standby was promoted")
    assert run.end()[0] == 1
    assert "held: volumes" in say(project, "status", "--site", "room-a")
    assert "(denied by" in say(project, "show")
    assert not list((project / "marks").glob("volumes*"))


def test_a_question_expires_into_a_hold_never_into_a_go(two, recovery, say):
    project = two(approval={**SURE, "expires": "1s"})
    code, events, _ = recovery(project, "--wait").end()
    assert code == 1
    assert "approval_expired" in kinds(events)
    assert not list((project / "marks").glob("volumes*"))


def test_another_person_must_approve_where_the_site_says_so(two, recovery, say):
    project = two(approval={**SURE, "by_another": True})
    run = recovery(project, "--wait", env={"SUDO_USER": "ann"})
    run.wait_for("component_held")
    own = say(project, "approve", "volumes", "--reason", "sure", by="ann", code=1)
    assert "ann started the run: volumes must be approved by another person" in own
    say(project, "approve", "volumes", "--reason", "sure", by="bob")
    assert run.end()[0] == 0


def test_who_starts_may_not_approve_in_the_same_breath(two, say):
    project = two(approval={**SURE, "by_another": True})
    said = say(project, "recover", "--site", "room-a", "--approve", "volumes", code=2)
    assert "whoever starts the run may not approve it" in said


def test_without_a_terminal_and_without_wait_a_run_does_not_wait(two, recovery):
    code, events, _ = recovery(two(approval=SURE)).end()
    assert code == 1
    assert events[-1]["outcome"] == "not_recovered"


def test_hold_and_release(two, recovery, say):
    project = two(hang=["routing"])
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    say(project, "hold", "--reason", "smoke")
    (project / "go-routing").touch()
    run.wait_for("component_verified", component="routing")
    assert "ON HOLD by" in say(project, "status", "--site", "room-a")
    assert states_of(say, project)["volumes"] == "pending"
    assert "holds it already" in say(project, "hold", code=1)
    say(project, "release")
    code, events, _ = run.end()
    assert code == 0
    held = kinds(events).index("run_held")
    released = kinds(events).index("run_released")
    assert "gate_started" not in kinds(
        [e for e in events[held:released] if e.get("component") == "volumes"]
    )


def states_of(say, project):
    content = json.loads(say(project, "status", "--site", "room-a", "--json"))
    return {c["name"]: c["state"] for c in content["components"]}


def test_cancel_ends_children_and_says_what_was_left(two, recovery, say):
    project = two(hang=["volumes"])
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    said = say(project, "cancel", "--reason", "wrong room")
    assert "cut short recovering" in said
    assert "routing" in said
    assert said.rstrip().endswith("Next: drcli resume --site room-a")
    code, events, _ = run.end()
    assert code == 130
    assert events[-1]["reason"].startswith("cancelled by ")
    assert "wrong room" in events[-1]["reason"]
    assert "playbook_finished" in kinds(events)[-4:]


def test_retry_while_the_run_goes_on(two, recovery, say, make_project):
    project = two()
    slow = project / "playbooks/storage/volumes.yml"
    layers = {
        "network": [
            {"name": "routing", "hosts": "routers", "settle": "0s"},
            {"name": "slow", "hosts": "img1", "settle": "0s"},
        ],
        "storage": [{"name": "volumes", "hosts": "databases", "needs": ["routing"]}],
    }
    project = make_project(layers, extra={"order": "dependencies"})
    slow = project / "playbooks/network/slow.yml"
    text = HANG.format(flag=project / "go-slow") + MARK
    slow.write_text(slow.read_text().replace(MARK, text))
    routing = project / "playbooks/network/routing.yml"
    good = routing.read_text()
    routing.write_text(good.replace("content: up", 'content: "{{ nowhere }}"'))
    run = recovery(project)
    run.wait_for("component_blocked", component="volumes")
    routing.write_text(good)
    say(project, "retry", "routing", "--reason", "mended")
    run.wait_for("component_verified", component="volumes")
    (project / "go-slow").touch()
    code, _, _ = run.end()
    assert code == 0
    [routing] = [
        c
        for c in json.loads(say(project, "show", "--json"))["components"]
        if c["name"] == "routing"
    ]
    assert routing["attempts"] == 2


def break_gate(project, *, where):
    """The gate of volumes is bad where this says so."""
    gate = project / "playbooks/storage/test_volumes.py"
    more = f"\n\ndef test_disk(host):\n    assert not ({where}), 'no disk'\n"
    gate.write_text(gate.read_text() + more)


ON_DB2 = 'host.backend.get_pytest_id().endswith("db2")'


def test_a_waived_host_stays_open_work_and_is_never_a_plain_success(two, recovery, say):
    project = two(hang=["routing"])
    break_gate(project, where=ON_DB2)
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    why = ["--reason", "its disk is dead", "--until", "2h"]
    assert "has taken it: waive host db2" in say(project, "waive", "--host", "db2", *why)
    (project / "go-routing").touch()
    code, events, errors = run.end()
    assert (code, events[-1]["outcome"]) == (1, "degraded")
    assert "DEGRADED: open work: WAIVED: host db2 of volumes" in errors.splitlines()[-1]
    for view in ("status", "show"):
        said = say(project, view)
        assert "open work: host db2 of volumes waived by" in said
        assert "its disk is dead" in said
        assert "DEGRADED" in said.splitlines()[-1]
    content = json.loads(say(project, "show", "--json"))
    [waiver] = content["waivers"]
    assert (waiver["host"], waiver["live"]) == ("db2", True)
    assert [c["waived"] for c in content["components"]] == [[], ["host db2 of volumes"]]
    # The next run has not accepted anything.
    assert say(project, "verify", "--site", "room-a", code=1)


def test_a_waived_check(two, recovery, say):
    project = two(hang=["routing"])
    break_gate(project, where="True")
    # Seen bad before it is waived: a check that is not bad would be a misspelt one.
    run = recovery(project, "--max-parallel", "1")
    run.wait_for("task_started", task="Hang")
    words = ["waive", "--check", "test_disk", "--component", "volumes", "--reason", "r"]
    refused = say(project, *words, "--until", "2h", code=1)
    assert "is not bad; none of its checks is bad" in refused
    (project / "go-routing").touch()
    assert run.end()[0] == 1


def test_a_waiver_of_a_failed_check_while_the_run_goes_on(make_project, recovery, say):
    layers = {
        "network": [
            {"name": "slow", "hosts": "img1", "settle": "0s"},
            {"name": "routing", "hosts": "routers", "settle": "0s"},
        ]
    }
    project = make_project(layers)
    slow = project / "playbooks/network/slow.yml"
    slow.write_text(slow.read_text().replace(MARK, HANG.format(flag=project / "go-slow") + MARK))
    gate = project / "playbooks/network/test_routing.py"
    gate.write_text(gate.read_text() + "\n\ndef test_peers(host):\n    assert False, 'no peer'\n")
    run = recovery(project)
    run.wait_for("component_failed", component="routing")
    words = ["waive", "--check", "test_peers", "--component", "routing", "--reason", "peer is dark"]
    say(project, *words, "--until", "2h")
    run.wait_for("component_waived", component="routing")
    (project / "go-slow").touch()
    code, events, _ = run.end()
    assert (code, events[-1]["outcome"]) == (1, "degraded")
    assert [e["component"] for e in events if e["kind"] == "playbook_started"].count("routing") == 1


def test_a_waiver_that_is_over_turns_the_component_red_again(make_project, recovery, say):
    layers = {
        "network": [
            {"name": "slow", "hosts": "img1", "settle": "0s"},
            {"name": "routing", "hosts": "routers", "settle": "0s"},
        ]
    }
    project = make_project(layers)
    slow = project / "playbooks/network/slow.yml"
    slow.write_text(slow.read_text().replace(MARK, HANG.format(flag=project / "go-slow") + MARK))
    gate = project / "playbooks/network/test_routing.py"
    gate.write_text(gate.read_text() + "\n\ndef test_peers(host):\n    assert False, 'no peer'\n")
    run = recovery(project)
    run.wait_for("component_failed", component="routing")
    words = ["waive", "--check", "test_peers", "--component", "routing", "--reason", "r"]
    say(project, *words, "--until", "10s")
    run.wait_for("component_waived", component="routing")
    run.wait_for("waiver_expired", component="routing")
    run.wait_for("component_failed", component="routing")
    (project / "go-slow").touch()
    code, events, _ = run.end()
    assert (code, events[-1]["outcome"]) == (1, "not_recovered")
    assert "(over: it counts again)" in say(project, "show")


def test_skip_leaves_a_component_and_what_stands_on_it_goes_on(two, recovery, say):
    project = two(hang=["routing"])
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    assert "only what waits" in say(
        project, "skip", "routing", "--reason", "r", "--until", "1h", code=1
    )
    say(project, "skip", "volumes", "--reason", "paper until noon", "--until", "1h")
    (project / "go-routing").touch()
    code, events, _ = run.end()
    assert (code, events[-1]["outcome"]) == (1, "degraded")
    assert not list((project / "marks").glob("volumes*"))
    assert "open work: volumes waived by" in say(project, "status")


def test_a_run_that_is_over_or_frozen_says_so_at_once(two, recovery, say):
    project = two(hang=["routing"])
    assert "no run yet" in say(project, "hold", code=2)
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    pause(run.process.pid)
    try:
        assert "has not answered within 5 s" in say(project, "hold", code=1)
    finally:
        run.process.send_signal(signal.SIGCONT)
    run.wait_for("run_held")
    say(project, "cancel")
    assert run.end()[0] == 130
    assert "is not running: room-a: interrupted" in say(project, "hold", code=1)


def test_what_was_asked_of_a_run_that_died_is_not_done_when_it_goes_on(two, recovery, say, drcli):
    project = two(hang=["routing"])
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    pause(run.process.pid)
    say(project, "cancel", "--reason", "no longer meant", code=1)
    run.process.kill()
    run.process.wait(timeout=PATIENCE)
    (project / "go-routing").touch()
    code, events, _ = recovery(project, command=["resume"]).end()
    assert code == 0
    [refused] = [e for e in events if e["kind"] == "request_refused"]
    assert refused["asked"] == "cancel"
    assert "before the run went on" in refused["reason"]


def test_an_approval_outlives_kill_9(two, recovery, say):
    project = two(approval=SURE, hang=["volumes"])
    run = recovery(project, "--wait")
    run.wait_for("component_held")
    say(project, "approve", "volumes", "--reason", "yes")
    run.wait_for("task_started", task="Hang")
    run.process.kill()
    run.process.wait(timeout=PATIENCE)
    (project / "go-volumes").touch()
    code, events, _ = recovery(project, command=["resume"]).end()
    assert code == 0
    assert "component_held" not in kinds(events)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["approve", "a", "b", "c", "--reason", "r"], "[RUN] COMPONENT"),
        (["approve", "volumes"], "--reason"),
        (["waive", "--reason", "r", "--until", "1h"], "one of --host and --check"),
        (["waive", "--check", "c", "--reason", "r", "--until", "1h"], "--component"),
        (["waive", "--host", "h", "--reason", "r", "--until", "soon"], "is no time"),
        (["waive", "--host", "h", "--reason", "r", "--until", "2020-01-01"], "is over already"),
        (["hold", "--reason", "x" * 600], "longer than 500"),
        (["retry", "moon", "volumes"], "no run yet"),
        (["watch"], "no run yet"),
    ],
)
def test_wrong_usage_is_exit_code_2(two, say, words, says):
    assert says in say(two(), *words, code=2)


def test_watch_follows_a_run_to_its_end_with_its_code(two, recovery, drcli, say):
    project = two(hang=["routing"])
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    watching = recovery(project, command=["watch"])
    watching.wait_for("task_started", task="Hang")
    (project / "go-routing").touch()
    code, events, _ = watching.end()
    own_code, own, _ = run.end()
    assert (code, own_code) == (0, 0)
    assert events == own
    after = drcli("watch", "--site", "room-a", cwd=project)
    assert after.returncode == 0
    assert "storage/volumes" in after.stderr
    assert "recovered in" in after.stdout


def test_watch_of_a_killed_run_ends_and_says_so(two, recovery, drcli):
    project = two(hang=["routing"])
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    watching = recovery(project, command=["watch"])
    watching.wait_for("task_started", task="Hang")
    run.process.kill()
    run.process.wait(timeout=PATIENCE)
    code, _, errors = watching.end()
    assert code == 130
    assert "its process is gone" in errors


def test_ctrl_c_ends_watching_and_not_the_run(two, recovery, say):
    project = two(hang=["routing"])
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    watching = recovery(project, command=["watch"])
    watching.wait_for("task_started", task="Hang")
    watching.ctrl_c()
    assert watching.end()[0] == 130
    (project / "go-routing").touch()
    assert run.end()[0] == 0


def test_a_run_that_is_hung_up_goes_on_and_says_so(two, recovery):
    project = two(hang=["routing"])
    run = recovery(project)
    run.wait_for("task_started", task="Hang")
    run.ctrl_c(signal.SIGHUP)  # to its whole process group, as a terminal does
    run.wait_for("terminal_lost")
    (project / "go-routing").touch()
    code, events, _ = run.end()
    assert code == 0
    assert "failed" not in {e.get("outcome") for e in events if e["kind"] == "playbook_finished"}
