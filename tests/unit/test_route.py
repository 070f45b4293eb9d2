"""A host is reached as Ansible reaches it: compared with what Ansible's own plugins would run."""

from __future__ import annotations

import getpass
import os
import re
from pathlib import Path

import pytest
import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.playbook.play_context import PlayContext
from ansible.plugins.connection import ssh
from ansible.plugins.loader import become_loader, connection_loader
from ansible.plugins.shell.sh import ShellModule
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import route
from orchestrator.route import READY, ansible_route, ssh_route


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("ANSIBLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ansible.cfg").touch()
    # Ansible looks for its file when it is loaded; here each test has its own.
    monkeypatch.setattr(constants.config, "_config_file", str(tmp_path / "ansible.cfg"))


def theirs(name, variables):
    """The words with which Ansible starts ssh."""
    connection = connection_loader.get("ssh", PlayContext(), None)
    connection.set_options(var_options={"inventory_hostname": name, **variables})
    connection.host = connection.get_option("host")
    program = connection.get_option("ssh_executable")
    words = connection._build_command(program, "ssh", connection.host)
    return [word.decode() for word in words]


def ours(name, variables):
    found = ansible_route(name, variables)
    return [word for word in found.words if word != "-T"]


def same(name, variables):
    expected = theirs(name, variables)
    at = expected.index("NumberOfPasswordPrompts=1") if "password" not in str(variables) else 0
    if at:
        del expected[at - 1 : at + 1]  # for a password alone
    assert ours(name, variables) == expected


TEXT = st.text("abcXYZ019._-", min_size=1, max_size=8)
VARIABLES = st.fixed_dictionaries(
    {},
    optional={
        "ansible_host": TEXT,
        "ansible_ssh_host": TEXT,
        "ansible_port": st.integers(1, 65_535) | st.sampled_from(["22", "2222"]),
        "ansible_ssh_port": st.integers(1, 65_535),
        "ansible_user": TEXT,
        "ansible_ssh_user": TEXT,
        "ansible_private_key_file": st.sampled_from(["~/key", "/k e y", "key"]),
        "ansible_ssh_private_key_file": st.sampled_from(["~/other", "/other"]),
        "ansible_ssh_timeout": st.integers(1, 99),
        "ansible_ssh_args": st.sampled_from(["", "-C", "-o ControlPersist=9s -o A=b"]),
        "ansible_ssh_common_args": st.sampled_from(
            ["-J 'a b' -v", "-o ProxyCommand='ssh -W %h:%p j'"]
        ),
        "ansible_ssh_extra_args": st.sampled_from(["-4", "-o ControlPath=/tmp/%C"]),
        "ansible_ssh_executable": st.sampled_from(["ssh", "/usr/bin/ssh"]),
        "ansible_control_path": st.sampled_from(["%(directory)s/%%C", "/tmp/%%h"]),
        "ansible_control_path_dir": st.sampled_from(["~/cp", "cp"]),
    },
)


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(variables=VARIABLES, name=TEXT)
def test_the_words_are_those_of_ansible(variables, name):
    same(name, variables)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ANSIBLE_REMOTE_USER", "u"),
        ("ANSIBLE_REMOTE_PORT", "2200"),
        ("ANSIBLE_PRIVATE_KEY_FILE", "/key"),
        ("ANSIBLE_SSH_ARGS", "-v"),
        ("ANSIBLE_SSH_COMMON_ARGS", "-v"),
        ("ANSIBLE_SSH_EXTRA_ARGS", "-v"),
        ("ANSIBLE_TIMEOUT", "7"),
        ("ANSIBLE_SSH_TIMEOUT", "8"),
        ("ANSIBLE_SSH_EXECUTABLE", "/ssh"),
        ("ANSIBLE_SSH_CONTROL_PATH", "%(directory)s/x"),
        ("ANSIBLE_SSH_CONTROL_PATH_DIR", "~/x"),
    ],
)
def test_the_environment_counts_after_the_variables(variable, value, monkeypatch):
    without = ours("h", {})
    monkeypatch.setenv(variable, value)
    same("h", {})
    assert ours("h", {}) != without
    same("h", {"ansible_user": "v", "ansible_port": 1, "ansible_ssh_timeout": 3})


