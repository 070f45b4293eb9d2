"""`drcli validate`: every mistake of every site at once, through the real command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def test_a_good_project_is_ok_and_the_last_line_says_what_to_do_next(make_project, drcli):
    done = drcli("validate", cwd=make_project())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "inventories/room-a/site.yml: ok: 4 components on 5 hosts",
        "1 of 1 sites are ok. Next: drcli plan --site room-a",
    ]


def test_mistakes_of_all_sites_and_of_all_their_files_are_told_at_once(make_project, drcli):
    project = make_project()
    (project / "playbooks/storage/test_volumes.py").write_text("minimum_checks = 'x'\n")
    (project / "playbooks/storage/database.yml").unlink()
    shutil.copytree(project / "inventories/room-a", project / "inventories/room-b")
    (project / "inventories/room-b/hosts.yml").write_text("all:\n\thosts:\n")
    done = drcli("validate", cwd=project)
    assert done.returncode == 2
    assert "inventories/room-a/site.yml: WRONG" in done.stdout
    assert "inventories/room-b/site.yml: WRONG" in done.stdout
    for told in (
        "test_volumes.py:1:18: minimum_checks must be a number",
        "database.yml: no such file, the playbook of component database",
        "room-b/site.yml:2:10: site: is not the name of its folder, 'room-b'",
        "room-b/hosts.yml:2:1: YAML parsing failed",
    ):
        assert told in done.stderr
    assert done.stderr.splitlines()[-1] == "hint: Correct each of these, then: drcli validate"


@pytest.mark.parametrize("words", [["validate"], ["plan", "--site", "room-a"]])
def test_a_variable_that_no_gate_can_be_given_is_told_before_a_run(make_project, drcli, words):
    project = make_project()
    variables = project / "inventories/room-a/group_vars/all.yml"
    variables.parent.mkdir(exist_ok=True)
    variables.write_text("loop: &x [*x]\nansible_host: *x\n")
    done = drcli(*words, cwd=project)
    assert done.returncode == 2
    assert "variable loop: nested deeper than" in done.stderr


def test_one_site_can_be_asked_for(make_project, drcli):
    project = make_project()
    shutil.copytree(project / "inventories/room-a", project / "inventories/room-b")
    assert drcli("validate", "--site", "room-a", cwd=project).returncode == 0


def test_hosts_of_no_component_are_a_warning_not_an_error(make_project, drcli):
    project = make_project({"network": [{"name": "dns", "hosts": "all:!img1"}]})
    done = drcli("validate", cwd=project)
    assert done.returncode == 0
    assert done.stderr == "warning: host img1 belongs to no component: nothing recovers it\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "site.yml:1:1: nothing is not a mapping"),
        (b"site: room-a\n\tlayers:\n", "indent with spaces, not tabs"),
        (b"site: room-a\nsite: room-a\n", "site: written twice, first in line 1"),
        (b"site: !!python/object/apply:os.system ['id']", "is refused; write a plain value"),
        (b"[" * 20_000, "nested deeper than"),
        (b"a: " + b"x" * 10_000_000, "larger than"),
        (
            b"a: &a [x,x,x,x,x,x,x,x,x]\n"
            + b"".join(
                b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9))
                for n in range(12)
            ),
            "once aliases are expanded",
        ),
        (b'site: \'{{ lookup("pipe", "id") }}\'\n', "Jinja is refused"),
    ],
)
def test_a_bad_site_file_is_exit_code_2_with_its_place_and_no_traceback(
    make_project, drcli, content, told
):
    done = drcli("validate", cwd=make_project(site=content))
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["../../etc", "-rf", "", "room-a\n", "room-b"])
def test_a_site_that_is_none_is_refused(make_project, drcli, name):
    done = drcli("validate", f"--site={name}", cwd=make_project())
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_a_project_without_a_site_is_refused(tmp_path, drcli):
    (tmp_path / "inventories").mkdir()
    done = drcli("validate", cwd=tmp_path)
    assert done.returncode == 2
    assert "no site in" in done.stderr


def test_the_project_is_found_from_below_by_option_and_by_environment(
    make_project, drcli, tmp_path_factory
):
    project, elsewhere = make_project(), tmp_path_factory.mktemp("elsewhere")
    assert drcli("validate", cwd=project / "playbooks/network").returncode == 0
    assert drcli("--project", project, "validate", cwd=elsewhere).returncode == 0
    named = {"DRCLI_PROJECT": str(project)}
    assert drcli("validate", cwd=elsewhere, env=named).returncode == 0
    lost = drcli("validate", cwd=elsewhere)
    assert lost.returncode == 2
    assert "--project or DRCLI_PROJECT" in lost.stderr


def test_nothing_is_run_or_written(make_project, drcli):
    project = make_project()
    gate = project / "playbooks/network/test_routing.py"
    gate.write_text(f"open({str(project / 'ran')!r}, 'w')\n{gate.read_text()}")
    before = sorted(project.rglob("*"))
    assert drcli("validate", cwd=project).returncode == 0
    assert sorted(project.rglob("*")) == before


def test_the_sites_of_this_repository_are_ok():
    done = subprocess.run(
        [Path(sys.executable).with_name("drcli"), "validate"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
