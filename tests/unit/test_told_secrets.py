"""What Ansible decrypts is told in a file for its owner alone, each value by itself."""

from __future__ import annotations

import os
import stat

import pytest

from orchestrator.told_secrets import LONGEST, Told, _values, tell, tell_variables, temporary


@pytest.fixture
def told(tmp_path, monkeypatch):
    for name, value in temporary(tmp_path).items():
        monkeypatch.setenv(name, value)
    return Told(tmp_path)


def test_nothing_is_told_at_first(told, tmp_path):
    assert told.more() == set()
    tell([])
    assert not list(tmp_path.iterdir())


def test_each_value_is_read_once(told, tmp_path):
    tell(["one", "with\nlines", "é"])
    assert told.more() == {"one", "with\nlines", "é"}
    tell(["two"])
    assert told.more() == {"two"}
    assert told.more() == set()
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o600


def test_a_line_that_is_being_written_is_read_when_it_is_whole(told, tmp_path):
    tell(["one"])
    with (tmp_path / "secrets").open("ab") as file:
        file.write(b'["tw')
        file.flush()
        assert told.more() == {"one"}
        file.write(b'o"]\n')
    assert told.more() == {"two"}


def test_variables_are_told_by_their_names_and_templates_are_not(told):
    tell_variables({"db_password": "x1", "port": 5, "api_key": "{{ other }}", "n": {"token": "y2"}})
    assert told.more() == {"x1", "y2"}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("just a value", {"just a value"}),
        ("a: one\nb: [two, {c: three}]\nd: true\ne: 5432\n", {"one", "two", "three", "5432"}),
        ("a: !unsafe one\nb: &x two\nc: *x\n", {"one", "two"}),
        ("a: |\n  many\n  lines\n", {"many\nlines\n"}),
        ("a: [\nb: two\n", {"a: [", "[", "b: two", "two"}),
        ("", set()),
        ("x" * (LONGEST + 1), set()),
    ],
)
def test_a_decrypted_file_is_its_values_and_a_value_itself(text, values):
    assert _values(text) - {""} == values


def test_the_file_is_nobody_elses_whatever_the_mask(told, tmp_path):
    before = os.umask(0)
    try:
        tell(["one"])
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o600
