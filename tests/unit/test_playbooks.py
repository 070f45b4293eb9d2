"""Of the playbooks themselves: what a run that was ended anywhere may not leave behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

ROLES = Path(__file__).parents[2] / "playbooks" / "roles"
TASKS = sorted(ROLES.glob("*/tasks/*.yml"))


def tasks(listed):
    for task in listed:
        yield task
        for part in ("block", "rescue", "always"):
            yield from tasks(task.get(part, ()))


@pytest.mark.parametrize("path", TASKS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_a_running_service_is_not_told_of_a_change_only_by_the_run_that_made_it(path):
    # A run may end between the change and the word; the next one finds nothing changed.
    for task in tasks(YAML(typ="safe").load(path)):
        told = task.get("ansible.builtin.systemd_service", {})
        if told.get("state") in ("reloaded", "restarted"):
            assert "is changed" not in str(task.get("when", "")), task["name"]


def test_what_is_told_at_the_end_of_a_play_is_told_before_by_none():
    assert [path.parts[-3] for path in ROLES.glob("*/handlers/*.yml")] == ["directory"]
