"""A project on its way to a worker: whole, proven, and without secrets."""

from __future__ import annotations

import io
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestrator.errors import InputError, MachineError
from orchestrator.shipment import KEPT, kept_project, pack, project_hash, prune_projects, unpack


def content(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def project(make_project):
    made = make_project()
    plugin = made / "collections/ansible_collections/x/plugins/y.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text("Y = 1\n")
    lab = made / "inventories/room-a/lab"
    lab.mkdir()
    (lab / "lab.yml").write_text("{}")
    return made


def test_it_arrives_as_it_was_with_its_collections_and_without_the_lab(project, tmp_path):
    digest = project_hash(project, "room-a")
    place = unpack(pack(project, "room-a"), digest, site="room-a", state_dir=tmp_path / "state")
    assert project_hash(place, "room-a") == digest
    arrived = content(place)
    sent = {k: v for k, v in content(project).items() if not k.startswith("inventories/room-a/lab")}
    assert arrived == sent
    assert "collections/ansible_collections/x/plugins/y.py" in arrived
    assert place.stat().st_mode & 0o077 == 0 or place.parent.stat().st_mode & 0o077 == 0


def test_links_arrive_as_what_they_lead_to(project, tmp_path):
    (project / "playbooks/network/again.yml").symlink_to("routing.yml")
    digest = project_hash(project, "room-a")
    place = unpack(pack(project, "room-a"), digest, site="room-a", state_dir=tmp_path / "state")
    assert not (place / "playbooks/network/again.yml").is_symlink()


def test_the_hash_stands_for_collections_too(project):
    before = project_hash(project, "room-a")
    (project / "collections/ansible_collections/x/plugins/y.py").write_text("Y = 2\n")
    assert project_hash(project, "room-a") != before


def test_what_is_not_what_it_is_called_is_refused_and_nothing_of_it_kept(project, tmp_path):
    state = tmp_path / "state"
    with pytest.raises(MachineError, match="not the one that was announced"):
        unpack(pack(project, "room-a"), "0" * 64, site="room-a", state_dir=state)
    assert list((state / "projects").iterdir()) == []


def test_a_tar_that_leads_elsewhere_is_refused(tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        found = tarfile.TarInfo("../outside")
        found.size = 1
        tar.addfile(found, io.BytesIO(b"x"))
    with pytest.raises(MachineError):
        unpack(packed.getvalue(), "0" * 64, site="room-a", state_dir=tmp_path / "state")
    assert not list(tmp_path.rglob("outside"))


@pytest.mark.parametrize("where", ["inventories/room-a/key", "playbooks/files/key"])
def test_a_key_is_never_packed(project, where):
    path = project / where
    path.parent.mkdir(exist_ok=True)
    path.write_text("# mine\n-----BEGIN RSA PRIVATE KEY-----\n")
    with pytest.raises(InputError, match="never sent to workers"):
        pack(project, "room-a")


def test_the_vault_password_is_never_packed(project):
    path = project / "playbooks/vault.txt"
    path.write_text("secret")
    pack(project, "room-a")
    with pytest.raises(InputError, match="never sent to workers"):
        pack(project, "room-a", secrets=frozenset({path}))


def test_a_worker_uses_its_own_copy_only_while_it_is_the_very_same(project, tmp_path):
    digest = project_hash(project, "room-a")
    asked = {"site": "room-a", "state_dir": tmp_path / "state", "own": project}
    assert kept_project(digest, **asked) == project
    (project / "ansible.cfg").write_text("[defaults]\nforks = 1\n")
    assert kept_project(digest, **asked) is None


def test_old_projects_go_except_those_in_use(tmp_path):
    made = [tmp_path / "projects" / f"{number:064x}" for number in range(KEPT + 2)]
    for age, folder in enumerate(reversed(made)):
        folder.mkdir(parents=True)
        os.utime(folder, (1_000 - age, 1_000 - age))
    prune_projects(tmp_path, spare=frozenset({made[0]}))
    assert set((tmp_path / "projects").iterdir()) == {made[0], *made[2:]}


def test_shards_that_are_sent_it_at_the_same_moment_all_have_it(project, tmp_path):
    digest, packed = project_hash(project, "room-a"), pack(project, "room-a")
    state = tmp_path / "state"
    with ThreadPoolExecutor(8) as threads:
        asked = [
            threads.submit(unpack, packed, digest, site="room-a", state_dir=state) for _ in range(8)
        ]
    assert {one.result() for one in asked} == {state / "projects" / digest}
    assert project_hash(state / "projects" / digest, "room-a") == digest
    assert len(list((state / "projects").iterdir())) == 1
