"""A gate finds its hosts where a playbook does; a stand-in for testinfra says what it was given."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from orchestrator.gate_passwords import hand_over_passwords


@pytest.fixture
def found(tmp_path):
    """What testinfra reads of a host that has these variables."""

    def find(variables):
        seen = []
        finder = SimpleNamespace(
            get_ansible_host=lambda _, inventory, host: seen.append(
                inventory["_meta"]["hostvars"][host]
            )
        )
        backend = SimpleNamespace(get_sudo_command=None, run_local=None)
        ssh = SimpleNamespace(_build_ssh_command=None)
        hand_over_passwords(finder, backend, ssh, tmp_path)
        finder.get_ansible_host(None, {"_meta": {"hostvars": {"r1": variables}}}, "r1")
        return seen[0]

    return find


@pytest.mark.parametrize(
    ("variables", "read"),
    [
        ({"ansible_ssh_host": "192.0.2.9"}, {"ansible_host": "192.0.2.9"}),
        (
            {"ansible_host": "192.0.2.1", "ansible_ssh_host": "192.0.2.9"},
            {"ansible_host": "192.0.2.9"},
        ),
        ({"ansible_ssh_port": 2222}, {"ansible_port": "2222"}),
        ({"ansible_ssh_user": "ops"}, {"ansible_user": "ops"}),
        ({"ansible_host": "192.0.2.1", "ansible_ssh_host": None}, {"ansible_host": "192.0.2.1"}),
        ({"ansible_ssh_password": "a@b"}, {"ansible_ssh_pass": "a%40b"}),
    ],
)
def test_of_several_names_the_last_is_taken_as_ansible_does(found, variables, read):
    assert found(variables).items() >= read.items()


def test_what_is_not_written_is_left_to_testinfra(found):
    assert found({"x": 1}) == {"x": 1}
