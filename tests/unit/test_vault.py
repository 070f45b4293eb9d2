"""What is encrypted is found wherever Ansible reads it, so that no log and no message shows it."""

from __future__ import annotations

import pytest

from orchestrator.inventory import own_configuration
from orchestrator.vault import opened

PASSWORD = (("default", "open sesame"),)


@pytest.fixture
def cipher():
    with own_configuration():
        from ansible.parsing.vault import VaultLib, VaultSecret  # noqa: PLC0415 -- takes a while

    secret = VaultSecret(PASSWORD[0][1].encode())
    return VaultLib([("default", secret)]).encrypt(b"pin: canary-4711\n").decode()


def test_what_is_encrypted_behind_a_linked_folder_is_known(make_project, cipher):
    project = make_project()
    shared = project / "inventories" / "shared"
    shared.mkdir()
    (shared / "pin.yml").write_text(cipher)
    variables = project / "inventories/room-a/group_vars"
    variables.mkdir()
    (variables / "all").symlink_to(shared)
    (shared / "round").symlink_to(variables)
    site = project / "inventories" / "room-a"
    assert opened(site, project / "playbooks", PASSWORD) == {"canary-4711"}
