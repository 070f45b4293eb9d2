"""Gates that stay on, must hold, or have a quorum: through the real command."""

from __future__ import annotations

import json

from conftest import HOSTS, PLAYBOOK

UNREACHABLE = "{ansible_connection: ssh, ansible_host: 127.0.0.1, ansible_port: 9}"
GONE = HOSTS.replace("r2: ", f"r2: {UNREACHABLE}")
ROUTING = {"name": "routing", "hosts": "routers", "settle": "0s"}


def run(drcli, project, *words, code):
    done = drcli("recover", "--site", "room-a", *words, cwd=project, timeout=300)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_with_its_quorum_up_a_site_is_recovered_but_degraded_everywhere_it_is_told(
    make_project, drcli
):
    layers = {
        "network": [{**ROUTING, "quorum": "1 of 2"}],
        "storage": [{"name": "volumes", "hosts": "img1"}],
    }
    project = make_project(layers, hosts=GONE)
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("any_errors_fatal: true", "strategy: linear"))
    done = run(drcli, project, code=1)
    last = done.stdout.splitlines()[-1]
    assert "but DEGRADED: open work: routing on r2" in last
    assert "1 verified; 1 degraded" in last
    assert "DEGRADED: open work on r2" in done.stderr
    status = drcli("status", "--site", "room-a", cwd=project, timeout=300).stdout
    assert "degraded" in status
    assert "open work on r2" in status
    show = drcli("show", cwd=project, timeout=300).stdout
    assert "open work: host r2 is not up" in show
    assert "r2: " in show
    told = json.loads(drcli("show", "--json", cwd=project, timeout=300).stdout)
    assert (told["state"], told["components"][0]["degraded"]) == ("degraded", ["r2"])
    assert "DEGRADED" in drcli("runs", cwd=project, timeout=300).stdout
    verified = drcli("verify", "--site", "room-a", cwd=project, timeout=300)
    assert verified.returncode == 1
    assert "up but DEGRADED: open work: routing on r2" in verified.stdout
    limited = drcli("verify", "--site", "room-a", "--limit", "r2", cwd=project, timeout=300)
    assert "NOT verified" in limited.stdout


def test_what_dies_again_while_others_start_is_brought_back_and_the_run_goes_on(
    make_project, drcli
):
    layers = {
        "network": [{"name": "routing", "hosts": "img1"}],
        "storage": [{"name": "volumes", "hosts": "img1"}],
    }
    project = make_project(layers)
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
    done = run(drcli, project, code=0)
    assert "DOWN AGAIN" in done.stderr
    assert "held back: waits for routing, which is down again" in done.stderr
    told = json.loads(drcli("show", "--json", cwd=project, timeout=300).stdout)
    routing, volumes = told["components"]
    assert (routing["turned_red"], routing["attempts"]) == (1, 2)
    assert (volumes["state"], volumes["attempts"]) == ("verified", 2)
    assert "was up and turned red once" in drcli("show", cwd=project, timeout=300).stdout


def test_a_gate_must_hold_as_long_as_the_site_wants(make_project, drcli):
    stable = {"passes": 3, "over": "1s"}
    project = make_project({"network": [{"name": "routing", "hosts": "img1", "stable": stable}]})
    done = run(drcli, project, code=0)
    assert "holds: 1 of 3 passes in a row" in done.stderr
    assert "holds: 2 of 3 passes in a row" in done.stderr
