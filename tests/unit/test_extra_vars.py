"""Extra variables are data: everything Ansible's users write, and no Jinja."""

from __future__ import annotations

import json

import pytest

from orchestrator.cli.ansible_options import build_options, parse_extra_vars
from orchestrator.errors import InputError


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["a=1"], {"a": "1"}),
        (["a=1 b='two words'"], {"a": "1", "b": "two words"}),
        (['{"a": [1, {"b": null}]}'], {"a": [1, {"b": None}]}),
        (["a=1", "a=2"], {"a": "2"}),
        (["a=x=y"], {"a": "x=y"}),
        ([], {}),
    ],
)
def test_values_as_ansible_users_write_them(values, expected):
    assert parse_extra_vars(values) == expected


def test_a_file_of_yaml_or_json(tmp_path):
    for name, text in (("v.yml", "a: no\nb: [1]\n"), ("v.json", json.dumps({"a": "no", "b": [1]}))):
        (tmp_path / name).write_text(text)
        assert parse_extra_vars([f"@{tmp_path / name}"]) == {"a": "no", "b": [1]}


@pytest.mark.parametrize(
    "value",
    [
        "a={{ lookup('pipe', 'id') }}",
        '{"a": ["{% if x %}"]}',
        '{"a": {"b": "{# #}"}}',
        '{"{{ a }}": 1}',
        # Written with escapes, in YAML, in a file; and with delimiters of its own.
        r'{"a": "\u007b\u007b 1 }}"}',
        "@yaml",
        "@json",
        "a=1 b='#jinja2:variable_start_string:\"[[\"' c=2",
        r"""{"a": ["#jinja2:variable_start_string:'[['\n[[ lookup('pipe', 'id') ]]"]}""",
    ],
)
def test_jinja_is_refused_wherever_it_stands(value, tmp_path):
    (tmp_path / "yaml").write_text('a: {b: ["\\x7b\\x7b 1 }}"]}\n')
    (tmp_path / "json").write_text('{"a": "\\u007b% x %}"}')
    if value.startswith("@"):
        value = f"@{tmp_path}/{value[1:]}"
    with pytest.raises(InputError, match="Jinja"):
        parse_extra_vars(["z=1", value, "z=2"])


@pytest.mark.parametrize("value", ["a", "a b=1", "{not json", "[1]", "'", "@/no/such/file", "1a=2"])
def test_what_is_no_variable_is_an_error(value):
    with pytest.raises(InputError):
        parse_extra_vars([value])


def test_an_encrypted_file_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "v.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6161\n")
    with pytest.raises(InputError, match="encrypted") as caught:
        parse_extra_vars([f"@{tmp_path / 'v.yml'}"])
    assert "group_vars" in caught.value.hint


def test_the_become_password_is_read_from_its_file_and_never_shown(tmp_path):
    (tmp_path / "password").write_text("s3cret\n")
    built = build_options(become_password_file=tmp_path / "password")
    assert built.become_password == "s3cret"
    assert "s3cret" not in repr(built)
