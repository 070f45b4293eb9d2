"""`--trust-inventory` through the real command: a program or a plugin is asked for the hosts."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

TRUST = "--trust-inventory"
LAYERS = {
    "network": [{"name": "routing", "hosts": "routers", "settle": "0s"}],
    "applications": [{"name": "imaging", "hosts": "imaging", "settle": "0s"}],
}
SAID = {
    "all": {
        "vars": {
            "ansible_connection": "local",
            "ansible_python_interpreter": "{{ ansible_playbook_python }}",
        }
    },
    "routers": {"hosts": ["r1", "r2"]},
    "imaging": {"hosts": ["img1"]},
    "_meta": {"hostvars": {}},
}
PLUGIN = """\
from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = "name: small\\noptions: {plugin: {}, file: {type: str}}"


class InventoryModule(BaseInventoryPlugin):
    NAME = "small"

    def verify_file(self, path):
        return True

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path)
        said = loader.load_from_file(self._read_config_data(path)["file"], trusted_as_template=True)
        for group, content in said.items():
            if group != "_meta":
                inventory.add_group(group)
                for name in content.get("hosts", ()):
                    inventory.add_host(name, group)
                for name, value in content.get("vars", {}).items():
                    inventory.set_variable(group, name, value)
        for host, variables in said["_meta"]["hostvars"].items():
            for name, value in variables.items():
                inventory.set_variable(host, name, value)
