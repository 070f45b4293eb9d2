"""Which seeded state is the right one, and how many are kept."""

from __future__ import annotations

import pytest

from orchestrator.lab import seeded
from orchestrator.lab.definition import Definition, LabFile


@pytest.fixture
def definition(tmp_path):
    files = ("inventories/room/hosts.yml", "playbooks/network/test_dns.py",
             "playbooks/conftest.py", "playbooks/roles/dns/tasks/main.yml")  # fmt: skip
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as it was\n")
    return Definition(project=tmp_path, site="room", hosts=(), file=LabFile())


@pytest.mark.parametrize(
    "name", ["inventories/room/hosts.yml", "playbooks/roles/dns/tasks/main.yml"]
)
def test_what_makes_the_site_makes_another_state(definition, name):
    before = seeded.content_hash(definition)
    (definition.project / name).write_text("another\n")
    assert seeded.content_hash(definition) != before


@pytest.mark.parametrize("name", ["playbooks/network/test_dns.py", "playbooks/conftest.py"])
def test_a_gate_makes_nothing_and_so_no_other_state(definition, name):
    before = seeded.content_hash(definition)
    (definition.project / name).write_text("another\n")
    assert seeded.content_hash(definition) == before