CONFIG = """\
[defaults]
remote_user = u   ; a comment
remote_port = 2200
private_key_file = "/a key"
timeout = 7
[ssh_connection]
ssh_args = -o ControlPersist=5s
ssh_common_args = -J jump
ssh_extra_args = -o ProxyCommand="nc %h %p"
ssh_executable = /usr/bin/ssh
control_path = %(directory)s/%%C
control_path_dir = ~/sockets
[privilege_escalation]
become = true
become_user = operator
become_flags = -H
"""


def test_the_file_counts_after_the_environment(tmp_path, monkeypatch):
    (tmp_path / "ansible.cfg").write_text(CONFIG)
    same("h", {})
    monkeypatch.setenv("ANSIBLE_REMOTE_USER", "v")
    same("h", {"ansible_port": 4})
    words = " ".join(ansible_route("h", {}).words)
    assert words.startswith('/usr/bin/ssh -o ControlPersist=5s -o Port=2200 -o IdentityFile="/a ke')
    assert words.endswith(f' -o ControlPath="{tmp_path.resolve()}/sockets/%C" -T h')
    assert ansible_route("h", {}).shell == "exec sudo -H -u operator /bin/sh"


def test_a_file_in_a_folder_that_anyone_may_write_to_does_not_count(tmp_path):
    (tmp_path / "ansible.cfg").write_text(CONFIG)
    tmp_path.chmod(0o777)
    assert "-J" not in ansible_route("h", {}).words


def test_a_key_of_the_command_line_counts_after_the_variables(monkeypatch):
    monkeypatch.setenv("ANSIBLE_PRIVATE_KEY_FILE", "/environment")
    words = ansible_route("h", {}, identity="/line").words
    assert 'IdentityFile="/line"' in words
    words = ansible_route("h", {"ansible_private_key_file": "/own"}, identity="/line").words
    assert 'IdentityFile="/own"' in words


def test_host_keys_stay_checked(monkeypatch):
    monkeypatch.setenv("ANSIBLE_HOST_KEY_CHECKING", "False")
    assert "StrictHostKeyChecking" not in " ".join(ansible_route("h", {}).words)


def become(method, variables):
    """The command with which Ansible's plugin starts a shell as another user."""
    plugin = become_loader.get(method)
    plugin.set_options(var_options=variables)
    shell = ShellModule()
    shell.executable = "/bin/sh"
    return plugin.build_become_command("/bin/sh", shell)


@pytest.mark.parametrize(
    ("method", "variables"),
    [
        ("sudo", {}),
        ("sudo", {"ansible_become_user": "postgres"}),
        ("sudo", {"ansible_become_user": "a", "ansible_sudo_user": "b"}),
        ("sudo", {"ansible_become_flags": "-E", "ansible_become_exe": "/opt/sudo"}),
        ("sudo", {"ansible_become_password": "secret"}),
        ("sudo", {"ansible_become_pass": "secret", "ansible_become_flags": "-Hn --preserve-env"}),
        ("su", {}),
        ("su", {"ansible_become_user": "postgres", "ansible_su_flags": "-l"}),
        ("su", {"ansible_become_exe": "/bin/su"}),
    ],
)
def test_another_user_is_become_as_ansible_does(method, variables):
    known = {"ansible_become": True, "ansible_become_method": method, **variables}
    found = ansible_route("h", known)
    said = found.shell.removeprefix("exec ")
    expected = become(method, known)
    # Theirs announces its success before the shell, ours only where a password may be asked for.
    head = expected[: expected.index("/bin/sh -c" if method == "sudo" else "-c")]
    head = re.sub(r'"\[sudo via .*?"', found.prompt, head).split()
    assert said.split()[: len(head)] == head
    assert "secret" not in repr(found)
    assert "secret" not in said
    password = variables.get("ansible_become_password", variables.get("ansible_become_pass"))
    assert found.become_password == password
    assert (READY in said) == (password is not None)


def test_who_is_there_already_is_not_become_as_with_ansible(monkeypatch):
    known = {"ansible_become": True, "ansible_user": "root"}
    assert ansible_route("h", known).shell == "exec /bin/sh"
    assert "sudo" in ansible_route("h", {**known, "ansible_become_user": "postgres"}).shell
    here = {"ansible_become": True, "ansible_connection": "local"}
    here["ansible_become_user"] = getpass.getuser()
    assert ansible_route("h", here).shell == "exec /bin/sh"
    monkeypatch.setenv("ANSIBLE_BECOME_ALLOW_SAME_USER", "True")
    assert "sudo" in ansible_route("h", known).shell


