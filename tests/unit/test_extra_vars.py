"""Extra variables as they are typed: what is taken, what is refused, and that no value is shown."""

from __future__ import annotations

import pytest

from orchestrator.cli.ansible_options import parse_extra_vars
from orchestrator.errors import InputError
from orchestrator.work import AnsibleOptions


def test_pairs_json_and_files_are_taken_and_a_later_one_wins(tmp_path):
    path = tmp_path / "vars.yml"
    path.write_text("c: 3\nd: [x]\n")
    found = parse_extra_vars(["a=1 b='two words'", '{"b": true}', f"@{path}"])
    assert found == {"a": "1", "b": True, "c": 3, "d": ["x"]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "it is empty"),
        ("canary", "word 1 is not key=value"),
        ("a=canary canary", "word 2 is not key=value"),
        ("a-b=canary", "word 1 is not key=value"),
        ("pass='canary", "No closing quotation"),
        ('{"pass": "canary"', "not JSON: line 1"),
        ('["canary"]', "not a mapping"),
        ('{"a b": "canary"}', "not a mapping of names"),
        ("[" * 100_000, "not JSON"),
        ('{"x": ' + "[" * 30 + "]" * 30 + "}", "x: nested deeper"),
        ("@/nowhere", "/nowhere: cannot be read"),
        ('{"x": [{"y": "{% raw %}canary"}]}', "x: Jinja is refused"),
        ('{"x": {"{{ canary }}": 1}}', "x: Jinja is refused"),
        ("x=canary\udcff", "x: it is no text"),
        ('{"x": [{"canary\\ud800": 1}]}', "x: it is no text"),
        ("x='#jinja2:canary'", "x: Jinja is refused"),
    ],
)
def test_what_is_no_data_is_refused_and_not_shown(given, said):
    with pytest.raises(InputError) as caught:
        parse_extra_vars([given])
    assert said in caught.value.message
    assert "canary" not in caught.value.message


def test_an_encrypted_file_is_refused(tmp_path):
    path = tmp_path / "vars.yml"
    path.write_text("$ANSIBLE_VAULT;1.1;AES256\n6136\n")
    with pytest.raises(InputError, match="encrypted"):
        parse_extra_vars([f"@{path}"])


def test_the_options_show_nothing_that_may_be_secret():
    options = AnsibleOptions(
        extra_vars={"pin": "canary-1"},
        vault=(("default", "canary-2"),),
        opened=frozenset({"canary-3"}),
        become_password="canary-4",
    )
    assert "canary" not in repr(options)
    assert options.secrets({"more": ["canary-5", "on"], "token": "abc"}) == {
        *(f"canary-{number}" for number in range(1, 6)),
        "abc",
    }


def test_a_number_that_is_long_enough_is_as_secret_as_a_text():
    variables = {"code": 12345678, "more": [{"ratio": 0.1234567}], "short": 1234567, "on": True}
    assert AnsibleOptions(extra_vars=variables).secrets({}) == {"12345678", "0.1234567"}
