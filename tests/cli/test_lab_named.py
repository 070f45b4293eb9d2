"""A run of a lab says whose hosts they are, wherever it is told, and so does what to type next."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from orchestrator.cli.main import main
from orchestrator.lab import instance
from orchestrator.lab.instance import Instance


@pytest.fixture
def drcli(make_project, tmp_path, monkeypatch):
    """Return a function that runs a command in this process, beside a lab `copy` of the site."""
    project = make_project({"network": [{"name": "routing", "hosts": "routers", "settle": "0s"}]})
    made = Instance(
        name="copy",
        site="room-a",
        project=project,
        subnet="10.78.3.0/24",
        short="a1b2c3",
        made=datetime.now(UTC),
    )
    (tmp_path / "labs/copy").mkdir(parents=True)
    (tmp_path / "labs/copy/instance.json").write_text(made.model_dump_json())
    (tmp_path / "labs/copy/hosts.yml").write_text("all: {}\n")
    monkeypatch.setattr(instance, "LABS", tmp_path / "labs")
    monkeypatch.setenv("DRCLI_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.chdir(project)

    def run(*words):
        done = CliRunner().invoke(main, words)
        assert done.exit_code == 0, done.output
        return done.output

    return run


def test_a_copy_is_never_told_as_the_site(drcli):
    said = drcli("recover", "--site", "room-a", "--lab", "copy")
    assert "room-a (lab copy): run " in said
    for view in (said, drcli("status"), drcli("show")):
        assert "room-a (lab copy): recovered in " in view
        assert view.endswith("Next: drcli verify --site room-a --lab copy\n")
    assert "room-a (lab copy): recovered in " in drcli("runs")
    assert json.loads(drcli("status", "--json"))["lab"] == "copy"
    verified = drcli("verify", "--site", "room-a", "--lab", "copy")
    assert "room-a (lab copy): verified in " in verified
    assert "(lab" not in drcli("verify", "--site", "room-a")
