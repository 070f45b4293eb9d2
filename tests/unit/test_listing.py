"""An inventory is read again when one of the files that Ansible reads for it has changed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from orchestrator.errors import InputError
from orchestrator.listing import listing


@pytest.fixture
def of_host(tmp_path):
    """What the one host of an inventory has as `a`."""
    path = tmp_path / "hosts.yml"
    path.write_text("all: {hosts: {r1: }}")
    return lambda **given: listing((path,), **given)["_meta"]["hostvars"]["r1"]["a"]


def test_what_yaml_has_for_a_name_and_json_has_not_is_a_text(of_host, tmp_path):
    (tmp_path / "hosts.yml").write_text(
        "all: {hosts: {r1: {a: {2026-01-01: [{2026-01-02: x}], 2: y, true: z}}}}"
    )
    assert of_host() == {"2026-01-01": [{"2026-01-02": "x"}], "2": "y", "true": "z"}


def test_a_change_behind_a_linked_folder_is_seen(of_host, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "all").symlink_to(shared)
    (shared / "a.yml").write_text("a: 1\n")
    assert of_host() == 1
    (shared / "a.yml").write_text("a: 22\n")
    assert of_host() == 22


@pytest.mark.parametrize("vault", [(), (("default", "canary"),)], ids=["no vault", "a vault"])
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2026-01-02", "2026-01-02"),
        ("2026-01-02 03:04:05", "2026-01-02T03:04:05"),
        ("[2026-01-02T03:04:05+02:00]", ["2026-01-02T03:04:05+02:00"]),
        ("!!set {y, 2026-01-02, x}", ["2026-01-02", "x", "y"]),
    ],
)
def test_what_yaml_has_and_json_has_not_is_the_same_with_a_vault_and_without(
    of_host, tmp_path, vault, written, read
):
    (tmp_path / "hosts.yml").write_text(f"all: {{hosts: {{r1: {{a: {written}}}}}}}")
    assert of_host(vault=vault) == read


def test_aliases_that_multiply_are_refused_before_they_unfold(of_host, tmp_path):
    names = "abcdefghij"
    lines = [f"{n}: &{n} [{', '.join([f'*{b}'] * 9)}]" for b, n in pairwise(names)]
    (tmp_path / "group_vars").mkdir()
    path = tmp_path / "group_vars" / "all.yml"
    path.write_text("\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *lines[:3]]))
    assert of_host() == ["x"] * 9
    path.write_text("\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *lines]))
    with pytest.raises(InputError, match=r"host r1: variable \w: more than 100,000 values"):
        of_host()


def test_what_no_password_was_given_for_is_nothing(of_host, tmp_path):
    path = tmp_path / "group_vars" / "all.yml"
    path.parent.mkdir()
    path.write_text("a: !vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  6136\n")
    assert of_host() is None


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("!!binary aGVsbG8=", "neither text"),
        ("{b: [!!binary aGVsbG8=]}", "neither text"),
        ("!!set {!!binary aGVsbG8=}", "neither text"),
        ("&x [*x]", "or in itself"),
        ("&x {b: *x}", "or in itself"),
        ("&x [*x, *x]", "or in itself"),
        ("[" * 200 + "]" * 200, "nested deeper"),
        ("0x" + "f" * 5_000, "4300 digits"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_host_and_its_name(
    of_host, tmp_path, written, told
):
    path = tmp_path / "group_vars" / "all.yml"
    path.parent.mkdir()
    path.write_text(f"a: {written}\n")
    with pytest.raises(InputError, match=f"hosts.yml: host r1: variable a: .*{told}"):
        of_host()
