"""What a purge removes, and what it tells of what would not go."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from orchestrator.errors import RecoveryError
from orchestrator.lab import instance, lab_lock, removal

STUCK = "podman rm --force {0}-r1; then the same command again."


class Machine:
    """Labs by name, each with its prefix; `stuck` are prefixes whose containers would not go."""

    def __init__(self, folder):
        self.folder = folder
        self.prefixes, self.stuck = set(), set()

    def lab(self, name, short):
        made = instance.Instance(
            name=name, site="tiny", project=Path("/p"), subnet=IPv4Network("10.78.0.0/24"),
            short=short, made=datetime(2026, 1, 1, tzinfo=UTC),
        )  # fmt: skip
        (self.folder / name).mkdir()
        (self.folder / name / "instance.json").write_text(made.model_dump_json())
        self.prefixes.add(made.prefix)
        return made

    def remove_containers(self, prefix):
        if prefix in self.stuck:
            raise RecoveryError(f"{prefix} would not go", hint=STUCK.format(prefix))
        there = prefix in self.prefixes
        self.prefixes.discard(prefix)
        return int(there)

    @property
    def left(self):
        return {path.name for path in self.folder.iterdir()} | self.prefixes


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Two labs; beside them a folder and a container that belong to none."""
    folder = tmp_path / "drcli" / "labs"
    folder.mkdir(parents=True)
    machine = Machine(folder)
    for module in (instance, lab_lock, removal):
        monkeypatch.setattr(module, "LABS", folder)
    monkeypatch.setattr(removal, "_remove_containers", machine.remove_containers)
    monkeypatch.setattr(removal, "_prefixes", lambda: set(machine.prefixes))
    for name in ("remove_networks", "end_connections", "close_folder"):
        monkeypatch.setattr(removal, name, lambda _: False)
    machine.lab("one", "111111")
    machine.lab("two", "222222")
    (folder / "half-born").mkdir()
    machine.prefixes.add("drcli-ffffff")
    return machine


def purge():
    return removal.purge(tell=lambda step: None)


def test_a_purge_leaves_nothing(machine):
    assert "1 hosts" in purge()
    assert not machine.prefixes
    assert not machine.folder.exists()


def test_a_lab_that_would_not_go_is_told_and_all_else_is_gone(machine):
    machine.stuck = {"drcli-111111"}
    with pytest.raises(RecoveryError, match=r"^drcli-111111 would not go$"):
        purge()
    assert machine.left == {"one", "drcli-111111"}


def test_everything_that_would_not_go_is_told_with_its_hint(machine):
    machine.stuck = {"drcli-111111", "drcli-222222", "drcli-ffffff"}
    with pytest.raises(RecoveryError) as caught:
        purge()
    assert caught.value.message.splitlines() == [f"{p} would not go" for p in sorted(machine.stuck)]
    hints = [STUCK.format(prefix) for prefix in sorted(machine.stuck)]
    assert caught.value.hint.splitlines() == hints
    assert machine.left == {"one", "two"} | machine.stuck


def test_a_lab_that_another_command_is_changing_is_left_to_it(machine, monkeypatch):
    monkeypatch.setattr(removal, "lab_lock", lambda name: lab_lock.lab_lock(name, patience=0))
    with (
        lab_lock.lab_lock("one", patience=0),
        pytest.raises(RecoveryError, match="another command is changing this lab"),
    ):
        purge()
    assert machine.left == {"one", "drcli-111111"}
