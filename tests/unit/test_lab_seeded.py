"""Which seeded state is the right one, and how many are kept."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from orchestrator.lab import seeded
from orchestrator.lab.definition import Definition, LabFile, LabHost
from orchestrator.lab.runtime import Seen


@pytest.fixture
def definition(tmp_path):
    files = ("inventories/room/hosts.yml", "playbooks/network/test_dns.py",
             "playbooks/conftest.py", "playbooks/roles/dns/tasks/main.yml")  # fmt: skip
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("as it was\n")
    hosts = (
        LabHost(name="r1", number=11, disks={}),
        LabHost(name="db1", number=31, disks={"data0": 4096}),
    )
    return Definition(project=tmp_path, site="room", hosts=hosts, file=LabFile())


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
        content=content, subnet="10.78.0.0/24", images={"r1": "i:r1", "db1": "i:db1"},
        hosts={"r1": Seen(), "db1": Seen()}, layers=(("r1",), ("db1",)),
        mentions={"r1": ("/etc/x",), "db1": ()},
    )  # fmt: skip
    folder = seeded.cache_folder(content)
    (folder / "disks").mkdir(parents=True)
    (folder / "disks" / "db1-data0").write_text("of db1")
    (folder / "snapshot.json").write_text(snapshot.model_dump_json())
    (folder / "secrets").mkdir()
    (folder / "ledger.jsonl").touch()
    labs = []
    for number, name in enumerate(("mine", "other")):
        lab = SimpleNamespace(name=name, folder=tmp_path / name, number=number)
        lab.folder.mkdir()
        labs.append(lab)
    monkeypatch.setattr(seeded, "all_instances", lambda: labs)
    monkeypatch.setattr(seeded, "podman", lambda *_: "i:r1\ni:db1\n")
    monkeypatch.setattr(seeded, "snapshot_folder", lambda lab: lab.folder / "seeded")
    return labs, snapshot


def test_a_lab_starts_from_the_state_that_is_kept(definition, cached):
    (mine, _), snapshot = cached
    assert seeded.fetch(definition, mine) == snapshot
    seeded.note_content(definition, mine, snapshot)
    assert seeded.fetch(definition, mine) == snapshot


def test_two_labs_at_once_never_have_disks_of_one_uuid(definition, cached):
    (mine, other), snapshot = cached
    seeded.note_content(definition, other, snapshot)
    assert seeded.fetch(definition, mine) is None


@pytest.fixture
def network(definition):
    """The lowest layer of that site alone: its host has no disk."""
    r1, db1 = definition.hosts
    return replace(definition, layer="network", hosts=(r1,), absent=(db1,))


def test_a_part_without_disks_starts_from_its_part_of_the_state_that_another_lab_has(
    definition, network, cached
):
    (mine, other), snapshot = cached
    seeded.note_content(definition, other, snapshot)
    part = seeded.fetch(network, mine)
    assert (part.images, part.layers) == ({"r1": "i:r1"}, (("r1",), ()))
    assert (list(part.hosts), part.mentions) == (["r1"], {"r1": ("/etc/x",)})
    kept = mine.folder / "seeded"
    assert sorted(path.name for path in kept.iterdir()) == [
        "disks", "ledger.jsonl", "secrets", "snapshot.json",
    ]  # fmt: skip
    assert not list((kept / "disks").iterdir())
    assert seeded.kept(mine) == part


def test_a_part_without_disks_is_in_the_way_of_no_other_lab(definition, network, cached):
    (mine, other), snapshot = cached
    seeded.note_content(network, other, snapshot)
    assert seeded.fetch(definition, mine) == snapshot
    assert (mine.folder / "seeded" / "disks" / "db1-data0").read_text() == "of db1"


def test_what_is_made_for_a_part_is_not_taken_for_the_whole_site(definition, network):
    own, whole = seeded.contents(network)
    assert own != whole
    assert seeded.contents(definition) == (whole,)


def test_two_makings_of_one_state_share_no_image():
    # Else the second of two labs puts its hosts' files under the disks and secrets of the first.
    first, second = (seeded.image_names("0123456789ab", ["db1", "db2"]) for _ in range(2))
    assert list(first) == list(second) == ["db1", "db2"]
    assert len({*first.values(), *second.values()}) == 4
    assert all("/seeded-0123456789ab:" in name for name in first.values())
