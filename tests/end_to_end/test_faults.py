"""Every fault of `drcli lab break`: recovered, or the run stops at the right component."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager

import pytest
from on_the_lab import PROJECT, SITE, on, red
from ruamel.yaml import YAML

pytestmark = pytest.mark.lab

CATALOGUE = PROJECT / "inventories" / SITE / "lab" / "faults.yml"
# What a recovery mends comes first: each of these starts from a whole site. The others are undone,
# and mended by the recovery that meets the next fault; their `reason` tells them apart.
FAULTS = sorted(YAML(typ="safe").load(CATALOGUE)["faults"], key=lambda f: f["expect"] == "held")


@pytest.fixture(scope="module")
def whole(lab):
    """The site without a fault."""
    recover(lab)
    return lab


# What a fault of one component makes another one's gate see.
SEEN_BY = {"firewall-flushed": ("probe",)}

LOOK_AHEAD = 0  # the attempt of a look before a component's turn: nothing is done to it


def recover(lab):
    ended, _ = lab.recover()
    assert ended.code == 0, str(lab("show"))


@contextmanager
def alone(lab):
    """What a fault left whose test fails is not the next one's."""
    try:
        yield
    except Exception:
        ended, _ = lab.recover()
        if ended.code:
            lab.must("lab", "down", "--site", SITE)
            lab.must("lab", "up", "--site", SITE)
            recover(lab)
        raise


@pytest.fixture(scope="module")
def above(lab):
    """By component: all that stands on it, directly or not, as the plan has it."""
    components = json.loads(lab.must("plan", "--site", SITE, "--json").out)["components"]
    return {
        below["name"]: {c["name"] for c in components if below["name"] in c["stands_on"]}
        for below in components
    }


@pytest.fixture(scope="module")
def tried():
    """The faults that a test has given, by name."""
    return set()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["name"])
def test_fault(whole, fault, above, seen_red, tried):
    with alone(whole):
        give_and_recover(whole, fault, above, seen_red)
    tried.add(fault["name"])


def give_and_recover(whole, fault, above, seen_red):
    whole.must("lab", "break", fault["name"], "--site", SITE)
    try:
        looks_on = SEEN_BY.get(fault["name"], ())
        seen_red |= red(whole.checks(fault["component"], *looks_on))
        ended, events = whole.recover()
        if fault["expect"] == "recovered":
            assert ended.code == 0, ended
            for host in fault["hosts"]:
                on(host, "sh", "-euc", fault["proof"])
    finally:
        if fault["expect"] == "held" or "undo" in fault:
            whole.must("lab", "break", "--undo", fault["name"], "--site", SITE)
    gates = {e["component"]: e["green"] for e in reversed(events) if e["kind"] == "gate_finished"}
    assert gates[fault["component"]] is False, "the component's gate did not see the fault"
    if fault["expect"] == "held":
        assert ended.code == 1, ended
        assert_stopped_at(fault["component"], fault["reason"], events, above)


def assert_stopped_at(component, reason, events, above):
    """The component is down for the right reason; nothing that stands on it was started."""
    stopped = [
        event
        for event in events
        if event["kind"] in ("component_failed", "component_held")
        and event["component"] == component
    ]
    assert stopped, [e for e in events if e["kind"].startswith("component_")]
    told = [event for event in events if event.get("component") == component]
    said = "\n".join(text for event in told for text in texts(event))
    assert re.search(reason, said), said
    blocked = {e["component"] for e in events if e["kind"] == "component_blocked"}
    started = {
        e["component"]
        for e in events
        if e["kind"] == "playbook_started"
        or (e["kind"] == "gate_started" and e["attempt"] != LOOK_AHEAD)
    }
    assert above[component] <= blocked - started


def texts(value):
    """Every string in an event, as it was said."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)


def test_the_catalogue_has_at_least_twelve_faults_and_one_for_each_component(lab):
    listing = lab.must("lab", "break", "--list", "--site", SITE).out
    assert len(FAULTS) >= 12
    assert all(fault["name"] in listing for fault in FAULTS)
    plan = json.loads(lab.must("plan", "--site", SITE, "--json").out)
    assert {c["name"] for c in plan["components"]} == {f["component"] for f in FAULTS}


def test_every_check_of_every_gate_was_red_once(whole, seen_red, tried):
    """In the dark, or by a fault; and not only because a host was unreachable."""
    if tried != {fault["name"] for fault in FAULTS}:
        pytest.skip("only some of the faults were given and passed")
    every = {(e["component"], e["check"]) for e in whole.checks()}
    assert every - seen_red == set()


def test_the_site_is_whole_after_all_faults(whole):
    """Every fault that was undone is mended, and nothing was lost on the way."""
    recover(whole)
    verdict = whole.must("lab", "ledger", "--site", SITE)
    assert re.search(r"\b0 of \d+ acknowledged", verdict.out), verdict.out
