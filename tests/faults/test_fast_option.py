"""`pytest --fast` reaches whatever a test starts: else its green would say nothing."""

from __future__ import annotations

import gzip
import json

# The words of the process that runs the module.
LOOK = """- ansible.builtin.command: {argv: [sh, -c, "tr '\\\\0' ' ' </proc/$PPID/cmdline"]}"""


def test_what_is_started_goes_the_way_that_was_asked_for(make_project, drcli, tmp_path, request):
    project = make_project({"network": [{"name": "routing", "hosts": "img1"}]})
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(f"{playbook.read_text().rstrip()}\n    {LOOK}\n")
    assert drcli("recover", "--site", "room-a", cwd=project).returncode == 0
    [log] = (tmp_path / "state/artifacts").rglob("*.jsonl.gz")
    with gzip.open(log, "rt") as lines:
        seen = any("mitogen:" in json.dumps(json.loads(line)) for line in lines)
    assert seen == request.config.getoption("--fast")
