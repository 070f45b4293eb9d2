"""A cluster on loopback, disturbed: what workers and wires may do to a recovery, and may not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster import PATIENCE, Process, TestCluster, certificates
from pausing import pause

pytestmark = pytest.mark.once

ONE = {"network": [{"name": "routing", "hosts": "img1", "settle": "0s"}]}
# The first time it runs it leaves a mark, and hangs; after that it does its work.
HANGS_ONCE = """
    - name: Hang the first time
      ansible.builtin.shell: "test -e {project}/hung || {{ touch {project}/hung; sleep 600; }}"
      changed_when: false
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    made = TestCluster(tmp_path_factory.mktemp("cluster"))
    yield made
    made.close()


@pytest.fixture
def cluster(shared):
    """The scheduler, and no worker left over from another test."""
    yield shared
    shared.end_workers()


def attempts():
    """The processes of attempts on this machine that are alive, by their marks."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            for word in (entry / "environ").read_bytes().split(b"\0"):
                if word.startswith(b"DRCLI_ATTEMPT="):
                    found[int(entry.name)] = word.decode()
        except (OSError, ValueError):
            continue
    return found


def of_run(run):
    return [pid for pid, mark in attempts().items() if f"={run}-" in mark]


def wait_until(condition, seconds=PATIENCE):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.1)


def hangs_once(project, component="routing"):
    playbook = project / f"playbooks/network/{component}.yml"
    head, task, rest = playbook.read_text().partition("  tasks:\n")
    playbook.write_text(head + task + HANGS_ONCE.format(project=project).lstrip("\n") + rest)
    return project


def hanging(cluster, recovery, project):
    """A recovery whose playbook hangs on a worker, with processes there; and its run."""
    run = recovery(project, env=cluster.controller)
    run.wait_for("playbook_started")
    run.wait_for("task_started", task="Hang the first time")
    wait_until((project / "hung").exists)
    [log] = (log for worker in cluster.started for log in (worker.state / "artifacts").iterdir())
    return run, log.name.rpartition("-")[0]


def kinds(events, component):
    return [e["kind"] for e in events if e.get("component") == component]


def test_all_that_happens_on_workers_is_in_the_journal_and_in_its_order(
    cluster, recovery, make_project, drcli
):
    project = make_project({"network": [{"name": "routing", "hosts": "routers", "settle": "0s"}]})
    playbook = project / "playbooks/network/routing.yml"
    names = [f"Step {number}" for number in range(30)]
    steps = [f"    - name: {n}\n      ansible.builtin.debug: {{msg: hello}}\n" for n in names]
    playbook.write_text(playbook.read_text() + "".join(steps))
    worker = cluster.worker()
    code, events, errors = recovery(project, env=cluster.controller).end()
    assert code == 0, errors
    tasks = [e["task"] for e in events if e["kind"] == "task_started"]
    assert tasks == ["Leave the mark of routing", *names]
    found = kinds(events, "routing")
    observed = found.count("check_finished") - 2  # both hosts are looked at before one is bad
    assert observed in {1, 2}
    looked = ["check_finished"] * observed
    assert found == [
        *("gate_started", "work_taken", "gate_collected", *looked, "gate_finished"),
        *("playbook_started", "work_taken", *["task_started"] * 31, "playbook_finished"),
        *("gate_started", "work_taken", "gate_collected"),
        *("check_finished", "check_finished", "gate_finished"),
        "component_verified",
    ]
    assert {e["worker"] for e in events if e["kind"] == "work_taken"} == {worker.name}
    content = json.loads(drcli("show", "--json", cwd=project, env={
        "DRCLI_STATE_DIR": str(project.parent / "state")}).stdout)  # fmt: skip
    log = Path(content["components"][0]["artifact"])
    assert log.is_relative_to(project.parent / "state")
    assert log.stat().st_mode & 0o777 == 0o600


def test_hosts_of_a_killed_worker_are_unknown_and_gated_first_then_done_elsewhere(
    cluster, recovery, make_project
):
    project = hangs_once(make_project(ONE))
    first = cluster.worker()
    run, mark = hanging(cluster, recovery, project)
    orphans = of_run(mark)
    assert orphans
    second = cluster.worker()
    first.kill()
    lost = run.wait_for("playbook_finished")
    assert lost["outcome"] == "lost", lost["reasons"]
    assert first.name in lost["reasons"][0]
    # Only now may anybody touch its hosts: nothing of the dead worker's is left.
    assert not set(orphans) & set(attempts())
    code, events, errors = run.end()
    assert code == 0, errors
    after = kinds(events, "routing")[kinds(events, "routing").index("playbook_finished") + 1 :]
    assert [k for k in after if k.startswith(("gate", "playbook"))] == [
        *("gate_started", "gate_collected", "gate_finished"),
        *("playbook_started", "playbook_finished"),
        *("gate_started", "gate_collected", "gate_finished"),
    ]
    taken = [e["worker"] for e in events if e["kind"] == "work_taken"]
    assert taken[-3:] == [second.name] * 3
    assert [e["attempt"] for e in events if e["kind"] == "playbook_started"] == [1, 2]


def test_what_a_frozen_worker_started_is_ended_without_it(cluster, recovery, make_project):
    project = hangs_once(make_project(ONE))
    first = cluster.worker()
    run, mark = hanging(cluster, recovery, project)
    orphans = of_run(mark)
    assert orphans
    cluster.worker()
    pause(first.process.pid)
    try:
        assert run.wait_for("playbook_finished")["outcome"] == "lost"
        assert not [pid for pid in orphans if Path(f"/proc/{pid}/fd/0").exists()]
        assert run.end()[0] == 0
    finally:
        first.signal(signal.SIGCONT)


def test_ctrl_c_ends_the_children_on_the_worker(cluster, recovery, make_project):
    project = hangs_once(make_project(ONE))
    worker = cluster.worker()
    run, mark = hanging(cluster, recovery, project)
    assert of_run(mark)
    run.ctrl_c()
    code, events, _ = run.end()
    assert code == 130
    assert of_run(mark) == []
    [finished] = [e for e in events if e["kind"] == "playbook_finished"]
    assert finished["outcome"] == "cancelled"
    assert worker.process.poll() is None  # it lives, and works for the next


def test_a_controller_that_is_killed_leaves_nothing_running_on_workers(
    cluster, recovery, make_project
):
    project = hangs_once(make_project(ONE))
    cluster.worker()
    run, mark = hanging(cluster, recovery, project)
    assert of_run(mark)
    run.process.kill()
    wait_until(lambda: not of_run(mark), 40)


def test_a_worker_drains_on_sigterm_and_stops_on_the_second(cluster, recovery, make_project):
    project = hangs_once(make_project(ONE))
    first = cluster.worker()
    run, mark = hanging(cluster, recovery, project)
    first.signal()
    first.wait_for("draining: 1 to end")
    assert first.process.poll() is None
    assert of_run(mark)
    second = cluster.worker()
    first.signal()
    assert run.wait_for("playbook_finished")["outcome"] == "lost"
    assert first.end() == 0
    code, events, errors = run.end()
    assert code == 0, errors
    taken = [e["worker"] for e in events if e["kind"] == "work_taken"]
    assert taken[-3:] == [second.name] * 3


def test_a_project_is_shipped_where_it_differs_and_used_where_it_does_not(
    cluster, recovery, make_project, tmp_path
):
    project = make_project(ONE)
    same = cluster.worker("--project", project)
    assert recovery(project, env=cluster.controller).end()[0] == 0
    assert not (same.state / "projects").exists()
    cluster.end_workers()
    # Here a worker has another version of it: the controller's counts.
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("Leave the mark", "Leave the new mark"))
    (project / "marks/routing-img1").unlink()
    other = tmp_path / "other"
    (other / "inventories/room-a").mkdir(parents=True)
    worker = cluster.worker("--project", other)
    code, events, errors = recovery(project, env=cluster.controller).end()
    assert code == 0, errors
    assert "Leave the new mark of routing" in [e.get("task") for e in events]
    [kept] = (worker.state / "projects").iterdir()
    # What was kept is used again, unless somebody changed it: then it is sent anew.
    (kept / "playbooks/network/routing.yml").write_text("- hosts: nowhere\n")
    (project / "marks/routing-img1").unlink()
    assert recovery(project, env=cluster.controller).end()[0] == 0
    assert [p.name for p in (worker.state / "projects").iterdir()] == [kept.name]


def test_a_project_that_holds_a_key_is_not_shipped(cluster, recovery, make_project):
    project = make_project(ONE)
    key = project / "inventories/room-a/id_ed25519"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n")
    worker = cluster.worker()
    code, events, _ = recovery(project, env=cluster.controller).end()
    assert code == 1
    [failed] = [e for e in events if e["kind"] == "component_failed"]
    assert f"{key} holds a key or a password" in failed["reason"]
    assert not (worker.state / "projects").exists()


def test_secrets_go_in_memory_alone(cluster, recovery, make_project, tmp_path):
    project = make_project(ONE)
    password = tmp_path / "vault-password"
    password.write_text("canary-of-the-vault")
    become = tmp_path / "become-password"
    become.write_text("canary-of-become")
    vault = project / "inventories/room-a/group_vars"
    vault.mkdir()
    secret = vault / "all.yml"
    secret.write_text("from_the_vault: opened\n")
    vault = Path(sys.executable).with_name("ansible-vault")
    words = [vault, "encrypt", secret, "--vault-password-file", password]
    subprocess.run(words, check=True, capture_output=True)
    playbook = project / "playbooks/network/routing.yml"
    text = playbook.read_text().replace("content: up", 'content: "{{ from_the_vault }}"')
    playbook.write_text(text)
    worker = cluster.worker()
    words = ("--vault-password-file", password, "--become-password-file", become)
    words += ("-e", "token=canary-of-the-token")
    code, events, errors = recovery(project, *words, env=cluster.controller).end()
    assert code == 0, errors
    assert (project / "marks/routing-img1").read_text() == "opened"
    left = [p for folder in (worker.state, tmp_path / "state") for p in folder.rglob("*")]
    for path in [p for p in left if p.is_file()]:
        assert b"canary-of" not in path.read_bytes(), path
    said = "".join([*worker.said, *cluster.scheduler.said, json.dumps(events)])
    assert "canary-of" not in said


def test_without_a_worker_of_the_site_it_says_so_and_gives_up_at_a_limit(
    cluster, make_project, tmp_path
):
    project = make_project(ONE)
    cluster.worker(sites=("room-b",))
    run = Process(
        *("--project", project, "recover", "--site", "room-a", "--state-dir", tmp_path / "state"),
        env=cluster.controller,
        patch="import orchestrator.errand as e; e.PATIENCE = 8; e.SAID_AFTER = 1",
    )
    run.wait_for("waits for a worker of site:room-a: the 1 connected are of site:room-b")
    assert run.end() == 1
    said = "".join(run.said)
    assert "nobody took it within 8 s" in said
    assert "drcli worker --site room-a" in said
    assert not list((project / "marks").iterdir())


def test_a_worker_says_itself_why_its_playbooks_are_slow(cluster, make_project, tmp_path):
    slow = "import os; os.environ['DRCLI_FAST'] = '1'\nimport orchestrator.mitogen_way as m\n"
    worker = cluster.worker(patch=f"{slow}m.TRIED = ((1, 0), (1, 1))")
    assert any("playbooks run without it, only slower" in line for line in worker.said)
    run = Process(
        *("--project", make_project(ONE), "recover", "--site", "room-a"),
        *("--state-dir", tmp_path / "state"),
        env=cluster.controller,
        patch=f"{slow}m.TRIED = ((1, 0), (1, 1))",
    )
    assert run.end() == 0
    assert not [line for line in run.said if "only slower" in line]


def test_a_worker_with_other_versions_gets_nothing(cluster, make_project, tmp_path):
    project = make_project(ONE)
    old = "import orchestrator.wire as w; w.versions = lambda: 'drcli 0.0.1, ansible-core 2.0'"
    cluster.worker(patch=old)
    run = Process(
        *("--project", project, "verify", "--site", "room-a"),
        env=cluster.controller,
        patch="import orchestrator.errand as e; e.PATIENCE = 4; e.SAID_AFTER = 1",
    )
    line = run.wait_for("waits for a worker of site:room-a with drcli")
    assert "there are only drcli 0.0.1, ansible-core 2.0" in line
    assert run.end() == 1


def test_two_sites_go_each_to_its_own_workers_at_the_same_time(
    cluster, recovery, make_project, tmp_path
):
    project = make_project(ONE)
    make_project(ONE, name="room-b")
    a, b = cluster.worker(), cluster.worker(sites=("room-b",))
    first = recovery(project, env=cluster.controller)
    second = recovery(project, "--site", "room-b", env=cluster.controller)
    for run, worker in ((first, a), (second, b)):
        code, events, errors = run.end()
        assert code == 0, errors
        assert {e["worker"] for e in events if e["kind"] == "work_taken"} == {worker.name}


def test_a_big_component_goes_in_shards_and_each_shard_is_lost_on_its_own(
    cluster, recovery, make_project
):
    names = [f"n{number}" for number in range(6)]
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = json.dumps({"all": {"vars": local, "hosts": dict.fromkeys(names)}})
    layers = {"network": [{"name": "routing", "hosts": "all", "shard_size": 2, "settle": "0s"}]}
    project = hangs_once(make_project(layers, hosts=hosts))
    playbook = project / "playbooks/network/routing.yml"
    text = playbook.read_text().replace("  any_errors_fatal: true\n", "")
    only = "changed_when: false\n      when: inventory_hostname == 'n2'"
    playbook.write_text(text.replace("changed_when: false", only))
    first = cluster.worker("--slots", "4")
    run = recovery(project, env=cluster.controller)
    wait_until((project / "hung").exists)
    home = project.parent / "state/artifacts"
    wait_until(lambda: len(list(home.glob("*/*.gz"))) == 2)  # the other two shards' are at home
    cluster.worker()
    first.kill()
    lost = run.wait_for("playbook_finished")
    assert lost["outcome"] == "lost", lost["reasons"]
    code, events, errors = run.end()
    assert code == 0, errors
    started = [e["hosts"] for e in events if e["kind"] == "playbook_started"]
    assert started == [names, ["n2", "n3"]]
    kinds_of_all = [e["kind"] for e in events]
    begin, end = (kinds_of_all.index(f"playbook_{word}") for word in ("started", "finished"))
    taken = [e["hosts"] for e in events[begin:end] if e["kind"] == "work_taken"]
    assert sorted(taken) == [["n0", "n1"], ["n2", "n3"], ["n4", "n5"]]


def test_a_stranger_is_not_let_in(cluster, drcli, make_project, tmp_path):
    project = make_project(ONE)
    env = {"DRCLI_CLUSTER": cluster.url, "DRCLI_CLUSTER_TLS": str(certificates(tmp_path / "own"))}
    done = drcli("verify", "--site", "room-a", cwd=project, env=env)
    assert done.returncode == 2
    assert f"cannot reach the scheduler {cluster.url}" in done.stderr


def test_nothing_listens_beyond_loopback(cluster):
    worker = cluster.worker()
    for process in (worker.process, cluster.scheduler.process):
        inodes = set()
        for entry in Path(f"/proc/{process.pid}/fd").iterdir():
            target = str(entry.readlink())
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
        listening = [
            line.split()[1].split(":")[0]
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/{process.pid}/net/{table}").read_text().splitlines()[1:]
            if line.split()[3] == "0A" and line.split()[9] in inodes
        ]
        assert listening
        assert set(listening) == {"0100007F"}


def test_when_the_scheduler_dies_workers_end_what_they_do_and_the_run_says_so(
    tmp_path, make_project
):
    own = TestCluster(tmp_path / "own")
    project = hangs_once(make_project(ONE))
    run = None
    try:
        worker = own.worker()
        run = Process(
            *("--project", project, "recover", "--site", "room-a", "--state-dir", tmp_path / "s"),
            env=own.controller,
            patch="import orchestrator.errand as e; e.PATIENCE = 5; e.SAID_AFTER = 1",
        )
        wait_until((project / "hung").exists)
        [log] = (worker.state / "artifacts").iterdir()
        mark = log.name.rpartition("-")[0]
        assert of_run(mark)
        own.scheduler.kill()
        assert worker.end() == 1
        assert "the connection to" in "".join(worker.said)
        wait_until(lambda: not of_run(mark))
        assert run.end() == 1
        assert "nobody took it" in "".join(run.said)
    finally:
        if run:
            run.kill()
        own.close()
