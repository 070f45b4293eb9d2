"""Two controllers that share a journal on a server: one at a time recovers the site."""

from __future__ import annotations

import pytest
from postgresql import database, server

pytestmark = pytest.mark.once

__all__ = ["database", "server"]


@pytest.fixture
def shared(database):
    return {"DRCLI_JOURNAL": database.address}


def test_a_second_controller_is_refused_and_goes_on_once_the_first_is_dead(
    hanging, recovery, drcli, shared, tmp_path
):
    project = hanging("playbook")
    first = recovery(project, env=shared, state_dir=tmp_path / "one")
    first.wait_for("task_started", task="Hang on start")
    other = {**shared, "DRCLI_STATE_DIR": str(tmp_path / "two")}
    for command in (("recover",), ("resume",)):
        said = drcli(*command, "--site", "room-a", cwd=project, env=other)
        assert said.returncode == 1
        assert "room-a is being recovered already: run " in said.stderr
        assert f"(process {first.process.pid}) since " in said.stderr
        assert "hint: Watch it: drcli status --site room-a" in said.stderr
    assert "running for" in drcli("status", cwd=project, env=other).stdout
    first.process.kill()
    first.process.wait(timeout=60)
    said = drcli("recover", "--site", "room-a", cwd=project, env=other)
    assert (said.returncode, "was killed" in said.stderr) == (2, True), said.stderr
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("sleep 600", "sleep 0"))
    said = drcli("resume", "--site", "room-a", "--replan", cwd=project, env=other, timeout=300)
    assert said.returncode == 0, said.stderr
    verified = drcli("journal", "verify", cwd=project, env=other)
    assert verified.returncode == 0, verified.stdout + verified.stderr
