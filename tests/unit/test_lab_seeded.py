"""Which seeded state is the right one, and how many are kept."""

from __future__ import annotations

from types import SimpleNamespace

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


@pytest.fixture
def cached(definition, tmp_path, monkeypatch):
    """A seeded state of this content is kept; the labs of this machine are in `labs`."""
    content = seeded.content_hash(definition)
    monkeypatch.setattr(seeded, "_caches", lambda: tmp_path / "cache")
    snapshot = seeded.Snapshot(
        content=content, subnet="10.78.0.0/24", images={}, hosts={}, layers=(), mentions={}
    )
    folder = seeded.cache_folder(content)
    folder.mkdir(parents=True)
    (folder / "snapshot.json").write_text(snapshot.model_dump_json())
    labs = []
    for number, name in enumerate(("mine", "other")):
        lab = SimpleNamespace(name=name, folder=tmp_path / name, number=number)
        lab.folder.mkdir()
        labs.append(lab)
    monkeypatch.setattr(seeded, "all_instances", lambda: labs)
    monkeypatch.setattr(seeded, "podman", lambda *_: "")
    monkeypatch.setattr(seeded, "snapshot_folder", lambda lab: lab.folder / "seeded")
    return labs, snapshot


def test_a_lab_starts_from_the_state_that_is_kept(definition, cached):
    (mine, _), snapshot = cached
    assert seeded.fetch(definition, mine) == snapshot
    seeded.note_content(mine, snapshot)
    assert seeded.fetch(definition, mine) == snapshot


def test_two_labs_at_once_never_have_disks_of_one_uuid(definition, cached):
    (mine, other), snapshot = cached
    seeded.note_content(other, snapshot)
    assert seeded.fetch(definition, mine) is None


def test_two_makings_of_one_state_share_no_image():
    # Else the second of two labs puts its hosts' files under the disks and secrets of the first.
    first, second = (seeded.image_names("0123456789ab", ["db1", "db2"]) for _ in range(2))
    assert list(first) == list(second) == ["db1", "db2"]
    assert len({*first.values(), *second.values()}) == 4
    assert all("/seeded-0123456789ab:" in name for name in first.values())
