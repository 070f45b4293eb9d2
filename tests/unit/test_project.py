from __future__ import annotations

import pytest

from orchestrator.errors import InputError
from orchestrator.project import (
    did_you_mean,
    find_project,
    require_inside,
    site_folder,
    site_names,
)


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.delenv("DRCLI_PROJECT", raising=False)
    for name in ("room-a", "room-b"):
        (tmp_path / "inventories" / name).mkdir(parents=True)
        (tmp_path / "inventories" / name / "site.yml").touch()
    return tmp_path


def test_the_project_is_found_from_any_folder_below_it(project):
    below = project / "playbooks" / "roles"
    below.mkdir(parents=True)
    assert find_project(below) == project


def test_the_project_is_found_from_where_one_stands(project, monkeypatch):
    monkeypatch.chdir(project)
    assert find_project() == project


def test_the_environment_names_the_project_outright(project, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.setenv("DRCLI_PROJECT", str(project))
    assert find_project() == project


def test_no_project_says_how_to_name_one(tmp_path_factory, monkeypatch):
    monkeypatch.delenv("DRCLI_PROJECT", raising=False)
    with pytest.raises(InputError) as caught:
        find_project(tmp_path_factory.mktemp("elsewhere"))
    assert "DRCLI_PROJECT" in caught.value.hint


def test_a_named_folder_that_is_no_project_is_refused_not_searched_above(project, monkeypatch):
    monkeypatch.setenv("DRCLI_PROJECT", str(project / "inventories" / "room-a"))
    with pytest.raises(InputError, match="DRCLI_PROJECT"):
        find_project()


def test_sites_are_the_folders_with_a_site_file(project):
    (project / "inventories" / "shared").mkdir()
    (project / "inventories" / "Not A Name").mkdir()
    (project / "inventories" / "Not A Name" / "site.yml").touch()
    assert site_names(project) == ("room-a", "room-b")


@pytest.mark.parametrize(
    "name",
    ["../../etc", "/etc", "-rf", "--help", "room-a\n", "room-a/../room-b", "", ".", "..", "ROOM-A",
     "r\u043e\u043em-a", "room\u2010a", "room a", "a" * 64, "room-a\x00", "{{ x }}", "\udcff"],
)  # fmt: skip
def test_what_cannot_be_a_sites_name_is_refused(project, name):
    with pytest.raises(InputError, match="cannot be a site's name") as caught:
        site_folder(project, name)
    assert caught.value.message.isprintable()


def test_an_unknown_site_gets_the_near_one(project):
    with pytest.raises(InputError, match="did you mean 'room-a'"):
        site_folder(project, "rooma")


def test_a_site_that_a_link_leads_out_of_the_project_is_refused(project, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "site.yml").touch()
    (project / "inventories" / "room-c").symlink_to(outside)
    with pytest.raises(InputError, match="leads out of the project"):
        site_folder(project, "room-c")


def test_a_link_that_leads_to_itself_is_refused(project):
    (project / "round").symlink_to(project / "round")
    with pytest.raises(InputError, match=r"round: cannot be followed: "):
        require_inside(project, project / "round")


@pytest.mark.parametrize(
    ("named", "told"), [("~nosuch/x", "no user 'nosuch'"), ("/" + "a" * 300, "DRCLI_PROJECT=/aaa")]
)
def test_a_project_that_cannot_be_is_refused(monkeypatch, named, told):
    monkeypatch.setenv("DRCLI_PROJECT", named)
    with pytest.raises(InputError, match=told):
        find_project()


def test_a_folder_of_sites_that_cannot_be_read_is_named(project, monkeypatch):
    def unreadable(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(project), "iterdir", unreadable)
    with pytest.raises(InputError, match=r"inventories: cannot be read: Permission denied"):
        site_names(project)


def test_a_name_with_no_near_one_gets_what_there_is():
    assert did_you_mean("zzz", ["dns", "time"]) == "; there are: dns, time"
    assert did_you_mean("zzz", []) == "; there is none"
