"""Which inventory files a run is given: the site's own, and its lab's where the lab is meant."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from orchestrator.cli.wiring import wire

LAYERS = {"network": [{"name": "routing", "hosts": "routers"}]}
BARE = "all: {children: {routers: {hosts: {r1: , r2: }}}}"
OWN = "all: {children: {routers: {hosts: {r1: {ansible_host: 192.0.2.1}, r2: }}}}"


@pytest.fixture
def wired(make_project, monkeypatch):
    """Return a function that wires a run and says which files it is given, and of which lab."""
    asked = []
    instance = ModuleType("orchestrator.lab.instance")

    def overlay(project, site, name):
        asked.append((site, name))
        return project / "overlay.yml"

    instance.overlay = overlay
    monkeypatch.setitem(sys.modules, "orchestrator.lab.instance", instance)

    def files(hosts, *, has_lab=True, lab=None):
        project = make_project(LAYERS, hosts=hosts)
        monkeypatch.setenv("DRCLI_PROJECT", str(project))
        if has_lab:
            (project / "inventories/room-a/lab").mkdir()
            (project / "inventories/room-a/lab/lab.yml").touch()
        _, options = wire("room-a", lab=lab, layers=(), components=())
        return [path.name for path in options.inventory], asked

    return files


def test_hosts_that_say_how_they_are_reached_are_the_site_s_own(wired):
    assert wired(OWN) == (["hosts.yml"], [])


def test_hosts_that_say_nothing_are_those_of_the_lab_of_the_site(wired):
    assert wired(BARE) == (["hosts.yml", "overlay.yml"], [("room-a", None)])


def test_without_a_lab_hosts_that_say_nothing_are_reached_by_their_name(wired):
    assert wired(BARE, has_lab=False) == (["hosts.yml"], [])


def test_a_lab_that_is_named_is_meant_whatever_the_hosts_say(wired):
    assert wired(OWN, lab="mine") == (["hosts.yml", "overlay.yml"], [("room-a", "mine")])


def test_a_run_is_told_what_was_asked_for_and_has_an_id_of_its_own(make_project, monkeypatch):
    monkeypatch.setenv("DRCLI_PROJECT", str(make_project(LAYERS, extra={"max_parallel": 2})))
    made = [wire("room-a", lab=None, layers=("network",), components=()) for _ in range(2)]
    (plan, one), (_, other) = made
    assert (one.layers, one.selected, one.max_parallel) == (("network",), (), 2)
    assert [component.name for component in plan.components] == ["routing"]
    assert one.run != other.run
