"""What a drill has proven stands until its time is over or a file of it is another one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orchestrator.drills import Drill, DrillKind, DrillScored, TimeScore
from orchestrator.proof import Scored, Standing, Subject, proofs

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = 86_400.0
FILES = {
    "ansible.cfg": "1",
    "inventories/a/site.yml": "1",
    "playbooks/network/dns.yml": "1",
    "playbooks/network/test_dns.py": "1",
    "playbooks/network/conftest.py": "1",
    "playbooks/storage/database.yml": "1",
    "playbooks/storage/test_database.py": "1",
    "playbooks/roles/dns/tasks/main.yml": "1",
    "playbooks/roles/database/tasks/main.yml": "1",
    "playbooks/roles/shared/tasks/main.yml": "1",
}
SUBJECTS = (
    Subject(name="dns", layer="network", playbook="playbooks/network/dns.yml",
            gate="playbooks/network/test_dns.py", text="roles: [dns]"),
    Subject(name="database", layer="storage", playbook="playbooks/storage/database.yml",
            gate="playbooks/storage/test_database.py", text="- role: database"),
)  # fmt: skip


def drill(*proves, run="r1", days=1, broke=(), files=FILES):
    score = DrillScored(
        drill=Drill(kind=DrillKind.LAB, scenario="everything"),
        as_expected=not broke,
        site=TimeScore(objective=None, actual=1.0),
        proves=proves,
        broke=broke,
        files=files,
    )
    return Scored(run=run, at=NOW - timedelta(days=days), score=score)


def found(*drills, files=FILES):
    return {p.component: p for p in proofs(SUBJECTS, drills, files, valid=30 * DAY, now=NOW)}


def test_what_no_drill_brought_back_is_not_proven():
    proof = found(drill("dns"))
    assert proof["dns"].standing is Standing.PROVEN
    assert proof["dns"].run == "r1"
    assert proof["database"].standing is Standing.NEVER


def test_a_drill_that_failed_proves_nothing():
    assert found(drill("dns", broke=("lost",)))["dns"].standing is Standing.NEVER


def test_the_last_green_drill_counts():
    proof = found(drill("dns", run="r3", broke=("rto",)), drill("dns", run="r2"), drill("dns"))
    assert proof["dns"].run == "r2"


def test_a_proof_is_over_after_its_time():
    assert found(drill("dns", days=29.9))["dns"].standing is Standing.PROVEN
    assert found(drill("dns", days=30))["dns"].standing is Standing.EXPIRED


@pytest.mark.parametrize(
    ("file", "of"),
    [
        ("playbooks/network/dns.yml", {"dns"}),
        ("playbooks/network/test_dns.py", {"dns"}),
        ("playbooks/roles/dns/tasks/main.yml", {"dns"}),
        ("playbooks/network/conftest.py", {"dns"}),  # of its layer
        ("playbooks/roles/shared/tasks/main.yml", {"dns", "database"}),
        ("inventories/a/site.yml", {"dns", "database"}),
        ("ansible.cfg", {"dns", "database"}),
    ],
)
@pytest.mark.parametrize("how", ["changed", "removed", "added"])
def test_a_file_that_is_another_one_ends_the_proofs_of_those_it_is_of(file, of, how):
    without = {name: digest for name, digest in FILES.items() if name != file}
    now = {"changed": {**FILES, file: "2"}, "removed": without, "added": FILES}[how]
    proof = found(drill("dns", "database", files=without if how == "added" else FILES), files=now)
    assert {name for name, each in proof.items() if each.standing is Standing.CHANGED} == of
    assert all(each.changed == ((file,) if name in of else ()) for name, each in proof.items())