def test_a_way_to_become_that_is_not_known_is_named():
    known = {"ansible_become": "yes", "ansible_become_method": "community.general.machinectl"}
    with pytest.raises(ValueError, match="h: become_method machinectl is not known here"):
        ansible_route("h", known)


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        ("local", "/bin/sh -c"),
        ("ansible.builtin.local", "/bin/sh -c"),
        ("podman", "podman exec --interactive --user me c1 /bin/sh -c"),
        ("containers.podman.podman", "podman exec --interactive --user me c1 /bin/sh -c"),
        ("community.docker.docker", "docker exec --interactive --user me c1 /bin/sh -c"),
    ],
)
def test_other_connections(connection, words):
    known = {"ansible_connection": connection, "ansible_user": "me", "ansible_host": "c1"}
    assert " ".join(ansible_route("h", known).words) == words


@pytest.mark.parametrize("connection", ["winrm", "network_cli", "community.general.lxd"])
def test_a_connection_that_only_ansible_can_make(connection):
    assert ansible_route("h", {"ansible_connection": connection}) is None


# Nothing that a command over ssh would do otherwise.
NO_MATTER = {
    "host_key_checking",  # a host's key is always checked
    "password_mechanism",  # how it is handed over: here always by sshpass
    "private_key_passphrase",  # of private_key alone
    "reconnection_retries",  # a session that is lost is opened once more
    "pipelining", "use_tty", "verbosity",
    "sftp_executable", "scp_executable", "sftp_extra_args", "scp_extra_args",
    "sftp_batch_mode", "ssh_transfer_method",  # files: a session copies none
}  # fmt: skip
OURS = {"remote_user": "user", "private_key_file": "private_key"}


def test_each_option_of_ansibles_connection_is_kept_or_named(monkeypatch):
    """A later Ansible that has another one turns this red, and no inventory wrong in silence."""
    documented = yaml.safe_load(ssh.DOCUMENTATION)["options"]
    for name, option in documented.items():
        if name in NO_MATTER:
            continue
        variables = [v["name"] for v in option.get("vars", ()) if "delegated" not in v["name"]]
        if name in route._ANSIBLE_ALONE:
            places = route._ANSIBLE_ALONE[name]
            for variable in variables:
                with pytest.raises(ValueError, match=f"h: {name} is not known here"):
                    ansible_route("h", {variable: "something"})
        else:
            mine = OURS.get(name, name.removeprefix("ssh_"))
            places = route.OPTIONS[mine]
        found = set(variables) - {"inventory_hostname"}
        assert found == set(places[0].split()), name
        assert {e["name"] for e in option.get("env", ())} == set(places[1].split()), name
        keys = {f"{i['section']}.{i['key']}" for i in option.get("ini", ())}
        assert keys == set(places[2].split()), name


def test_a_template_is_given_to_ansible():
    known = {
        "ansible_host": "{{ lab_address }}",
        "lab_address": "192.0.2.{{ number }}",
        "number": 7,
        "ansible_port": "{{ 2000 + number }}",
        "ansible_user": "{{ inventory_hostname }}",
    }
    assert ansible_route("h", known).words[-1] == "192.0.2.7"
    assert {"Port=2007", 'User="h"'} <= set(ansible_route("h", known).words)


def test_a_template_that_cannot_be_filled_in_is_named():
    with pytest.raises(ValueError, match=r"h: ansible_host cannot be used: .*undefined"):
        ansible_route("h", {"ansible_host": "{{ nobody }}"})


def test_a_value_that_stayed_encrypted_is_named():
    with pytest.raises(ValueError, match="h: ansible_user is encrypted"):
        ansible_route("h", {"ansible_user": {"__ansible_vault": "..."}})


def test_a_control_path_that_cannot_be_used_is_named():
    with pytest.raises(ValueError, match="h: control_path cannot be used: %C"):
        ansible_route("h", {"ansible_control_path": "%C"})
    with pytest.raises((AnsibleError, ValueError)):
        theirs("h", {"ansible_control_path": "%C"})


def test_a_host_of_no_inventory():
    found = ssh_route("h", user="u", port="22", config="c", identity="/i", password="p")
    assert found.words == (
        *("ssh", "-F", "c", "-o", "User=u", "-o", "Port=22", "-i", "/i"),
        *("-o", "ConnectTimeout=10", "-T", "h"),
    )
    assert "'p'" not in repr(found)
    assert not Path("~/.ansible").expanduser().exists()
