"""How hosts are reached, read off their variables; nothing is evaluated or run."""

from __future__ import annotations

import configparser

import pytest

from orchestrator.project import project_settings
from orchestrator.reach import is_address, reach_of, ssh_settings
from orchestrator.references import plain


def reach(variables, itself=None, text=""):
    settings = configparser.ConfigParser(interpolation=None)
    settings.read_string(text)
    return reach_of("h1", variables, itself=itself or {}, settings=settings)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{{ a }}", "1"),
        ("{{a}}.{{ b.c }}", "1.2"),
        ("{{ b['c'] }}-{{ d[1] }}", "2-y"),
        ("{{ b.c }}{{ inventory_hostname }}", "2h1"),
        ("{{ deep }}", "1"),
        ("{{ d }}", ["x", "y"]),
        ("plain", "plain"),
        (["{{ a }}", {"k": "{{ a }}"}], ["1", {"k": "1"}]),
    ],
)
def test_plain_references_are_filled_in(value, expected):
    known = {"a": "1", "b": {"c": 2}, "d": ["x", "y"], "deep": "{{ a }}", "value": value}
    assert plain("h1", known)["value"] == expected


@pytest.mark.parametrize(
    "value",
    [
        "{{ lookup('pipe', 'id') }}",
        "{{ a | upper }}",
        "{{ nowhere }}",
        "{{ value }}",
        "x{{ value }}",
        "{{ d[9] }}",
        "{{ b.c.e }}",
        "{% if a %}1{% endif %}",
        "#jinja2: variable_start_string: '['\n[ a ]",
        ["{{ a ~ a }}"],
    ],
)
def test_what_only_ansible_could_evaluate_is_left_out(value):
    assert "value" not in plain("h1", {"a": "1", "b": {"c": 2}, "d": ["x"], "value": value})


def test_references_that_multiply_end():
    known = {f"v{n}": f"{{{{ v{n + 1} }}}}" * 10 for n in range(12)} | {"v12": "x" * 100}
    assert len(str(plain("h1", known).get("v0", ""))) <= 4_096


def test_a_hosts_address_is_its_name_where_nothing_says_another():
    assert reach({}).address == "h1"
    assert reach({"ansible_host": "192.0.2.1"}).address == "192.0.2.1"
    assert reach({"ansible_host": "{{ p }}.7", "p": "192.0.2"}).address == "192.0.2.7"
    assert reach({"ansible_host": "{{ lookup('x') }}"}).address is None


def test_variables_win_over_the_projects_settings():
    text = "[defaults]\nremote_user = a\nprivate_key_file = /k\ntransport = local\n"
    assert (reach({}, text=text).user, str(reach({}, text=text).key)) == ("a", "/k")
    assert not reach({}, text=text).over_ssh
    assert reach({"ansible_user": "b", "ansible_connection": "ssh"}, text=text).user == "b"


def test_its_own_addresses_are_those_of_its_own_variables_and_other_addresses():
    itself = {"ansible_host": "192.0.2.1", "core": "198.51.100.1/24", "n": 7}
    group = {"nameservers": ["198.51.100.99"], "other_addresses": ["203.0.113.{{ n }}"]}
    own = reach({**group, **itself}, itself).own
    assert own == {"h1", "192.0.2.1", "198.51.100.1", "203.0.113.7"}


@pytest.mark.parametrize(
    "text",
    [
        "-o ProxyCommand='touch x'",
        "-oProxyCommand=touch",
        "-o proxycommand touch",
        "-o 'LocalCommand=x'",
        "-o PermitLocalCommand=yes",
        "-o KnownHostsCommand=/bin/x",
        "-o PKCS11Provider=/tmp/x.so",
        "-o SecurityKeyProvider=/tmp/x.so",
        "-o IdentityAgent=/tmp/x",
        "-o Include=/tmp/x",
        "-o Match=exec",
        "-F /tmp/config",
        "-I /tmp/x.so",
        "-L 1:localhost:1",
        "-D 1",
        "-A",
        "-o ForwardAgent=yes",
        "-o XAuthLocation=/tmp/x",
        "-o UserKnownHostsFile=$(x)",
        "-o 'ProxyJump=a;x'",
        "-J -oProxyCommand=x",
        "-J a,-oProxyCommand=x",
        "-J root@-oProxyCommand=x",
        "-l 'a b;c'",
        "-o 'User=`x`'",
        '-o "User=a\nProxyCommand=x"',
        "-E log",
        "-w 0",
        "host command",
        "-o",
        "'",
    ],
)
def test_an_argument_that_is_more_than_a_setting_is_refused(text):
    kept, refused = ssh_settings(f"-C {text}")
    assert (kept, bool(refused)) == ((), True)


def test_settings_are_kept_and_ours_are_left_out():
    text = (
        "-C -o ControlMaster=auto -o ControlPersist=60s -o StrictHostKeyChecking=no "
        "-o UserKnownHostsFile=/k -J r1 -p 22 -o 'ConnectTimeout 3'"
    )
    kept = ("-o", "UserKnownHostsFile=/k", "-o", "ProxyJump=r1", "-p", "22")
    assert ssh_settings(text) == ((*kept, "-o", "ConnectTimeout 3"), "")


@pytest.mark.parametrize("name", ["ansible_host", "ansible_user", "ansible_port"])
@pytest.mark.parametrize("value", ["$(x)", "a;b", "a b", "-oProxyCommand=x", "a|b", "`x`", "a\nb"])
def test_what_a_proxys_shell_would_run_is_refused(name, value):
    assert reach({name: value}).refused == f"{name} {value}"


def test_another_ssh_is_refused_be_it_named_by_a_variable_or_a_setting():
    assert reach({"ansible_ssh_executable": "./x"}).refused == "ssh_executable ./x"
    assert reach({}, text="[ssh_connection]\nssh_executable = /tmp/x\n").refused


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("192.0.2.1", True), ("2001:db8::1", True), ("[::1]", True), ("h1", False), ("1.2", False)],
)
def test_addresses_are_told_from_names(text, is_one):
    assert is_address(text) is is_one


def test_a_broken_ansible_cfg_is_empty(tmp_path):
    path = tmp_path / "ansible.cfg"
    for content in (b"no section\n", b"[a]\n\xff", None):
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
        assert project_settings(path).sections() == []
