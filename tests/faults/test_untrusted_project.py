"""A project from a branch nobody has read: to look at it runs nothing of it."""

from __future__ import annotations

import json
import stat

import pytest

LOOKING = ["validate", "plan", "preflight"]
SETTINGS = """\
[defaults]
inventory_plugins = plugins
vars_plugins = plugins
callback_plugins = plugins
cache_plugins = plugins
filter_plugins = plugins
test_plugins = plugins
lookup_plugins = plugins
connection_plugins = plugins
action_plugins = plugins
strategy_plugins = plugins
collections_path = collections
callbacks_enabled = canary
stdout_callback = canary
fact_caching = canary
run_vars_plugins = start
vault_password_file = password.sh
log_path = canary.log
forks = {{ lookup('pipe', 'touch canary-template') }}
[inventory]
enable_plugins = yaml, canary, script, auto
cache = True
cache_plugin = canary
"""
PYTHON = "from pathlib import Path\n\nPath({!r}).touch()\n"

TRUSTED = """\
from pathlib import Path

from ansible.plugins.inventory import BaseInventoryPlugin


class InventoryModule(BaseInventoryPlugin):
    NAME = "small"

    def verify_file(self, path):
        return True

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path)
        Path({asked!r}).touch()
        inventory.add_group("imaging")
        inventory.add_host("img1", "imaging")
        inventory.set_variable("img1", "a", {run!r})
"""


@pytest.fixture
def canary(make_project):
    """A project; what runs in it would leave a file whose name begins with `canary`."""
    project = make_project({"network": [{"name": "routing", "hosts": "imaging"}]})

    class Canary:
        folder = project
        room = project / "inventories/room-a"

        def write(self, name, text, mode=0o644):
            path = project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(mode)

        def plugin(self, name):
            self.write(name, PYTHON.format(str(project / "canary")))

        def sung(self):
            return [path.name for path in project.rglob("canary*") if path.suffix != ".py"]

    return Canary()


@pytest.mark.parametrize("command", LOOKING)
def test_no_plugin_script_or_log_of_its_ansible_cfg(canary, drcli, command):
    canary.write("ansible.cfg", SETTINGS)
    canary.write("password.sh", "#!/bin/sh\ntouch canary-password\necho x\n", 0o755)
    for name in ("canary", "yaml", "script", "host_group_vars"):
        canary.plugin(f"plugins/{name}.py")
    done = drcli(command, "--site", "room-a", cwd=canary.folder, timeout=300)
    assert done.returncode == 0, done.stderr
    assert canary.sung() == []


@pytest.mark.parametrize("command", LOOKING)
def test_no_plugin_that_lies_beside_it(canary, drcli, command):
    for place in ("", "inventories/", "inventories/room-a/", "playbooks/", "playbooks/network/"):
        for kind in ("vars", "inventory", "filter", "callback", "cache", "lookup", "action"):
            canary.plugin(f"{place}{kind}_plugins/canary.py")
        canary.plugin(f"{place}library/canary.py")
    for name in ("conftest", "sitecustomize", "yaml", "ansible"):
        canary.plugin(f"{name}.py")
    done = drcli(command, "--site", "room-a", cwd=canary.folder, timeout=300)
    assert done.returncode == 0, done.stderr
    assert canary.sung() == []


@pytest.mark.parametrize("command", LOOKING)
def test_no_inventory_that_is_a_program_be_it_yaml_as_well(canary, drcli, command):
    hosts = canary.room / "hosts.yml"
    text = 'all: {children: {imaging: {hosts: {img1: {a: "$(touch canary)"}}}}}\n'
    hosts.write_text(f"#!/bin/sh\n{text}")
    hosts.chmod(hosts.stat().st_mode | stat.S_IXUSR)
    done = drcli(command, "--site", "room-a", cwd=canary.folder, timeout=300)
    assert (done.returncode, "it is a program" in done.stderr) == (2, True)
    assert canary.sung() == []


@pytest.mark.parametrize("command", LOOKING)
def test_no_inventory_that_names_a_plugin(canary, drcli, command):
    canary.plugin("inventory_plugins/canary.py")
    (canary.room / "hosts.yml").write_text("plugin: canary\n")
    done = drcli(command, "--site", "room-a", cwd=canary.folder, timeout=300)
    assert (done.returncode, "not YAML inventory" in done.stderr) == (2, True)
    assert canary.sung() == []


