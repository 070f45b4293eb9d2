"""`make faults`: only a run of all writes the page, and only with rows of the code as it is."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from faults_on_the_lab import Row, Site
from reliability import faults

SITE = Site((), {"gone": {}, "late": {}})
EMPTY = f"before\n{faults.BEGIN}\nold\n{faults.END}\nafter\n"


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page of a site with two faults and a service, whose rows cost no lab."""
    path = tmp_path / "reliability.md"
    path.write_text(EMPTY)
    lab = SimpleNamespace(must=lambda *_: None, recover=lambda *_, **__: SimpleNamespace(code=0))
    for name, value in {
        "PAGE": path,
        "KEPT": tmp_path / "build/faults.json",
        "Lab": lambda _: lab,
        "read_site": lambda _: SITE,
        "SERVICES": {"dns": {"unbound": ("ns1",)}},
        "MUTATIONS": [("dns", "unbound", "ns1")],
        "CODE": "now",
        "try_fault": lambda _lab, _site, name: Row(name, "held", "dns", "held"),
        "stop_service": lambda _lab, _component, unit, host: Row(
            f"{unit} stopped on {host}", "red"
        ),
    }.items():
        monkeypatch.setattr(faults, name, value)
    return path


def rows(page):
    lines = page.read_text().splitlines()
    return [line.split(" | ")[0] for line in lines if line.startswith("| ") and "|---" not in line]


ALL = ["| fault", "| gone", "| late", "| unbound stopped on ns1"]


def test_all_of_them_stand_on_the_page_in_their_order(page):
    assert faults.main([]) == 0
    assert rows(page) == ALL
    assert "old" not in page.read_text()


@pytest.mark.parametrize("chosen", ["gone", "dns"])
def test_one_alone_leaves_the_page_as_it_was(page, chosen):
    assert faults.main([chosen]) == 0
    assert page.read_text() == EMPTY


def test_a_row_of_other_code_is_made_anew_and_one_of_this_code_is_kept(page, monkeypatch):
    assert faults.main(["gone"]) == 0
    monkeypatch.setattr(faults, "CODE", "later")
    assert faults.main(["late"]) == 0
    assert list(json.loads(faults.KEPT.read_text())) == ["late"]
    tried = []

    def try_fault(_lab, _site, name):
        tried.append(name)
        return Row(name, "held", "dns", "held")

    monkeypatch.setattr(faults, "try_fault", try_fault)
    assert faults.main([]) == 0
    assert tried == ["gone"]
    assert rows(page) == ALL


def test_one_that_was_broken_off_leaves_the_page_as_it_was(page, monkeypatch):
    def break_off(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(faults, "stop_service", break_off)
    with pytest.raises(KeyboardInterrupt):
        faults.main([])
    assert page.read_text() == EMPTY
