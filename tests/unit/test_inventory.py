"""Ansible's own inventory: patterns mean what they mean there; nothing wrong passes as no host."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.inventory import load_inventory

HOSTS = """\
all:
  children:
    routers:
      hosts:
        r1: {ansible_host: 10.0.0.1, feed: A}
        r2: {ansible_host: 10.0.0.2, feed: "{{ other }}"}
      vars: {networks: [core, storage]}
    databases:
      hosts: {"db[1:3]": }
    core:
      children: {routers: , databases: }
    empty: {hosts: {}}
"""


@pytest.fixture
def inventory(tmp_path):
    def load(text=HOSTS, **files):
        for name, content in files.items():
            path = tmp_path / "group_vars" / f"{name}.yml"
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        path = tmp_path / "hosts.yml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_inventory(path)

    return load


def test_hosts_and_groups_come_in_the_order_of_the_file(inventory):
    loaded = inventory()
    assert loaded.all_hosts == ("r1", "r2", "db1", "db2", "db3")
    assert loaded.groups == ("routers", "databases", "core", "empty")


@pytest.fixture
def one_inventory(inventory):
    return inventory()


@pytest.mark.parametrize(
    ("pattern", "hosts"),
    [
        ("routers", ("r1", "r2")),
        ("r2", ("r2",)),
        ("core:!routers", ("db1", "db2", "db3")),
        ("core:&routers", ("r1", "r2")),
        ("databases,r1", ("db1", "db2", "db3", "r1")),
        ("db*", ("db1", "db2", "db3")),
        ("~db[12]", ("db1", "db2")),
        ("databases[0]", ("db1",)),
        ("databases[1:2]", ("db2", "db3")),
        ("all", ("r1", "r2", "db1", "db2", "db3")),
    ],
)
def test_a_pattern_names_what_it_names_for_ansible(inventory, pattern, hosts):
    assert sorted(inventory().hosts(pattern)) == sorted(hosts)


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("rooters", "no group or host 'rooters'; did you mean 'routers'?"),
        ("routers:nosuch", "no group or host 'nosuch'"),
        ("routers:!nosuch", "no group or host 'nosuch'"),
        ("localhost", "no group or host 'localhost'"),
        ("empty", "'empty' matches no host"),
        ("x*", "'x*' matches no host"),
        ("routers:!routers", "matches no host"),
        ("routers[7]", "is not a pattern"),
        ("@/etc/passwd", "no group or host"),
        ("", "is not a pattern"),
        ("\n", "is not a pattern"),
        ("[", "is not a pattern"),
        ("-rf", "no group or host '-rf'"),
    ],
)
def test_a_pattern_that_names_nothing_is_refused(inventory, pattern, told):
    loaded = inventory()
    with pytest.raises(InputError) as caught:
        loaded.hosts(pattern)
    assert told in caught.value.message
    assert "hosts.yml" in caught.value.message


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.text(st.sampled_from("rdb12!&:,*?[]~-@{}()|\\ \n.é"), max_size=10))
def test_any_pattern_names_hosts_or_is_refused(one_inventory, pattern):
    with suppress(InputError):
        assert one_inventory.hosts(pattern)


def test_variables_are_the_hosts_and_its_groups_untemplated(inventory):
    loaded = inventory(routers="feed: B\nsite_domain: example\n")
    variables = loaded.variables("r2")
    assert variables["networks"] == ["core", "storage"]
    assert variables["site_domain"] == "example"
    assert variables["feed"] == "{{ other }}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("all:\n\thosts:\n", ":2:1: YAML parsing failed: Tabs"),
        ("all:\n  hosts: {a: [}\n", ":2:12: YAML parsing failed"),
        ("- a\n", "should be a dictionary"),
        ("", "Parsed empty YAML file"),
        ("all: {hosts: [a, b]}", 'Invalid "hosts" entry'),
        ("all: {hosts: {5: {}}}", "must be a string"),
        ("all: {hosts: {a: 5}}", "expected dictionary"),
        ("plugin: constructed", "it names the plugin"),
        ("[routers]\nr1\n", "YAML parsing failed"),
        ("all: {hosts: {}}", "no host in it"),
        ("routers: 5", "no host in it"),
        ("a: {children: {b: {children: {a: {}}}}}", "recursive dependency loop"),
        ("a:\n  hosts: {r1: }\n  hosts: {r2: }\n", ":3:3: YAML parsing failed: Found duplicate"),
        ("a: {hosts: {r1: {x: 1}, r1: }}\n", ":1:25: YAML parsing failed: Found duplicate"),
        ("all: \x00", "control characters"),
        (b"all:\n  \xff", "hosts.yml:2:3: byte 0xff is not UTF-8; save the file as UTF-8"),
        ('all: {"hosts": {"a": {}}, "children": {"x\\e[31m": [1]}}', "hosts.yml"),
        ('all: {"hosts": {"a\\e[31m[": {}}}', "hosts.yml"),
        ("[" * 20_000, "YAML parsing failed"),
    ],
)
def test_a_file_that_ansible_cannot_read_is_an_error_never_an_empty_inventory(
    inventory, text, told
):
    with pytest.raises(InputError) as caught:
        inventory(text)
    assert told in caught.value.message
    assert "hosts.yml" in caught.value.message
    assert caught.value.message.isprintable()


@pytest.mark.parametrize("name", ["a;b", "{{ x }}", "a,b", "a b", "-a", "a\\nb", "a\\u001b"])
def test_a_hosts_name_that_could_harm_a_command_line_is_refused(inventory, name):
    with pytest.raises(InputError, match="cannot be a host's name"):
        inventory(f'all: {{hosts: {{"{name}": {{}}}}}}')


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.yml", tmp_path):
        with pytest.raises(InputError, match="no such inventory"):
            load_inventory(path)


def test_broken_group_variables_are_told_with_their_own_file_and_line(inventory):
    with pytest.raises(InputError, match=r"group_vars/routers.yml:3:1: "):
        inventory(routers="a: 1\nb: [\n").variables("r1")


@pytest.mark.parametrize("folder", ["group_vars/all.yml", "host_vars/r1/a.yml"])
def test_variables_that_are_not_utf_8_are_told_with_their_own_file_and_line(
    inventory, tmp_path, folder
):
    path = tmp_path / folder
    path.parent.mkdir(parents=True)
    path.write_bytes("a: é\n# d".encode() + b"\xe9j\xe0\n")
    with pytest.raises(InputError) as caught:
        inventory().variables("r1")
    assert caught.value.message == f"{path}:2:4: byte 0xe9 is not UTF-8; save the file as UTF-8"


def test_a_value_that_yaml_cannot_hold_is_told_with_its_own_file(inventory):
    with pytest.raises(InputError, match=r"group_vars/routers.yml: .*month must be in"):
        inventory(routers="a: 2026-13-01\n").variables("r1")


def test_a_variable_written_twice_is_refused_with_its_own_file_and_line(inventory):
    with pytest.raises(InputError, match=r"group_vars/routers.yml:2:1: .*duplicate mapping key"):
        inventory(routers="a: 1\na: 2\n").variables("r1")


def test_a_play_that_says_twice_which_hosts_is_refused(inventory, tmp_path):
    path = tmp_path / "play.yml"
    path.write_text("- hosts: routers\n  hosts: databases\n")
    with pytest.raises(InputError, match=r"play.yml:2:3: .*duplicate mapping key 'hosts'"):
        inventory().playbook(path)


def test_what_ansible_warns_of_is_told_without_the_lines_around_it(inventory, capsys):
    loaded = inventory("a: {hosts: {r1: }, vars: {when: 1, ansible_password: canary}, c: {x: }}\n")
    assert loaded.variables("r1")["when"] == 1
    assert loaded.variables("r1")["when"] == 1
    first, second = loaded.warnings
    assert first.startswith("Skipping unexpected key (c) in group (a)")
    assert second.endswith("hosts.yml:1:27: Found variable using reserved name 'when'.")
    assert capsys.readouterr() == ("", "")


def test_variables_encrypted_without_a_password_are_an_error_of_input(inventory):
    loaded = inventory(routers="$ANSIBLE_VAULT;1.1;AES256\n6162\n")
    with pytest.raises(InputError, match="vault password"):
        loaded.variables("r1")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- hosts: x\n  tasks: [\n", ":3:"),
        ("-\thosts: x\n\t- a", ":1:"),
        ("hosts: x\n", "no list of plays"),
        ("", "no list of plays"),
        ("[]", "no list of plays"),
        ("\x00", "control characters"),
    ],
)
def test_a_playbook_that_is_not_one_is_refused_with_its_place(inventory, tmp_path, text, told):
    path = tmp_path / "play.yml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        inventory().playbook(path)
    assert told in caught.value.message
    assert "play.yml" in caught.value.message


def test_a_playbook_may_hold_ansibles_own_tags(inventory, tmp_path):
    path = tmp_path / "play.yml"
    path.write_text('- hosts: routers\n  vars: {a: !vault "x", b: !unsafe "{{ y }}"}\n')
    assert inventory().playbook(path)[0]["hosts"] == "routers"


def test_ansible_is_not_imported_until_an_inventory_is_loaded():
    code = "import sys, orchestrator.plan; print('ansible' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "False"
