"""What is read of playbooks and gates without running them."""

from __future__ import annotations

import os

import pytest

from orchestrator.errors import InputError
from orchestrator.sources import content_hash, minimum_checks


@pytest.fixture
def gate(tmp_path):
    def write(content):
        path = tmp_path / "test_gate.py"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.mark.parametrize(
    "text", ["minimum_checks = 4", "minimum_checks: int = 4", "import x\n\nminimum_checks = 4\n"]
)
def test_the_number_is_read_where_it_stands(gate, text):
    assert minimum_checks(gate(text)) == 4


def test_a_name_that_is_no_checks_may_be_there_twice(gate):
    text = "minimum_checks = 1\nif x:\n    def f(): 0\nelse:\n    def f(): 1\ndef f(): 2\n"
    assert minimum_checks(gate(text)) == 1


def test_the_gate_is_never_run(gate, tmp_path):
    path = gate(f"open({str(tmp_path / 'ran')!r}, 'w')\nminimum_checks = 1\nraise SystemExit\n")
    assert minimum_checks(path) == 1
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "branch",
    [
        "if x:\n{}",
        "if x: 0\nelse:\n{}",
        "with x:\n{}",
        "try:\n{}\nfinally: 0",
        "try: 0\nexcept OSError:\n{}",
        "try: 0\nfinally:\n{}",
        "if x:\n with x:\n {}",
    ],
)
def test_a_check_of_a_branch_has_a_name_of_its_own(gate, branch):
    text = branch.format(" def test_a(host): 0")
    with pytest.raises(InputError, match="test_a is already on line"):
        minimum_checks(gate(f"minimum_checks = 1\n{text}\ndef test_a(host): 1\n"))


@pytest.mark.parametrize(
    "text",
    [
        "class TestA:\n def test_a(self): 0\nclass TestB:\n def test_a(self): 0\ndef test_a(h): 0",
        "if x:\n def test_a(host): 0\nelse:\n def test_a(host): 1",
        "try:\n def test_a(host): 0\nexcept OSError:\n def test_a(host): 1",
        "def helper(): 0\ndef helper(): 1",
    ],
)
def test_a_name_may_stand_in_two_scopes_and_in_either_branch(gate, text):
    assert minimum_checks(gate(f"minimum_checks = 1\n{text}\n")) == 1


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1:1: minimum_checks is not declared"),
        ("def f():\n    minimum_checks = 4\n", ":1:1: minimum_checks is not declared"),
        ("x = minimum_checks\n", ":1:1: minimum_checks is not declared"),
        ("minimum_checks = 0", ":1:18: minimum_checks must be a number from 1"),
        ("minimum_checks = -1", ":1:18: minimum_checks must be a number from 1"),
        ("minimum_checks = True", ":1:18: minimum_checks must be a number from 1"),
        ("minimum_checks = '4'", ":1:18: minimum_checks must be a number from 1"),
        ("minimum_checks = 4.0", ":1:18: minimum_checks must be a number from 1"),
        ("minimum_checks = len('abcd')", ":1:18: minimum_checks must be a number from 1"),
        ("minimum_checks = 2 + 2", ":1:18: minimum_checks must be a number from 1"),
        ("minimum_checks = 4\nminimum_checks = 1\n", ":2:18: minimum_checks is declared more"),
        (
            "minimum_checks = 1\ndef test_a(host): 0\n@mark\nasync def test_a(host): 1\n",
            ":4:1: test_a is already on line 2",
        ),
        (
            "minimum_checks = 1\nclass TestA: 0\nclass TestA: 1\n",
            ":3:1: TestA is already on line 2",
        ),
        (
            "minimum_checks = 1\nclass TestA:\n def test_a(self): 0\n def test_a(self): 1\n",
            ":4:2: test_a is already on line 3",
        ),
        (
            "try:\n def test_a(host): 0\nfinally:\n def test_a(host): 1\nminimum_checks = 1\n",
            ":4:2: test_a is already on line 2",
        ),
        ("a = 1\ndef f(:\n", ":2:7: not Python: "),
        ("a = '\\d'\nminimum_checks = 0\n", ":2:18: minimum_checks must be"),
        (b"minimum_checks = 4\x00", ":1:"),
        (b"# \xff\nminimum_checks = 4", ":1:"),
        ("(" * 100_000, ":1:"),
        ("-" * 100_000 + "1", ":1:"),
    ],
)
def test_a_gate_that_does_not_say_it_is_refused_with_its_place(gate, text, told):
    with pytest.raises(InputError) as caught:
        minimum_checks(gate(text))
    assert caught.value.message.partition("test_gate.py")[2].startswith(told)


