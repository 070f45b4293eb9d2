"""`--limit`, `--from`, `--check` and `--diff` through the real command, on local hosts."""

from __future__ import annotations

import json
import shlex

import pytest

LAYERS = {
    "network": [{"name": "routing", "hosts": "routers", "settle": "0s"}],
    "storage": [{"name": "volumes", "hosts": "databases", "settle": "0s"}],
    "applications": [{"name": "imaging", "hosts": "imaging", "settle": "0s"}],
}


@pytest.fixture
def project(make_project):
    return make_project(LAYERS)


def run(drcli, project, *words, code=0, command="recover"):
    done = drcli(command, "--site", "room-a", *words, cwd=project)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def marks(project):
    return {path.name for path in (project / "marks").iterdir()}


def last_line(done):
    return done.stdout.splitlines()[-1]


def test_limit_recovers_and_proves_its_hosts_and_claims_no_more(project, drcli):
    done = run(drcli, project, "--limit", "r*:db1")
    assert marks(project) == {"routing-r1", "routing-r2", "volumes-db1"}
    assert "imaging has no host in --limit r*:db1: it is left out" in done.stderr
    assert "room-a: recovered on r1, r2, db1 only in" in last_line(done)
    state = json.loads(drcli("status", "--json", cwd=project).stdout)
    assert state["limit"] == "r*:db1"
    again = run(drcli, project, "--limit", "db2", command="verify", code=1)
    assert "room-a: NOT verified on db2 only: red: volumes" in last_line(again)
    assert "--limit db2" in last_line(again)


def test_the_next_command_as_it_is_told_touches_nothing_that_was_left_out(project, drcli):
    playbook = project / "playbooks/storage/volumes.yml"
    whole = playbook.read_text()
    playbook.write_text(whole.replace("line: up", 'line: "{{ nowhere }}"'))
    run(drcli, project, "--component", "volumes", "--limit", "all:!db2", code=1)
    _, _, told = last_line(drcli("show", cwd=project)).partition("Next: drcli ")
    playbook.write_text(whole)
    done = drcli(*shlex.split(told), cwd=project)
    assert done.returncode == 0, done.stdout + done.stderr
    assert marks(project) == {"volumes-db1"}


def test_a_limit_may_exclude(project, drcli):
    run(drcli, project, "--layer", "storage", "--limit", "all:!db2")
    assert marks(project) == {"volumes-db1"}


@pytest.mark.parametrize("command", ["plan", "recover", "verify"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--limit", "imagin"], "no group or host 'imagin'; did you mean 'imaging'?"),
        (["--limit", "zz*"], "'zz*' matches no host"),
        (["--layer", "network", "--limit", "db1"], "no component of this run has such a host"),
        (["--limit", ","], "is not a pattern"),
    ],
    ids=["unknown", "none", "none of the layer", "no pattern"],
)
def test_a_limit_that_leaves_nothing_is_refused(project, drcli, command, words, said):
    done = run(drcli, project, *words, code=2, command=command)
    assert "--limit" in done.stderr
    assert said in done.stderr
    assert not marks(project)


def test_the_plan_shows_what_a_limit_and_a_beginning_leave(project, drcli):
    done = run(drcli, project, "--limit", "r1:db2", "--from", "volumes", command="plan")
    assert "r1  its gate alone" in done.stdout
    assert "imaging has no host in --limit r1:db2: it is left out" in done.stderr
    assert last_line(done).endswith("drcli recover --site room-a --limit r1:db2 --from volumes")


def test_from_begins_there_when_what_comes_before_is_up(project, drcli):
    for name in ("r1", "r2"):
        (project / f"marks/routing-{name}").write_text("up")
    done = run(drcli, project, "--from", "volumes")
    assert "2 verified; 1 healthy already" in last_line(done)


def test_from_touches_nothing_before_it_and_builds_on_nothing_that_is_down(project, drcli):
    done = run(drcli, project, "--from", "volumes", code=1)
    assert not marks(project)
    assert "failed: routing; blocked: volumes, imaging" in last_line(done)
    assert "down, and --from leaves its playbook out" in done.stderr


@pytest.mark.parametrize("command", ["plan", "recover"])
def test_from_an_unknown_component_names_the_nearest(project, drcli, command):
    done = run(drcli, project, "--from", "volume", code=2, command=command)
    assert "--from 'volume': no such component in this run; did you mean 'volumes'?" in done.stderr


def test_a_dry_run_goes_through_the_whole_plan_and_changes_nothing(project, drcli):
    (project / "marks/imaging-img1").write_text("up")
    done = run(drcli, project, "--check", "--diff")
    assert marks(project) == {"imaging-img1"}
    assert "playbook playbooks/network/routing.yml in check mode" in done.stderr
    assert "would recover: 2 tasks would change" in done.stderr
    assert last_line(done) == (
        "room-a: dry run: nothing was changed; 4 tasks would change; 2 would recover; "
        "1 healthy already. Next: drcli recover --site room-a"
    )
    show = drcli("show", cwd=project).stdout
    assert "storage/volumes  would recover" in show
    assert "difference by task Leave the mark of volumes on db2" in show
    assert "    +up" in show
    state = json.loads(drcli("show", "--json", cwd=project).stdout)
    assert state["dry_run"]
    assert state["state"] == "dry_run_ended_well"
    words = [component["state"] for component in state["components"]]
    assert words == ["would recover", "would recover", "healthy"]
    assert "+up" in next((project.parent / "state").rglob("volumes-1.jsonl")).read_text()
    assert "would recover" in drcli("status", cwd=project).stdout


def test_a_dry_run_that_does_not_end_well_is_exit_code_1(project, drcli):
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("line: up", 'line: "{{ nowhere }}"'))
    done = run(drcli, project, "--check", code=1)
    assert "dry run FAILED: 0 tasks would change" in last_line(done)
    assert "failed: routing; blocked: volumes, imaging" in last_line(done)
    assert not marks(project)


def test_without_diff_no_difference_is_kept(project, drcli):
    run(drcli, project, "--check", "--layer", "network")
    assert "difference by" not in drcli("show", cwd=project).stdout
