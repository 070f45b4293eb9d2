"""Drills on the lab of hosting-a: one without a cut, and one that a person without any knowledge
of the site must understand. `make drills` runs every scenario."""

from __future__ import annotations

import json

import pytest
from on_the_lab import SITE

pytestmark = pytest.mark.lab


def drill(lab, name):
    """A drill on the lab that is up: it is left up, with its faults taken back."""
    ended = lab("drill", "--site", SITE, "--scenario", name, "--json")
    assert ended.code == 0, ended
    return json.loads(ended.out), ended


def test_three_lost_configurations_are_noticed_by_their_gates_and_mended(lab):
    score, _ = drill(lab, "configurations-lost")
    assert [fault["name"] for fault in score["faults"] if fault["noticed"] and fault["met"]] == [
        "router-config-lost",
        "dns-zone-corrupt",
        "imaging-wrong-database",
    ]
    assert set(score["proves"]) >= {"routing", "dns", "imaging"}
    assert score["lost"] == 0
    assert score["acknowledged"] > 0
    assert "drill configurations-lost, passed" in lab("runs", "--site", SITE).out
    proof = json.loads(lab("proof", "--site", SITE, "--json").out)
    standing = {each["component"]: each["standing"] for each in proof["proofs"]}
    assert standing["dns"] == "proven"


def test_the_console_alone_tells_what_a_nameserver_that_stays_dark_means(lab):
    score, _ = drill(lab, "nameserver-stays-dark")
    assert score["expert_absent"]
    assert score["untold"] == []
    assert score["held"] == ["dns", "time"]
    assert score["site"]["actual"] is None
    assert score["layers"]["storage"]["actual"] is None
