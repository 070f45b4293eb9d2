"""An inventory that must be asked is what it is for Ansible; nothing of its asking stays behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clean_environment import clean_environment

from orchestrator.attempt import processes_of
from orchestrator.dynamic_inventory import LIMIT, ask
from orchestrator.errors import InputError
from orchestrator.inventory import load_inventory

OWN = Path(sys.executable)
SETTINGS = Path(__file__).parents[2] / "orchestrator/own_ansible.cfg"
SEALED = "$ANSIBLE_VAULT;1.1;AES256\n6162\n"
SAID = {
    "web": {"hosts": ["w2", "w1"], "vars": {"feed": "{{ other }}", "rank": 1}, "children": ["db"]},
    "db": {"hosts": ["db1"], "vars": {"rank": 2}},
    "_meta": {
        "hostvars": {"w1": {"password": {"__ansible_vault": SEALED}, "number": 3}, "w2": {}},
    },
}
PLUGIN = """\
from ansible.plugins.inventory import BaseInventoryPlugin

DOCUMENTATION = "name: small\\noptions: {plugin: {}, hosts: {type: list, default: []}}"


class InventoryModule(BaseInventoryPlugin):
    NAME = "small"

    def verify_file(self, path):
        return True

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path)
        print("what a plugin prints is no part of it")
        inventory.add_group("web")
        for name in self._read_config_data(path)["hosts"]:
            inventory.add_host(name, "web")
            inventory.set_variable(name, "where", "{{ place }}")
