"""An inventory is loaded once, and again as soon as a file of it changed."""

from __future__ import annotations

from threading import Event as Flag

import pytest

from orchestrator.attempt import environment
from orchestrator.errors import InputError
from orchestrator.gate_inventory import Inventories, with_options
from orchestrator.route import ansible_route
from orchestrator.work import AnsibleOptions

HOSTS = "all: {children: {servers: {hosts: {h1: {color: blue}}}}}\n"


@pytest.fixture
def load(tmp_path):
    inventories = Inventories()
    path = tmp_path / "hosts.yml"
    path.write_text(HOSTS)
    child = environment(tmp_path, "test/gate-inventory/1")
    return lambda: inventories.load(path, child, tmp_path, Flag())


def test_it_is_loaded_once(load):
    first = load()
    assert first["_meta"]["hostvars"]["h1"]["color"] == "blue"
    assert load() is first


def test_it_is_loaded_again_when_a_variable_file_comes_or_changes(load, tmp_path):
    load()
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/servers.yml").write_text("size: 1\n")
    assert load()["_meta"]["hostvars"]["h1"]["size"] == 1
    (tmp_path / "group_vars/servers.yml").write_text("size: 22\n")
    assert load()["_meta"]["hostvars"]["h1"]["size"] == 22


def test_one_that_is_a_program_is_loaded_each_time(load, tmp_path):
    path = tmp_path / "hosts.yml"
    path.write_text(
        '#!/bin/sh\necho \'{"a": {"hosts": ["h1"]}, "_meta": {"hostvars": {"h1": {}}}}\'\n'
    )
    path.chmod(0o755)
    assert load() is not load()


@pytest.mark.parametrize("text", ["all: [\n", "", "\t- x\n", "all: {children: {}}\n"])
def test_one_that_cannot_be_read_is_an_error(load, tmp_path, text):
    (tmp_path / "hosts.yml").write_text(text)
    with pytest.raises(InputError, match="no host could be read"):
        load()


def test_options_count_for_every_host_as_ansible_has_it(load, tmp_path):
    (tmp_path / "hosts.yml").write_text(
        "all: {hosts: {bare: , own: {ansible_become_pass: inventory, color: blue}}}\n"
    )
    content = load()
    options = AnsibleOptions(extra_vars={"color": "red"}, become_password="typed")
    hosts = with_options(content, options)["_meta"]["hostvars"]
    assert hosts["bare"] == {"ansible_become_password": "typed", "color": "red"}
    assert (hosts["own"]["color"], hosts["own"]["ansible_become_pass"]) == ("red", "inventory")
    assert content["_meta"]["hostvars"] == {
        "own": {"ansible_become_pass": "inventory", "color": "blue"}
    }


@pytest.mark.parametrize("name", ["ansible_become_password", "ansible_become_pass"])
def test_a_become_password_of_the_inventory_counts(name):
    content = {"_meta": {"hostvars": {"h": {name: "inventory", "ansible_become": True}}}}
    found = with_options(content, AnsibleOptions(become_password="typed"))
    assert ansible_route("h", found["_meta"]["hostvars"]["h"]).become_password == "inventory"
