"""What is encrypted is found wherever Ansible reads it, so that no log and no message shows it."""

from __future__ import annotations

import pytest

from orchestrator.errors import InputError
from orchestrator.inventory import own_configuration
from orchestrator.vault import opened, read_passwords

PASSWORD = (("default", "open sesame"),)


@pytest.fixture
def cipher():
    with own_configuration():
        from ansible.parsing.vault import VaultLib, VaultSecret  # noqa: PLC0415 -- takes a while

    secret = VaultSecret(PASSWORD[0][1].encode())
    return VaultLib([("default", secret)]).encrypt(b"pin: canary-4711\n").decode()


@pytest.mark.parametrize("how", ["id", "ansible.cfg"])
def test_a_password_in_the_home_of_a_user_who_is_not_there_is_refused(tmp_path, how):
    ids = ["prod@~nosuch/vault"] if how == "id" else []
    (tmp_path / "ansible.cfg").write_text("[defaults]\nvault_password_file = ~nosuch/vault\n")
    with pytest.raises(InputError, match="there is no user 'nosuch'"):
        read_passwords(tmp_path, ids, None, str, runs=True)


def test_a_link_to_all_of_this_machine_is_not_looked_through(make_project):
    project = make_project()
    (project / "playbooks" / "all").symlink_to("/")
    with pytest.raises(InputError, match="leads out of the project"):
        opened(project / "inventories/room-a", project / "playbooks", PASSWORD)


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
