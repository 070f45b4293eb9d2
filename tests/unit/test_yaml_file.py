"""YAML as people write it, and as nobody should: read or refused, in a moment, with its place."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.yaml_file import MAX_BYTES, MAX_DEPTH, read_document, read_yaml

SECONDS = 2.0  # of CPU time; each takes a fraction of one on an idle machine


@pytest.fixture
def read(tmp_path):
    def read_text(content):
        path = tmp_path / "file.yml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        begun = time.process_time()
        try:
            return read_yaml(path)
        finally:
            assert time.process_time() - begun < SECONDS

    return read_text


def refusal(read, content):
    with pytest.raises(InputError) as caught:
        read(content)
    assert caught.value.exit_code == 2
    return caught.value.message.partition("file.yml")[2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("22:22", "22:22"),
        ("2020-01-01", "2020-01-01"),
        ("10.77.0.1", "10.77.0.1"),
        ("4h", "4h"),
        ("010", 10),
        ("0o17", 15),
        ("0x1f", 31),
        ("-3", -3),
        ("0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".inf", float("inf")),
        ("true", True),
        ("~", None),
        ("", None),
        ("'true'", "true"),
        ('"5"', "5"),
        ("!!str 5", "5"),
        ("|\n  two\n  lines\n", "two\nlines\n"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(read, text, value):
    assert read(f"a: {text}") == {"a": value}


def test_an_old_yaml_directive_does_not_turn_no_into_false(read):
    assert read("%YAML 1.1\n---\na: no\nb: 22:22\n") == {"a": "no", "b": "22:22"}


@pytest.mark.parametrize("mark", [b"\xef\xbb\xbf", b""])
def test_a_byte_order_mark_and_windows_line_ends_change_nothing(read, mark):
    assert read(mark + b"a: 1\r\nb:\r\n  - x\r\n") == {"a": 1, "b": ["x"]}


def test_an_empty_file_is_nothing(read):
    assert read("") is None


def test_an_alias_is_the_value_it_names(read):
    assert read("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a: 1\nb: 2\na: 3\n", ":3:1: a: written twice, first in line 1; keep one of them"),
        ("a:\n\tb: 1\n", ":2:1: not YAML: found character '\\t' that cannot start any token"),
        (b"a: \x00b\n", ":1:4: the character U+0000 is not allowed"),
        (b"a: 1\nb: \xff\n", ":2:4: byte 0xff is not UTF-8"),
        ("a: 1".encode("utf-16"), ":1:1: byte 0xff is not UTF-8"),
        ("a: !!python/object:os.system {}", ":1:4: a: the tag !!python/object:os.system is ref"),
        ("a: !!python/object/apply:os.system ['id']", ":1:4: a: the tag !!python/object/apply"),
        ("a: [1,\nb: 3", ":2:5: not YAML: expected ',' or ']'"),
        ("a: b: c", ":1:5: not YAML: mapping values are not allowed here"),
        ("a: 1\n---\nb: 2\n", ":2:1: a second document"),
        ("? [a, b]\n: c\n", ":1:3: a key that is not text"),
        ("&a [*a]\n", ":1:5: [0]: the alias *a has no anchor before it"),
        ("a: " + "9" * 10_000, ":1:4: a: a number out of range"),
    ],
)
def test_what_is_wrong_is_told_with_line_and_column(read, content, told):
    assert refusal(read, content).startswith(told)


@pytest.mark.parametrize("text", ["*x\u2028", "!\x9b a", "a: *\u202e", "!a%1b b"])
def test_a_message_never_holds_what_a_terminal_would_obey(read, text):
    assert refusal(read, text).isprintable()


def test_tabs_come_with_what_to_do(read):
    assert "indent with spaces, not tabs" in refusal(read, "a:\n\tb: 1\n")


def test_every_duplicate_and_every_tag_is_told_not_the_first_alone(read):
    told = refusal(read, "a: 1\na: !x 2\nb: !y 3\nb: 4\n")
    assert told.count("written twice") == 2
    assert told.count("is refused") == 2


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? ", "[{a: "])
def test_deep_nesting_is_refused_before_it_exhausts_the_stack(read, opening):
    assert ":1:" in refusal(read, opening * 20_000)


def test_the_deepest_nesting_allowed_is_read(read):
    depth = MAX_DEPTH
    assert read("[" * depth + "]" * depth) is not None
    assert "nested deeper" in refusal(read, "[" * (depth + 2) + "]" * (depth + 2))


def test_an_alias_bomb_of_400_bytes_is_refused_before_it_unfolds(read):
    names = "abcdefghij"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n" for below, name in pairwise(names)
    )
    assert "once aliases are expanded" in refusal(read, bomb)


def test_ten_megabytes_are_refused_unread(read):
    assert "larger than 128 KiB" in refusal(read, b"a: " + b"x" * 10_000_000)


def test_a_file_that_is_not_there_or_not_a_file_is_refused(tmp_path):
    for path in (tmp_path / "none.yml", tmp_path):
        with pytest.raises(InputError, match=str(path)):
            read_yaml(path)


@pytest.mark.parametrize(
    "piece",
    ["[", "{", "- ", "? ", "a: ", '"', "'", "\n", "# x\n", "&a ", "*a ", "!a ", "|", "> ", "---\n",
     "a,", "[],", "- a\n", "a: b\n", "\\", "\u2028", "\r", "\x85", "x: |\n", "é", '"a",', "%Y\n"],
)  # fmt: skip
@pytest.mark.parametrize("start", ["", "{"])
def test_any_piece_repeated_to_the_largest_size_is_answered_in_a_moment(read, start, piece):
    content = (start + piece * (MAX_BYTES // len(piece.encode()))).encode()[:MAX_BYTES]
    with suppress(InputError):
        read(content)


FRAGMENTS = st.sampled_from(
    ["a", "b: ", "- ", "? ", ": ", "[", "]", "{", "}", ",", "\n", "\n  ", "\t", "&x ", "*x",
     "!!str ", "!t ", "|\n ", ">-\n", '"', "'", "#", "---\n", "...\n", "%YAML 1.2\n", "<<: ",
     "\\", "~", "1", "é", "\u2028", "\r", "\ufeff", "\x00"]
)  # fmt: skip


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.one_of(st.binary(max_size=300), st.lists(FRAGMENTS, max_size=40).map("".join)))
def test_any_content_is_read_or_refused_with_a_place_never_a_traceback(read, content):
    told = "file.yml:"
    try:
        read(content)
    except InputError as error:
        told = error.message
    assert all("file.yml:" in line for line in told.splitlines())


def test_a_document_knows_where_each_key_and_value_stands(tmp_path):
    path = tmp_path / "file.yml"
    path.write_text("a: 1\nb:\n  - c\n  - d: e\n")
    document = read_document(path)
    assert document.place(("b", 1, "d")).column == 8
    assert document.place(("b", 1, "d"), on_key=True).column == 5
    assert document.place(("b", 1, "missing")).line == 4