@pytest.mark.parametrize("command", LOOKING)
@pytest.mark.parametrize("kind", ["program", "plugin"])
def test_of_an_inventory_that_is_trusted_nothing_but_it_runs(canary, drcli, command, kind):
    canary.write("ansible.cfg", SETTINGS.replace("ns = plugins", "ns = trusted", 1))
    canary.write("password.sh", "#!/bin/sh\ntouch canary-password\necho x\n", 0o755)
    for name in ("canary", "yaml", "script", "auto", "host_group_vars", "memory", "jsonfile"):
        canary.plugin(f"plugins/{name}.py")
    for place in ("", "inventories/", "inventories/room-a/", "playbooks/", "playbooks/network/"):
        for of in ("vars", "filter", "callback", "cache", "lookup", "action", "connection"):
            canary.plugin(f"{place}{of}_plugins/canary.py")
    for name in ("conftest", "sitecustomize", "yaml", "ansible"):
        canary.plugin(f"{name}.py")
    asked = canary.folder / "asked"
    run = "{{ lookup('pipe', 'touch canary') }}"
    said = {"imaging": {"hosts": ["img1"], "vars": {"a": run}}, "_meta": {"hostvars": {}}}
    if kind == "program":
        text = f"#!/bin/sh\ntouch {asked}\ncat <<'END'\n{json.dumps(said)}\nEND\n"
        canary.write("inventories/room-a/hosts.yml", text, 0o755)
    else:
        canary.write("trusted/small.py", TRUSTED.format(asked=str(asked), run=run))
        canary.write("inventories/room-a/hosts.yml", "plugin: small\n")
    done = drcli(command, "--site", "room-a", "--trust-inventory", cwd=canary.folder, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert asked.exists()
    assert canary.sung() == []


@pytest.mark.parametrize("command", LOOKING)
def test_no_template_of_its_variables(canary, drcli, command):
    run = "{{ lookup('pipe', 'touch canary') }}"
    canary.write(
        "inventories/room-a/hosts.yml",
        "all: {children: {imaging: {hosts: {img1: "
        f'{{ansible_host: "{run}", ansible_connection: "{run}"}}}}}}}}}}\n',
    )
    canary.write("inventories/room-a/group_vars/all.yml", f'ansible_ssh_common_args: "{run}"\n')
    canary.write("inventories/room-a/host_vars/img1.yml", f'ansible_port: "{run}"\n')
    done = drcli(command, "--site", "room-a", cwd=canary.folder, timeout=300)
    assert done.returncode in {0, 1}, done.stderr
    assert canary.sung() == []


def test_a_site_file_has_no_field_for_a_connection(make_project, drcli):
    for field in (
        "ansible_connection: local",
        "ansible_ssh_common_args: -oProxyCommand=touch canary",
        "ansible_ssh_extra_args: -oProxyCommand=touch canary",
        "ansible_ssh_executable: ./canary.sh",
        "vars: {ansible_connection: local}",
    ):
        name, _, value = field.partition(": ")
        component = {"name": "routing", "hosts": "imaging", name: value}
        project = make_project({"network": [component]})
        done = drcli("validate", "--site", "room-a", cwd=project, timeout=300)
        assert done.returncode == 2
        assert f"{name}: unknown field" in done.stderr
        assert not list(project.rglob("canary*"))


@pytest.mark.parametrize(
    "variables",
    [
        "{ansible_ssh_common_args: \"-o ProxyCommand='touch CANARY'\"}",
        '{ansible_ssh_extra_args: "-F CONFIG"}',
        "{ansible_ssh_executable: SCRIPT}",
        '{ansible_host: "127.0.0.1; touch CANARY", ansible_ssh_common_args: "-J x"}',
        '{ansible_user: "`touch CANARY`"}',
        "{}",
    ],
)
def test_no_command_that_the_way_to_a_host_names(canary, drcli, variables):
    mark, script, config = (canary.folder / name for name in ("canary", "ssh.sh", "ssh_config"))
    canary.write("ssh.sh", f"#!/bin/sh\ntouch {mark}\n", 0o755)
    canary.write("ssh_config", f'Match exec "touch {mark}"\n')
    for word, path in (("CANARY", mark), ("SCRIPT", script), ("CONFIG", config)):
        variables = variables.replace(word, str(path))
    if variables == "{}":  # all of it in the project's settings
        text = f"[ssh_connection]\nssh_executable = {script}\nssh_args = -o ProxyCommand={script}\n"
        canary.write("ansible.cfg", text)
        variables = "{ansible_host: 127.0.0.1, ansible_port: 1}"
    hosts = f"all: {{children: {{imaging: {{hosts: {{img1: {variables}}}}}}}}}\n"
    canary.write("inventories/room-a/hosts.yml", hosts)
    done = drcli("preflight", "--site", "room-a", cwd=canary.folder, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "it was not spoken to" in done.stdout
    assert canary.sung() == []


def test_no_gate_conftest_playbook_or_password_script(canary, drcli):
    gate = canary.folder / "playbooks/network/test_routing.py"
    gate.write_text(
        "import beside\n" + PYTHON.format(str(canary.folder / "canary")) + gate.read_text()
    )
    canary.plugin("playbooks/network/beside.py")
    canary.plugin("playbooks/conftest.py")
    canary.write("password.sh", f"#!/bin/sh\ntouch {canary.folder}/canary\n", 0o755)
    canary.write("ansible.cfg", "[defaults]\nvault_password_file = password.sh\n")
    canary.write("inventories/room-a/group_vars/all.yml", "$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    run = "{{ lookup('pipe', 'touch canary') }}"
    canary.write(
        "playbooks/network/roles/r/tasks/main.yml", f'- {{name: "{run}", a.b.c: "{run}"}}\n'
    )
    playbook = canary.folder / "playbooks/network/routing.yml"
    playbook.write_text(f'{playbook.read_text()}- hosts: "{run}"\n  roles: [r]\n')
    done = drcli("preflight", "--site", "room-a", cwd=canary.folder, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr  # collection a.b is missing
    assert "collection a.b is not installed" in done.stdout
    assert canary.sung() == []
