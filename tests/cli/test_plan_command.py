"""`drcli plan`: what a recovery would do, through the real command."""

from __future__ import annotations

import json

LAYERS = {
    "network": [
        {"name": "routing", "hosts": "routers"},
        {"name": "time", "hosts": "routers", "needs": ["routing"]},
        {"name": "dns", "hosts": "r1", "needs": ["routing"]},
    ],
    "storage": [
        {"name": "database", "hosts": "databases", "approval": "Primary chosen?"},
    ],
}


def test_the_plan_says_what_is_done_where_in_which_order(make_project, drcli):
    project = make_project(LAYERS, extra={"rto": "4h", "max_parallel": 3})
    done = drcli("plan", "--site", "room-a", cwd=project)
    lines = done.stdout.splitlines()
    assert done.returncode == 0
    assert lines[0] == "room-a: layer by layer, at most 3 at once, within 4 h 00 min"
    assert lines[1:9] == [
        "network",
        "  1  routing   r1,r2",
        "     playbooks/network/routing.yml, test_routing.py: 1+ checks a host",
        "  2  time      r1,r2  needs routing",
        "     playbooks/network/time.yml, test_time.py: 1+ checks a host",
        "  2  dns       r1  needs routing",
        "     playbooks/network/dns.yml, test_dns.py: 1+ checks a host",
        "storage",
    ]
    assert lines[9] == "  3  database  db1,db2  asks first: Primary chosen?"
    assert lines[11].endswith(": 1 routing; 2 time, dns; 3 database")
    assert lines[-1] == "Ready: 4 components on 4 hosts. Next: drcli recover --site room-a"
    assert done.stderr == "warning: host img1 belongs to no component: nothing recovers it\n"


def test_the_next_command_keeps_the_selection(make_project, drcli):
    options = ["--layer=network", "--component=dns"]
    done = drcli("plan", "--site", "room-a", *options, cwd=make_project(LAYERS))
    assert done.stdout.splitlines()[-1] == (
        "Ready: 1 components on 1 hosts. Next: drcli recover --site room-a "
        "--layer network --component dns"
    )


def test_json_is_the_plan_and_nothing_else(make_project, drcli):
    done = drcli("plan", "--site", "room-a", "--json", cwd=make_project(LAYERS))
    plan = json.loads(done.stdout)
    assert (plan["site"], plan["order"]) == ("room-a", "layers")
    assert plan["steps"] == [["routing"], ["time", "dns"], ["database"]]
    assert len(plan["hash"]) == 64
    database = plan["components"][3]
    assert database["hosts"] == ["db1", "db2"]
    assert database["playbook"] == "playbooks/storage/database.yml"
    assert database["gate"] == "playbooks/storage/test_database.py"
    assert database["minimum_checks"] == 1
    assert database["stands_on"] == ["routing", "time", "dns"]
    assert database["approval"] == "Primary chosen?"
    assert plan["warnings"] == ["host img1 belongs to no component: nothing recovers it"]
