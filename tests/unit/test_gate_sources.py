"""Gates that can never be green, told from their files without running them."""

from __future__ import annotations

import textwrap

import pytest

from orchestrator.gate_sources import gate_findings
from orchestrator.plan import Component


@pytest.fixture
def findings(tmp_path):
    """What is found of a gate of this text, beside a conftest.py of that one."""

    def find(gate, conftest=""):
        folder = tmp_path / "playbooks/network"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "test_dns.py"
        path.write_text(textwrap.dedent(gate))
        (tmp_path / "playbooks/conftest.py").write_text(textwrap.dedent(conftest))
        component = Component(
            name="dns",
            layer="network",
            hosts=("ns1", "ns2"),
            playbook=folder / "dns.yml",
            gate=path,
            minimum_checks=1,
            needs=(),
            stands_on=(),
            settle=0,
            timeout=1,
        )
        found = gate_findings(tmp_path, [component])
        return [
            (f.name, f.severity.value, f.where.removeprefix(f"{tmp_path}/playbooks/"), f.what)
            for f in found
        ]

    return find


GOOD = "def test_a(host):\n    assert host\n"


@pytest.mark.parametrize(
    "text",
    [
        "import os.path, pytest, testinfra\nfrom collections.abc import Iterator\n",
        "from __future__ import annotations\n",
        "try:\n    import nowhere_installed\nexcept ImportError:\n    pass\n",
        "def late():\n    import nowhere_installed\n",
        "from . import sibling\n",
        "import test_dns\n",  # beside it
    ],
)
def test_what_is_installed_tried_or_late_is_no_finding(findings, text):
    assert findings(text + GOOD) == []


@pytest.mark.parametrize(
    "text", ["import nowhere_installed.x\n", "from nowhere_installed.y import z\n"]
)
def test_an_import_of_what_is_not_installed_blocks_with_its_line(findings, text):
    for where, found in (
        ("network/test_dns.py:2", findings(f"import os\n{text}{GOOD}")),
        ("conftest.py:2", findings(GOOD, f"import os\n{text}")),
    ):
        [(name, severity, place, what)] = found
        assert (name, severity, place) == ("gate-import", "blocks", where)
        assert "nowhere_installed" in what


def test_nothing_is_executed_by_looking(findings, tmp_path):
    mark = tmp_path / "ran"
    module = tmp_path / "playbooks/network/beside.py"
    module.parent.mkdir(parents=True)
    module.write_text(f"open({str(mark)!r}, 'w')\n")
    assert findings(f"import beside\nopen({str(mark)!r}, 'w')\n{GOOD}") == []
    assert not mark.exists()


def test_a_gate_without_a_check_blocks(findings):
    [(name, severity, where, _)] = findings("minimum_checks = 1\n")
    assert (name, severity, where) == ("gate", "blocks", "network/test_dns.py:1")


@pytest.mark.parametrize(
    ("gate", "conftest"),
    [
        (GOOD, ""),
        ("class TestA:\n    def test_a(self, host): ...\n", ""),
        ("def test_a(dig): ...\n", "@f\ndef dig(asked): ...\n@f\ndef asked(host): ...\n"),
        ("def test_a(from_a_plugin): ...\n", ""),
        ("@pytest.mark.usefixtures('x')\ndef test_a(): ...\n", ""),
        ("def test_a(): ...\ndef test_b(host): ...\n", ""),
    ],
)  # fmt: skip
def test_a_gate_that_may_look_at_its_hosts_is_no_finding(findings, gate, conftest):
    assert findings(gate, conftest) == []


@pytest.mark.parametrize(
    ("gate", "conftest"),
    [
        ("def test_a(): ...\n", ""),
        ("def test_a(tmp_path, monkeypatch): ...\n", ""),
        ("@parametrize('a, b', [(1, 2)])\ndef test_a(a, b): ...\n", ""),
        ("def test_a(ours): ...\n", "@fixture\ndef ours(tmp_path): ...\n"),
        ("@fixture\ndef a(b): ...\n@fixture\ndef b(a): ...\ndef test_a(a): ...\n", ""),
    ],
)
def test_a_gate_that_looks_at_no_host_blocks_and_names_the_hosts(findings, gate, conftest):
    [(name, severity, _, what)] = findings(gate, conftest)
    assert (name, severity) == ("unchecked-host", "blocks")
    assert "ns1, ns2" in what


def test_a_file_that_is_not_python_is_left_to_the_plan(findings):
    assert findings("def (") == []