def test_the_hash_is_the_same_for_the_same_files_wherever_they_lie(make_project, tmp_path):
    project = make_project()
    moved = tmp_path / "moved"
    project.rename(moved)
    assert content_hash(moved, "room-a") == content_hash(moved, "room-a")
    before = content_hash(moved, "room-a")
    moved.rename(project)
    assert content_hash(project, "room-a") == before


@pytest.mark.parametrize(
    "path",
    ["ansible.cfg", "inventories/room-a/site.yml", "inventories/room-a/hosts.yml",
     "inventories/room-a/group_vars/all.yml", "inventories/room-a/host_vars/r1/x.yml",
     "playbooks/network/routing.yml", "playbooks/network/test_routing.py", "playbooks/conftest.py",
     "playbooks/roles/dns/tasks/main.yml", "playbooks/roles/dns/templates/zone.j2"],
)  # fmt: skip
def test_the_hash_changes_with_each_file_that_a_recovery_reads(make_project, path):
    project = make_project()
    hashes = {content_hash(project, "room-a")}
    file = project / path
    file.parent.mkdir(parents=True, exist_ok=True)
    for content in (b"one", b"two", b""):
        file.write_bytes(content)
        hashes.add(content_hash(project, "room-a"))
    file.rename(file.with_name("renamed"))
    hashes.add(content_hash(project, "room-a"))
    assert len(hashes) == 5


@pytest.mark.parametrize(
    "path",
    ["marks/routing-r1", "inventories/room-b/site.yml", "inventories/room-a/lab/lab.yml",
     "playbooks/network/__pycache__/test_routing.cpython-311.pyc", "README.md"],
)  # fmt: skip
def test_the_hash_does_not_change_with_other_files(make_project, path):
    project = make_project()
    before = content_hash(project, "room-a")
    (project / path).parent.mkdir(parents=True, exist_ok=True)
    (project / path).write_text("x")
    assert content_hash(project, "room-a") == before


def test_the_hash_tells_where_one_file_ends_and_the_next_begins(make_project):
    project = make_project()
    (project / "playbooks/a").write_text("b")
    first = content_hash(project, "room-a")
    (project / "playbooks/a").unlink()
    (project / "playbooks/ab").write_text("")
    assert content_hash(project, "room-a") != first


def test_a_link_counts_as_what_it_leads_to(make_project):
    project = make_project()
    shared = project / "inventories" / "shared"
    shared.mkdir()
    (shared / "all.yml").write_text("a: 1")
    (project / "inventories/room-a/group_vars").symlink_to(shared)
    before = content_hash(project, "room-a")
    (shared / "all.yml").write_text("a: 2")
    assert content_hash(project, "room-a") != before


def test_a_link_out_of_the_project_is_refused(make_project, tmp_path_factory):
    project = make_project()
    (project / "playbooks/roles").symlink_to(tmp_path_factory.mktemp("outside"))
    with pytest.raises(InputError, match="leads out of the project"):
        content_hash(project, "room-a")


def test_a_link_that_leads_round_ends(make_project):
    project = make_project()
    (project / "playbooks/round").symlink_to(project / "playbooks")
    assert content_hash(project, "room-a")


def test_a_folder_that_cannot_be_read_is_named(make_project, monkeypatch):
    project = make_project()
    monkeypatch.setattr(type(project), "iterdir", unreadable)
    with pytest.raises(InputError, match=r"playbooks: cannot be read: Permission denied"):
        content_hash(project, "room-a")


def unreadable(path):
    raise PermissionError(13, "Permission denied", str(path))


def test_a_named_pipe_is_not_waited_for(make_project):
    project = make_project()
    os.mkfifo(project / "playbooks/pipe")
    assert content_hash(project, "room-a")
