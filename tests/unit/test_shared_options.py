"""An option whose variable was empty where it was typed is refused: it would mean everything."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from orchestrator.cli.plan import plan
from orchestrator.cli.recover import recover
from orchestrator.cli.verify import verify
from orchestrator.cli.views import status


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (plan, ["--site", "room-a", "--limit"]),
        (recover, ["--site", "room-a", "--limit"]),
        (verify, ["--site", "room-a", "--limit"]),
        (recover, ["--site", "room-a", "--from"]),
        (recover, ["--site", "room-a", "--lab"]),
        (status, ["--state-dir"]),
    ],
)
def test_an_empty_value_is_refused(command, words, monkeypatch):
    monkeypatch.setenv("DRCLI_PROJECT", "/nowhere")
    done = CliRunner().invoke(command, [*words, ""])
    assert done.exit_code == 2
    assert f"Invalid value for '{words[-1]}': it is empty" in done.output


def test_what_is_not_given_is_not_empty(monkeypatch):
    monkeypatch.setenv("DRCLI_PROJECT", "/nowhere")
    monkeypatch.setenv("DRCLI_LAB", "")
    done = CliRunner().invoke(recover, ["--site", "room-a"])
    assert "no folder inventories/" in str(done.exception)
