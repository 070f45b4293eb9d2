"""The collections that playbooks name come out of a wheel, and nothing else of it does."""

from __future__ import annotations

import zipfile

import pytest

from orchestrator import collections
from orchestrator.collections import install_collections, required_collections, wanted_series
from orchestrator.errors import InputError


@pytest.fixture
def project(tmp_path):
    (tmp_path / "playbooks").mkdir()
    return tmp_path


def require(project, text):
    (project / "playbooks" / "requirements.yml").write_text(text)


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """A wheel of two collections in the place of the downloaded one."""
    path = tmp_path / "ansible-12.0.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ansible_collections/ansible/posix/plugins/mount.py", "mount")
        archive.writestr("ansible_collections/community/general/plugins/nmcli.py", "nmcli")
    asked = []
    monkeypatch.setattr(collections, "_download", lambda series, _: asked.append(series) or path)
    return asked


def test_a_project_may_need_none(project):
    assert required_collections(project) == ()


def test_both_ways_of_writing_a_name_are_read(project):
    require(project, "collections: [{name: ansible.posix}, community.postgresql]\n")
    assert required_collections(project) == ("ansible.posix", "community.postgresql")


@pytest.mark.parametrize("name", ["posix", "../up.posix", "a.b.c", "7", "{version: 1}"])
def test_what_is_no_name_is_refused_with_its_file(project, name):
    require(project, f"collections: [{name}]\n")
    with pytest.raises(InputError, match=r"requirements\.yml.*not a collection"):
        required_collections(project)


def test_a_file_that_is_no_yaml_is_refused_with_its_line(project):
    require(project, "collections:\n\t- x\n")
    with pytest.raises(InputError, match=r"requirements\.yml:2:"):
        required_collections(project)


def test_only_what_is_named_is_taken_and_only_once(project, wheel):
    require(project, "collections: [ansible.posix]\n")
    assert install_collections(project) == ("ansible.posix",)
    root = project / "collections" / "ansible_collections"
    assert (root / "ansible/posix/plugins/mount.py").read_text() == "mount"
    assert not (root / "community").exists()
    assert install_collections(project) == ()
    assert wheel == [wanted_series()]


def test_a_collection_that_the_wheel_lacks_is_named(project, wheel):
    require(project, "collections: [acme.rocket]\n")
    with pytest.raises(InputError, match=r"acme\.rocket"):
        install_collections(project)
