"""Text of hosts is plain and bounded, and holds no secret."""

from __future__ import annotations

import json
import shlex
import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.redaction import HIDDEN, Redactor, cut, is_secret_name, plain, secret_values

CANARY = "canary-4711"


@pytest.mark.parametrize(
    "name",
    ["password", "db_password", "passwd", "API_KEY", "apikey", "ansible_become_pass", "token",
     "vault_db", "clientSecret", "private_key", "ldap-bind-passphrase", "tokens",
     "accessToken", "authToken", "dbPass", "pwd", "db_pwd", "dbPwd"],
)  # fmt: skip
def test_a_name_that_looks_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "passed",
        "bypass",
        "tokenizer",
        "key",
        "message",
        "compass",
        "private_key_file",
        "tokenizerModel",
        "Compass",
        "cpwd1",
    ],
)
def test_a_name_that_does_not(name):
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        f"password={CANARY}",
        f"password: {CANARY}",
        f'{{"db_password": "{CANARY}"}}',
        f'{{"db_password": "{CANARY}\\" and more"}}',
        f"PGPASSWORD='{CANARY} with spaces' psql",
        f"mysql --password {CANARY}",
        f"curl --api-key={CANARY}",
        f"https://user:{CANARY}@host/",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{CANARY}\n-----END OPENSSH PRIVATE KEY-----",
        f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}",
        f"{{'secret_token': '{CANARY}'}}",
    ],
)
def test_what_looks_like_a_secret_is_hidden_in_text(text):
    assert CANARY not in Redactor().text(text)
    assert HIDDEN in Redactor().text(text)


@pytest.mark.parametrize(
    "text",
    [
        "FATAL: password authentication failed for user",
        "Permission denied (publickey,password).",
        "3 tests passed: all",
        "http://host:8042/patients",
    ],
)
def test_ordinary_text_stays_as_it_is(text):
    assert Redactor().text(text) == text


def test_a_known_secret_is_hidden_wherever_it_stands():
    redactor = Redactor(['p"w', "line one\nline two"])
    shown = redactor.text('a p"w b ' + json.dumps('p"w') + " c line two")
    assert 'p"w' not in shown
    assert 'p\\"w' not in shown
    assert "line two" not in shown


def test_values_under_a_secret_name_are_hidden_at_any_depth():
    value = {"a": [{"db_password": CANARY, "ok": 1}], "vault_x": {"deep": CANARY}}
    shown = Redactor().value(value, longest=100)
    assert shown == {"a": [{"db_password": HIDDEN, "ok": 1}], "vault_x": HIDDEN}


def test_a_number_that_is_a_known_secret_is_hidden_and_another_stays():
    value = {"pin": 4711, "rate": 47.11, "n": 47, "yes": True, "none": None}
    shown = Redactor(["4711", "47.11", "True"]).value(value, longest=100)
    assert shown == {"pin": HIDDEN, "rate": HIDDEN, "n": 47, "yes": True, "none": None}


def test_secret_values_are_found_at_any_depth_and_no_others():
    value = {"a": {"password": [CANARY, {"b": 12345}]}, "open": "x", "no_password": False}
    assert secret_values(value) == {CANARY, "12345"}


def test_deep_nesting_is_cut_and_no_error():
    value: object = CANARY
    for _ in range(5_000):
        value = [value]
    assert CANARY not in json.dumps(Redactor().value(value, longest=100))


def test_control_characters_and_escapes_are_gone():
    assert plain("\x1b[31mred\x1b[0m\x07 \x1b]0;title\x07a\r\nb\x00\u202e") == "red a\nb"


@given(st.text(), st.integers(min_value=0, max_value=200))
def test_a_cut_text_is_as_long_as_asked_or_shows_the_cut(text, longest):
    shown = cut(text, longest)
    assert shown == text if len(text) <= longest else "characters cut" in shown
    assert len(shown) <= max(longest, 60)


@given(st.text())
def test_a_message_has_no_control_character_and_is_bounded(text):
    shown = Redactor().message(text * 50, 100)
    assert len(shown) <= 100
    assert not [c for c in shown if ord(c) < 32 and c not in "\n\t"]
    shown.encode()


@pytest.mark.parametrize(
    "piece",
    ["x", "x-", "password", "password ", "token.", "a://", "a:", '"', "\\", "-----BEGIN ", "--",
     "\x1b]", "-----BEGIN A PRIVATE KEY-----", "password='", "a://b:"],
)  # fmt: skip
def test_no_text_makes_it_slow(piece):
    begun = time.process_time()
    Redactor(["canary"]).message(piece * (64_000 // len(piece)))
    assert time.process_time() - begun < 2


def test_a_secret_at_the_edge_of_a_cut_is_not_shown_in_part():
    text = "x" * 3_990 + f"password={CANARY * 50}" + "y" * 10_000
    assert "4711" not in Redactor().message(text)


@pytest.mark.parametrize(
    "text",
    [
        "it is open-ses...",
        "{'x': 'open-ses…",
        "...n-sesame' then",
        "x" * 2000 + "open-sesa",
        "open-...same",
    ],
)
def test_what_is_left_of_a_secret_where_a_text_was_cut_is_taken_out(text):
    said = Redactor(["open-sesame"]).text(text)
    assert "open" not in said
    assert "same" not in said
    assert HIDDEN in said


@pytest.mark.parametrize("text", ["it opens...", "... is the same", "openly… to all", "x... y"])
def test_what_only_resembles_a_secret_at_a_cut_stays(text):
    assert Redactor(["open-sesame"]).text(text) == text


def test_a_secret_that_is_no_text_is_hidden_as_well():
    assert Redactor(["open-\ud800-sesame"]).text("it is open-\ud800-sesame") == f"it is {HIDDEN}"


def test_many_cuts_do_not_make_it_slow():
    Redactor([f"secret-{number}" * 20 for number in range(50)]).text("secr..." * 2_000)


@pytest.mark.parametrize("how", [json.dumps, repr, shlex.quote, lambda s: quote(s, safe="")])
def test_a_secret_is_known_however_it_is_written(how):
    secret = 'it\'s "a" pass/é%'
    assert Redactor([secret]).text(f"<{how(secret).strip(chr(39) + chr(34))}>").count("pass") == 0
