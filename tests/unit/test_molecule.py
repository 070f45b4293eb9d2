"""The Molecule scenarios: each runs its layer's playbooks, and a red gate is red for a reason."""

from __future__ import annotations

import importlib.util
import sys

import pytest
from on_the_lab import PROJECT, SITE
from ruamel.yaml import YAML

from orchestrator.inventory import load_inventory
from orchestrator.plan import make_plan
from orchestrator.site import load_site

SCENARIOS = PROJECT / "molecule"


def load_gates():
    spec = importlib.util.spec_from_file_location("molecule_gates", SCENARIOS / "steps/gates.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


gates = load_gates()


def read(path):
    return YAML(typ="safe").load(path)


@pytest.fixture(scope="module")
def components():
    inventory = load_inventory(PROJECT / "inventories" / SITE / "hosts.yml")
    return make_plan(PROJECT, load_site(PROJECT, SITE), inventory).components


def test_every_layer_has_a_scenario_and_make_runs_them_in_the_sites_order(components):
    layers = list(dict.fromkeys(component.layer for component in components))
    assert sorted(path.parent.name for path in SCENARIOS.glob("*/molecule.yml")) == sorted(layers)
    assert f"SCENARIO := {' '.join(layers)}\n" in (PROJECT / "Makefile").read_text()


@pytest.mark.parametrize("layer", ["network", "storage", "applications"])
def test_a_scenario_runs_exactly_its_layers_playbooks_in_the_sites_order(components, layer):
    folder = SCENARIOS / layer
    imported = [
        (folder / play["ansible.builtin.import_playbook"]).resolve()
        for play in read(folder / "converge.yml")
    ]
    assert imported == [one.playbook for one in components if one.layer == layer]


@pytest.mark.parametrize("layer", ["network", "storage", "applications"])
def test_what_a_scenario_breaks_is_of_its_layer_and_has_that_check(components, layer):
    broken = read(SCENARIOS / layer / "broken.yml")["broken"]
    [component] = [one for one in components if one.name == broken["component"]]
    assert component.layer == layer
    assert broken["host"] in component.hosts
    assert f"def {broken['check'].partition('[')[0]}(" in component.gate.read_text()


def check(name, *, component="dns", says="", red=False):
    return gates.Check(component, name, says, red)


RED = check("runs[ns2]", says="unbound is inactive", red=True)
WANTED = ("dns", "runs", "ns2", "unbound is inactive")


def test_red_for_the_named_reason_is_what_must_be():
    assert not gates.why_not_red(1, [RED, check("runs[ns1]")], *WANTED)


@pytest.mark.parametrize(
    ("code", "checks", "says"),
    [
        (0, [check("runs[ns2]")], "exit code 0"),
        (2, [RED], "exit code 2"),
        (1, [check("answers[ns2]", red=True)], "no check runs on ns2"),
        (1, [check("runs[ns2]"), check("answers[ns2]", red=True)], "proves nothing"),
        (1, [check("runs[ns2]", says="unreachable", red=True)], "another reason"),
        (1, [RED, check("routes[r1]", component="routing", red=True)], "also routing"),
    ],
)
def test_a_gate_that_is_not_red_for_the_named_reason_is_told(code, checks, says):
    assert says in gates.why_not_red(code, checks, *WANTED)


@pytest.mark.parametrize(
    ("code", "checks", "says"),
    [
        (0, [check("runs[ns1]")], ""),
        (1, [RED], "1 of 1 checks are red"),
        (0, [], "no check of dns was run"),
        (1, [check("runs[ns1]")], "drcli verify ended with exit code 1"),
    ],
)
def test_gates_are_green_when_each_component_was_checked_and_nothing_was_red(code, checks, says):
    assert gates.why_not_green(code, checks, ["dns"]) == says


def test_a_skipped_check_in_a_junit_file_is_red():
    junit = (
        '<testsuites><testsuite name="network.dns"><testcase name="a[ns1]"/>'
        '<testcase name="b[ns1]"><skipped message="no time"/></testcase></testsuite></testsuites>'
    )
    assert [(one.name, one.red) for one in gates.read_junit(junit)] == [
        ("a[ns1]", False),
        ("b[ns1]", True),
    ]
