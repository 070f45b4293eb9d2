"""Playbooks, roles, collections and vaults: what is missing is told by file and line."""

from __future__ import annotations

import textwrap

import pytest

from orchestrator.controller import Controller
from orchestrator.inventory import load_inventory
from orchestrator.plan import Component
from orchestrator.playbook_sources import Sources, vault_findings

PLAY = "- hosts: all\n  tasks:\n    - ansible.builtin.debug: {msg: x}\n"


@pytest.fixture
def project(tmp_path):
    class Project:
        folder = tmp_path

        def write(self, name, text):
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
            return path

        def findings(self, playbook=PLAY):
            hosts = self.write("inventories/room-a/hosts.yml", "all: {hosts: {h1: }}")
            path = self.write("playbooks/network/dns.yml", playbook)
            component = Component(
                name="dns", layer="network", hosts=("h1",), playbook=path, gate=path,
                minimum_checks=1, needs=(), stands_on=(), settle=0, timeout=1,
            )  # fmt: skip
            sources = Sources(tmp_path, load_inventory(hosts), [component])
            return [self._told(finding) for finding in sources.findings()]

        def vaults(self, *sources):
            controller = Controller(project=tmp_path, state=tmp_path, vault_sources=sources)
            return [self._told(finding) for finding in vault_findings(controller, "room-a")]

        def _told(self, finding):
            assert finding.mend
            assert finding.severity.value == "blocks"
            return finding.name, finding.where.removeprefix(f"{tmp_path}/"), finding.what

    return Project()


def test_a_sound_playbook_with_its_roles_is_no_finding(project):
    project.write("playbooks/roles/web/tasks/main.yml", "- ansible.builtin.meta: noop\n")
    project.write("playbooks/roles/base/tasks/main.yml", "- ansible.builtin.meta: noop\n")
    project.write("playbooks/roles/web/meta/main.yml", "dependencies: [{role: base}]\n")
    project.write("ansible.cfg", "[defaults]\nroles_path = playbooks/roles\n")
    assert project.findings(f"{PLAY}- hosts: all\n  roles: [web]\n") == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- hosts: all\n  roles:\n    - nosuch\n", 3),
        ("- hosts: all\n  roles: [{role: nosuch, x: 1}]\n", 2),
        ("- hosts: all\n  tasks:\n    - block:\n        - include_role: {name: nosuch}\n", 4),
        ("- hosts: all\n  pre_tasks:\n    - import_role:\n        name: nosuch\n", 4),
    ],
)  # fmt: skip
def test_a_missing_role_is_told_with_file_and_line(project, text, line):
    told = ("roles", f"playbooks/network/dns.yml:{line}", "there is no role nosuch")
    assert project.findings(text) == [told]


def test_a_role_that_another_role_needs_is_looked_for_too(project):
    project.write("playbooks/network/roles/web/meta/main.yml", "dependencies: [nosuch]\n")
    [(name, where, _)] = project.findings("- hosts: all\n  roles: [web]\n")
    assert (name, where) == ("roles", "playbooks/network/roles/web/meta/main.yml:1")


@pytest.mark.parametrize(
    "text",
    [
        "- hosts: all\n  tasks:\n    - no.such.module: {}\n",
        "- hosts: all\n  handlers:\n    - {name: x, no.such.module: {}}\n",
        "- hosts: all\n  roles:\n    - no.such.role\n",
    ],
)
def test_a_missing_collection_is_told_with_file_and_line(project, text):
    told = ("collections", "playbooks/network/dns.yml:3", "collection no.such is not installed")
    assert project.findings(text) == [told]
    (project.folder / "collections/ansible_collections/no/such").mkdir(parents=True)
    assert project.findings(text) == []


def test_a_collection_of_requirements_yml_is_looked_for_too(project):
    project.write("playbooks/requirements.yml", "collections:\n  - name: no.such\n")
    assert [told[:2] for told in project.findings()] == [
        ("collections", "playbooks/requirements.yml:2")
    ]


def test_a_file_of_a_role_that_does_not_parse_is_told_with_its_line(project):
    project.write("playbooks/network/roles/web/tasks/main.yml", "- a: 1\n- b: [\n")
    [(name, where, what)] = project.findings("- hosts: all\n  roles: [web]\n")
    assert name == "playbook"
    assert where.startswith("playbooks/network/roles/web/tasks/main.yml:3")
    assert "YAML" in what


def test_an_encrypted_file_of_a_role_is_not_read(project):
    sealed = "$ANSIBLE_VAULT;1.1;AES256\n6162\n"
    project.write("playbooks/network/roles/web/vars/main.yml", sealed)
    assert project.findings("- hosts: all\n  roles: [web]\n") == []


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("inventories/room-a/group_vars/all/secret.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n", 1),
        ("inventories/room-a/host_vars/h1", "a: 1\nb: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n", 2),
        ("playbooks/roles/web/vars/main.yml", "$ANSIBLE_VAULT;1.2;AES256;prod\n6162\n", 1),
    ],
)
def test_encrypted_variables_without_a_password_block(project, name, text, line):
    project.write(name, text)
    told = ("vault-password", f"{name}:{line}", "it is encrypted, and there is no password for it")
    assert project.vaults() == [told]
    password = project.write("password", "x")
    assert project.vaults(f"prod@{password}") == []
    assert project.vaults("prod@prompt") == []
    project.write("ansible.cfg", "[defaults]\nvault_password_file = password\n")
    assert project.vaults() == []


def test_a_password_whose_file_is_not_there_blocks(project):
    [(name, where, _)] = project.vaults("prod@none")
    assert (name, where) == ("vault-password", "none")


def test_what_speaks_of_vaults_in_a_comment_is_not_encrypted(project):
    project.write("inventories/room-a/group_vars/all.yml", "a: 1  # not !vault yet\n")
    assert project.vaults() == []
