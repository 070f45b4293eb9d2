"""An inventory is read again when one of the files that Ansible reads for it has changed."""

from __future__ import annotations

import pytest

from orchestrator.listing import listing


@pytest.fixture
def of_host(tmp_path):
    """What the one host of an inventory has as `a`."""
    path = tmp_path / "hosts.yml"
    path.write_text("all: {hosts: {r1: }}")
    return lambda: listing((path,))["_meta"]["hostvars"]["r1"]["a"]


def test_what_yaml_has_for_a_name_and_json_has_not_is_a_text(of_host, tmp_path):
    (tmp_path / "hosts.yml").write_text(
        "all: {hosts: {r1: {a: {2026-01-01: [{2026-01-02: x}], 2: y, true: z}}}}"
    )
    assert of_host() == {"2026-01-01": [{"2026-01-02": "x"}], "2": "y", "true": "z"}


def test_a_change_behind_a_linked_folder_is_seen(of_host, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all").symlink_to(shared)
    (shared / "a.yml").write_text("a: 1\n")
    assert of_host() == 1
    (shared / "a.yml").write_text("a: 22\n")
    assert of_host() == 22
