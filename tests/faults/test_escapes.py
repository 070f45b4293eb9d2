"""What a host says is text: it orders no terminal about, and its bytes cost no memory here."""

from __future__ import annotations

import os
import re
import resource
from pathlib import Path

import pytest
from small_site import SmallSite

from orchestrator.events import PlaybookOutcome, TaskFailed

# Clear the screen, set the title, a link, a C1 control, a bell, a bidirectional override, a return.
ORDERS = "\\033[2J\\033]0;owned\\007\\033]8;;http://x\\007\\302\\2331m\\007\\342\\200\\256\\rseen"
FORBIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
TASK = f"""
    - name: Say it
      ansible.builtin.command:
        argv: [sh, -c, 'printf "{ORDERS.replace(chr(92), chr(92) * 4)}" >&2; exit 3']
"""
GATE = f"""\
import pytest

minimum_checks = 1


def test_says_it(host):
    assert host.run("printf '{ORDERS.replace(chr(92), chr(92) * 2)}'").stdout == "plain"
"""


def test_nothing_a_host_says_reaches_a_terminal_as_an_order(make_project, drcli, tmp_path):
    project = make_project({"network": [{"name": "routing", "hosts": "img1", "settle": "0s"}]})
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().rstrip() + TASK)
    (project / "playbooks/network/test_routing.py").write_text(GATE)
    junit = tmp_path / "gates.xml"
    for words in (
        ("recover", "--site", "room-a"),
        ("recover", "--site", "room-a", "--json"),
        ("verify", "--site", "room-a", "--junit", junit),
        ("status",),
        ("show",),
        ("show", "--json"),
        ("runs",),
    ):
        done = drcli(*words, cwd=project, timeout=300)
        assert done.returncode in {0, 1}, done.stderr
        said = done.stdout + done.stderr
        assert not FORBIDDEN.search(said), FORBIDDEN.findall(said)
        if words[0] in {"recover", "show"}:
            assert "seen" in said  # it is told, and as text
    assert not FORBIDDEN.search(junit.read_text())


@pytest.fixture
def site(tmp_path):
    made = SmallSite(tmp_path)
    yield made
    made.playbooks.close()


def test_a_task_that_speaks_binary_costs_no_memory_and_is_told_as_text(site):
    noise = "head -c 1000000 /dev/urandom; head -c 1000000 /dev/zero; exit 3"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = site.play(
        f"- name: Make noise\n  ansible.builtin.command: {{argv: [sh, -c, '{noise}']}}\n",
        hosts=("h1", "h2"),
        timeout=240,
    )
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert result.outcome is PlaybookOutcome.FAILED
    told = [event for event in site.told if isinstance(event, TaskFailed)]
    # Mitogen cannot carry it: what it told of its attempt comes before what the next one told.
    assert sorted(event.host for event in told[-2:]) == ["h1", "h2"]
    assert len(told) == 2 or os.environ["DRCLI_FAST"] == "1"
    assert all(len(event.message) <= 4_000 for event in told)
    assert not any(FORBIDDEN.search(event.message) for event in told)
    assert Path(result.artifact).stat().st_size < 1_000_000
    assert grown < 40_000  # KiB; each host said 2 MB, six times as much as JSON
