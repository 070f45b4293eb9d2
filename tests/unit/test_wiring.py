"""Which inventory files a run is given: the site's own, and its lab's where the lab is meant."""

from __future__ import annotations

import sys
from contextlib import closing
from types import ModuleType, SimpleNamespace

import pytest
from engine import FakeGates

from orchestrator.cli.person import person
from orchestrator.cli.wiring import load, wire
from orchestrator.command import next_command
from orchestrator.events import RunStarted
from orchestrator.recovery import verify
from orchestrator.report import state_line
from orchestrator.state import fold

LAYERS = {"network": [{"name": "routing", "hosts": "routers"}]}
BARE = "all: {children: {routers: {hosts: {r1: , r2: }}}}"
OWN = "all: {children: {routers: {hosts: {r1: {ansible_host: 192.0.2.1}, r2: }}}}"


@pytest.fixture
def wired(make_project, monkeypatch):
    """Return a function that wires a run and says which files it is given, and of which lab."""
    asked = []
    instance = ModuleType("orchestrator.lab.instance")

    def require_instance(project, site, name):
        asked.append((site, name))
        return SimpleNamespace(name=name or "own", hosts_file=project / f"{name or 'own'}.yml")

    instance.require_instance = require_instance
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
    assert wired(BARE) == (["hosts.yml", "own.yml"], [("room-a", None)])


def test_without_a_lab_hosts_that_say_nothing_are_reached_by_their_name(wired):
    assert wired(BARE, has_lab=False) == (["hosts.yml"], [])


def test_a_lab_that_is_named_is_meant_whatever_the_hosts_say(wired):
    assert wired(OWN, lab="mine") == (["hosts.yml", "mine.yml"], [("room-a", "mine")])


@pytest.mark.parametrize(
    ("hosts", "lab", "title"),
    [(OWN, "mine", "room-a (lab mine)"), (BARE, None, "room-a (lab own)"), (OWN, None, "room-a")],
    ids=["named", "the checkout's own", "none"],
)
def test_the_next_command_reaches_the_hosts_that_the_run_did(wired, hosts, lab, title):
    wired(hosts)
    part = {"layers": (), "components": ()}
    plan, options = wire("room-a", lab=lab, **part)
    with closing(verify(plan, FakeGates(), options=options)) as records:
        state = fold([next(records)])
    assert state_line(state).startswith(f"{title}: ")
    words = next_command(state).split()
    typed = words[words.index("--lab") + 1] if "--lab" in words else None
    assert wire("room-a", lab=typed, **part)[1].inventory == options.inventory


def test_a_journal_from_before_labs_were_named_in_it_is_read():
    old = {"kind": "run_started", "site": "room-a", "plan_hash": "0", "components": []}
    assert RunStarted.model_validate(old).lab == ""


def test_a_run_is_told_what_was_asked_for_and_has_an_id_of_its_own(make_project, monkeypatch):
    monkeypatch.setenv("DRCLI_PROJECT", str(make_project(LAYERS, extra={"max_parallel": 2})))
    made = [wire("room-a", lab=None, layers=("network",), components=()) for _ in range(2)]
    (plan, one), (_, other) = made
    assert (one.layers, one.selected, one.max_parallel) == (("network",), (), 2)
    assert [component.name for component in plan.components] == ["routing"]
    assert one.run != other.run


def test_what_no_password_at_hand_opens_stays_sealed_until_a_run(make_project):
    project = make_project(LAYERS, hosts=OWN)
    variables = project / "inventories/room-a/group_vars/all.yml"
    variables.parent.mkdir(exist_ok=True)
    variables.write_text("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6136\n")
    _, inventory = load(project, "room-a", vault=(("of another vault", "canary"),))
    assert inventory.all_hosts == ("r1", "r2")


def test_a_person_whose_name_is_not_utf_8_can_stand_in_the_journal(monkeypatch):
    monkeypatch.setenv("SUDO_USER", "m\udcffx")
    assert person() == "m?x"
    monkeypatch.delenv("SUDO_USER")
    monkeypatch.setenv("LOGNAME", "m\udcffx")
    assert person() == "m?x"