"""


@pytest.fixture
def site(tmp_path):
    """A project with one site; `script` and `write` put files into it."""

    class Site:
        project = tmp_path / "project"
        path = project / "inventories/room/hosts.yml"

        def write(self, name, text):
            path = self.project / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return path

        def script(self, body, by=f"{OWN} -P"):
            self.write("inventories/room/hosts.yml", f"#!{by}\n{body}\n").chmod(0o755)

        def says(self, said):
            self.script(f"print({json.dumps(said)!r})")

        def load(self):
            return load_inventory(self.path, trusted=True)

        def ask(self, limit=LIMIT):
            return ask(self.path, self.project, settings=SETTINGS, limit=limit)

        def by_ansible(self):
            words = [OWN.with_name("ansible-inventory"), "--list", "-i", self.path]
            done = subprocess.run(
                words, cwd=self.project, env=clean_environment(), capture_output=True, check=True
            )
            return json.loads(done.stdout)

        def left(self):
            return processes_of(f"look-{os.getpid()}/")

    return Site()


def test_a_program_s_hosts_groups_and_patterns_are_those_ansible_has(site):
    site.says(SAID)
    site.write("inventories/room/group_vars/web.yml", "colour: blue\nrank: 5\n")
    site.write("inventories/room/host_vars/w1.yml", "own: 1\n")
    loaded = site.load()
    theirs = site.by_ansible()
    assert loaded.asked == "a program"
    assert loaded.groups == ("web", "db")
    for group in ("web", "db"):
        assert theirs[group].get("hosts", []) == [
            host for host in loaded.hosts(group) if group == "db" or host not in loaded.hosts("db")
        ]
    assert loaded.hosts("web:!db") == ("w2", "w1")
    assert loaded.hosts("~d.1") == ("db1",)
    for host in loaded.all_hosts:
        found = loaded.variables(host)
        wanted = theirs["_meta"]["hostvars"].get(host, {})
        assert {name: found[name] for name in wanted if name != "password"} == {
            name: value for name, value in wanted.items() if name != "password"
        }
    assert loaded.variables("db1")["rank"] == 5  # files of any group count more than what it says
    assert {**loaded.itself("w1")}.keys() >= {"own", "number"}
    assert "colour" not in loaded.itself("w1")


def test_what_is_encrypted_stays_so_and_no_password_is_asked_for(site):
    site.says(SAID)
    site.write("inventories/room/group_vars/web.yml", SEALED)
    password = site.load().readable("w1")["password"]
    assert type(password).__name__ == "EncryptedString"


def test_a_program_that_is_asked_for_each_host(site):
    site.script(
        'import sys, json\nprint(json.dumps({"web": ["w1"]} if "--list" in sys.argv'
        ' else {"from": sys.argv[2]}))'
    )
    assert site.load().variables("w1")["from"] == "w1"


def test_a_host_s_name_is_no_range_and_has_no_port(site):
    site.says({"web": {"hosts": ["w1:22"]}, "_meta": {"hostvars": {}}})
    assert site.load().all_hosts == ("w1:22",)
    site.says({"web": {"hosts": ["w[1:3]"]}, "_meta": {"hostvars": {}}})
    with pytest.raises(InputError, match="cannot be a host's name"):
        site.load()


def test_a_host_may_have_the_name_of_a_group(site):
    site.says(
        {
            "web": {"hosts": ["web"], "vars": {"of": "group"}},
            "_meta": {"hostvars": {"web": {"own": 1}}},
        }
    )
    found = site.load().variables("web")
    assert (found["own"], found["of"]) == (1, "group")


def test_priorities_of_groups_count(site):
    first = {"hosts": ["h1"], "vars": {"x": "first", "ansible_group_priority": 9}}
    site.says(
        {
            "a": first,
            "b": {"hosts": ["h1"], "vars": {"x": "last"}},
            "_meta": {"hostvars": {}},
        }
    )
    assert site.load().variables("h1")["x"] == "first"


@pytest.mark.parametrize("place", ["settings", "collection", "collection of the settings"])
def test_a_plugin_is_found_where_ansible_finds_it(site, place):
    name = "small"
    if place == "settings":
        site.write("ansible.cfg", "[defaults]\ninventory_plugins = own/plugins\n")
        site.write("own/plugins/small.py", PLUGIN)
    else:
        folder, name = "collections", "some.where.small"
        if place != "collection":
            folder = "elsewhere"
            site.write("ansible.cfg", "[defaults]\ncollections_path = elsewhere\n")
        site.write(f"{folder}/ansible_collections/some/where/plugins/inventory/small.py", PLUGIN)
    site.write("inventories/room/hosts.yml", f"plugin: {name}\nhosts: [w1, w2]\n")
    site.write("inventories/room/group_vars/web.yml", "place: here\n")
    loaded = site.load()
    assert loaded.asked == f"the plugin '{name}'"
    assert loaded.hosts("web") == ("w1", "w2")
    assert loaded.variables("w2")["where"] == "{{ place }}"
    assert loaded.variables("w2")["place"] == "here"


def test_a_plugin_beside_the_inventory_is_not_found_as_ansible_does_not_find_it(site):
    for folder in ("", "inventories/", "inventories/room/"):
        site.write(f"{folder}inventory_plugins/small.py", PLUGIN)
    site.write("inventories/room/hosts.yml", "plugin: small\nhosts: [w1]\n")
    with pytest.raises(InputError, match="unknown plugin 'small'"):
        site.load()
    assert "web" not in site.by_ansible()


def test_hosts_that_are_written_are_read_and_nothing_is_asked(site):
    site.write("inventories/room/hosts.yml", "web: {hosts: {w1: }}\n")
    assert site.load().asked == ""


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ('import sys; sys.exit("no\\n \\x1b[31mservice")', "exit code 1"),
        ('import sys; sys.exit("no\\n \\x1b[31mservice")', "no service"),
        ('import sys; sys.exit("api_token=hunter2")', "api_token=********"),
        ("print('nonsense')", "could not be parsed as JSON"),
        ("", "could not be parsed as JSON"),
        ("print('[]')", "instead of"),
        ('print(\'{"web": {"hosts": 5}}\')', "instead of"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "UTF-8"),
        ("print('{}')", "no host in it"),
        ("import sys; sys.stderr.buffer.write(b'lost \\xff'); sys.exit(1)", "lost"),
        ("import os; os.kill(os.getpid(), 9)", "exit code -9"),
    ],
)
def test_a_program_that_fails_or_says_nonsense(site, body, told):
    site.script(body)
    with pytest.raises(InputError) as caught:
        site.load()
    assert told in caught.value.message
    assert str(site.path) in caught.value.message
    assert caught.value.message.isprintable()
    assert "hunter2" not in caught.value.message
    assert not site.left()


def test_a_program_that_cannot_be_run(site):
    site.script("", by="/no/such/interpreter")
    with pytest.raises(InputError, match="Failed to execute inventory script"):
        site.load()


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("raise ValueError('lost')", "lost"),
        ("import os; os._exit(0)", "exit code 0"),
        ("import os; os._exit(7)", "exit code 7"),
        ("raise SystemExit('gone')", "gone"),
    ],
)
def test_a_plugin_that_fails(site, statement, told):
    site.write("ansible.cfg", "[defaults]\ninventory_plugins = plugins\n")
    site.write("plugins/small.py", PLUGIN.replace("print(", f"{statement}; print("))
    site.write("inventories/room/hosts.yml", "plugin: small\nhosts: [w1]\n")
    with pytest.raises(InputError) as caught:
        site.load()
    assert told in caught.value.message


def test_a_plugin_whose_settings_are_encrypted_has_no_password(site):
    site.write("ansible.cfg", "[defaults]\ninventory_plugins = plugins\n")
    site.write("plugins/small.py", PLUGIN.replace('["hosts"]', '["hosts"].split()'))
    plugin = site.project / "plugins/small.py"
    plugin.write_text(plugin.read_text().replace("{type: list, default: []}", "{type: str}"))
    sealed = "\n".join(f"  {line}" for line in SEALED.splitlines())
    site.write("inventories/room/hosts.yml", f"plugin: small\nhosts: !vault |\n{sealed}\n")
    with pytest.raises(InputError, match="vault"):
        site.load()


def test_one_that_hangs_is_ended_with_all_it_has_started(site):
    site.script(
        "import subprocess, time\n"
        "subprocess.Popen(['sleep', '3600'], start_new_session=True)\ntime.sleep(3600)"
    )
    with pytest.raises(InputError, match="did not say its hosts within 2 s"):
        site.ask(limit=2)
    assert not site.left()


def test_what_one_that_answers_leaves_behind_is_ended(site):
    quiet = "stdin=-3, stdout=-3, stderr=-3, start_new_session=True"
    site.script(
        f"import subprocess\nsubprocess.Popen(['sleep', '3600'], {quiet})\n"
        f"print({json.dumps(SAID)!r})"
    )
    assert site.load().all_hosts
    assert not site.left()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_one_that_hangs_does_not_outlive_drcli(site, number):
    begun = site.project / "begun"
    site.script(f"import time; open({str(begun)!r}, 'w'); time.sleep(3600)")
    code = (
        "from pathlib import Path; from orchestrator.inventory import load_inventory; "
        f"load_inventory(Path({str(site.path)!r}), trusted=True)"
    )
    with subprocess.Popen([OWN, "-c", code], stderr=subprocess.DEVNULL) as process:
        _until(begun.exists)
        assert processes_of(f"look-{process.pid}/")
        process.send_signal(number)
        process.wait(timeout=60)
        _until(lambda: not processes_of(f"look-{process.pid}/"))


def _until(holds):
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