"""


def script(project, body):
    path = project / "inventories/room-a/hosts.yml"
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)


@pytest.fixture(params=["script", "plugin"])
def project(request, make_project):
    """A project whose hosts a program, or a plugin, reads from `said.json`: see `says`."""
    project = make_project(LAYERS)
    said = project / "said.json"
    if request.param == "script":
        script(project, f"print(open({str(said)!r}).read())")
    else:
        hosts = f"plugin: small\nfile: {said}\n"
        (project / "inventories/room-a/hosts.yml").write_text(hosts)
        (project / "plugins").mkdir()
        (project / "plugins/small.py").write_text(PLUGIN)
        settings = project / "ansible.cfg"
        settings.write_text(settings.read_text() + "inventory_plugins = plugins\n")
    says(project, SAID)
    return project


def says(project, said):
    (project / "said.json").write_text(json.dumps(said))


def test_from_the_first_look_to_the_last(project, drcli):
    def run(command, *words):
        done = drcli(command, "--site", "room-a", TRUST, *words, cwd=project)
        return done.returncode, done.stdout + done.stderr

    code, told = run("validate")
    assert (code, "ok: 2 components on 3 hosts" in told) == (0, True), told
    assert told.rstrip().endswith("Next: drcli plan --site room-a --trust-inventory")
    code, told = run("plan")
    assert (code, "routing  r1,r2" in told) == (0, True), told
    assert told.rstrip().endswith("Next: drcli recover --site room-a --trust-inventory")
    code, told = run("preflight")
    assert (code, "warns bootstrap-inventory" in told) == (0, True), told
    assert told.rstrip().endswith("Next: drcli recover --site room-a --trust-inventory")
    code, told = run("verify")
    assert code == 1, told
    code, told = run("recover")
    assert code == 0, told
    marks = {path.name for path in (project / "marks").iterdir()}
    assert marks == {"routing-r1", "routing-r2", "imaging-img1"}
    code, told = run("verify", "--limit", "routers:!r2")
    assert code == 0, told


@pytest.mark.parametrize("command", ["validate", "plan", "preflight", "verify", "recover"])
def test_without_it_nothing_is_asked_and_the_option_is_named(project, drcli, command):
    canary = project / "canary"
    touch = f"open({str(canary)!r}, 'w')"
    path = project / "inventories/room-a/hosts.yml"
    if (plugin := project / "plugins/small.py").exists():
        plugin.write_text(f"{touch}\n{PLUGIN}")
    else:
        script(project, f"{touch}\n{path.read_text()}")
    done = drcli(command, "--site", "room-a", cwd=project)
    assert done.returncode == 2
    assert TRUST in done.stderr
    assert not canary.exists()


@pytest.mark.parametrize("command", ["validate", "plan", "preflight", "verify", "recover"])
def test_an_environment_or_a_setting_cannot_grant_it(project, drcli, command):
    settings = project / "ansible.cfg"
    settings.write_text(settings.read_text() + "trust_inventory = True\n")
    environment = {f"{name}TRUST_INVENTORY": "1" for name in ("DRCLI_", "ANSIBLE_", "")}
    done = drcli(command, "--site", "room-a", cwd=project, env=environment)
    assert (done.returncode, TRUST in done.stderr) == (2, True)


def test_a_site_file_cannot_grant_it(make_project, drcli):
    project = make_project(LAYERS, extra={"trust_inventory": True})
    done = drcli("validate", "--site", "room-a", cwd=project)
    assert (done.returncode, "trust_inventory: unknown field" in done.stderr) == (2, True)


def test_another_machine_at_the_address_stops_the_component(project, drcli):
    if not Path("/etc/machine-id").exists():
        pytest.skip("this machine has no /etc/machine-id")
    says(project, {**SAID, "_meta": {"hostvars": {"r2": {"machine_id": "0123456789abcdef" * 2}}}})
    done = drcli("recover", "--site", "room-a", TRUST, cwd=project)
    assert done.returncode == 1
    assert "r2: the machine at its address is" in done.stderr
    assert not list((project / "marks").iterdir())


def test_one_that_fails_is_told_with_what_it_said_and_nothing_is_begun(make_project, drcli):
    project = make_project(LAYERS)
    script(project, 'import sys; sys.exit("password=hunter2 the service is dead")')
    for command in ("validate", "plan", "preflight", "verify", "recover"):
        done = drcli(command, "--site", "room-a", TRUST, cwd=project)
        assert done.returncode == 2
        assert "the service is dead" in done.stderr
        assert "hunter2" not in done.stdout + done.stderr
    assert json.loads(drcli("runs", "--json", cwd=project).stdout or "[]") == []


def test_a_service_of_the_site_blocks(make_project, drcli):
    project = make_project(LAYERS)
    said = {**SAID, "_meta": {"hostvars": {"img1": {"other_addresses": ["192.0.2.9"]}}}}
    script(project, f"api = 'https://192.0.2.9/inventory'\nprint({json.dumps(said)!r})")
    done = drcli("preflight", "--site", "room-a", TRUST, cwd=project)
    assert done.returncode == 1
    assert "blocks bootstrap-inventory" in done.stdout
    assert "asks for the hosts 192.0.2.9, which is img1 (recovered by imaging)" in done.stdout


def test_workers_of_a_cluster_are_not_sent_one(make_project, drcli):
    project = make_project(LAYERS)
    script(project, f"print({json.dumps(SAID)!r})")
    for command in ("verify", "recover"):
        cluster = {"DRCLI_CLUSTER": "tcp://127.0.0.1:1"}
        done = drcli(command, "--site", "room-a", TRUST, cwd=project, env=cluster)
        assert done.returncode == 2
        assert "--trust-inventory: workers (DRCLI_CLUSTER)" in done.stderr


@pytest.mark.parametrize("command", ["validate", "plan", "preflight", "verify"])
def test_no_process_of_the_inventory_outlives_the_command(make_project, drcli, command):
    project = make_project(LAYERS)
    left = project / "left"
    quiet = "stdin=-3, stdout=-3, stderr=-3, start_new_session=True"
    script(
        project,
        f"import subprocess\nleft = subprocess.Popen(['sleep', '3600'], {quiet})\n"
        f"open({str(left)!r}, 'a').write(f'{{left.pid}}\\n')\nprint({json.dumps(SAID)!r})",
    )
    done = drcli(command, "--site", "room-a", TRUST, cwd=project)
    assert done.returncode == (command == "verify"), done.stderr  # no mark is there yet
    pids = [int(line) for line in left.read_text().split()]
    assert pids
    assert not [pid for pid in pids if runs(pid)]


def runs(pid):
    """Whether it is there and not merely waits to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
