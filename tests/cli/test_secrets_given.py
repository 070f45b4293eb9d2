"""Vaults, extra variables and passwords through the real command: given, missing, wrong."""

from __future__ import annotations

import json
import os
import pty
import sys
from pathlib import Path

import pytest
from clean_environment import clean_environment
from vaults import vault

ONE = {"network": [{"name": "routing", "hosts": "img1", "settle": "0s"}]}
PIN = "the-pin-of-the-vault"
GATE = f"""\
minimum_checks = 1


def test_pin(host):
    assert host.ansible.get_variables()["pin"] == "{PIN}"
    assert host.file("MARK").exists
"""


@pytest.fixture
def password(tmp_path):
    path = tmp_path / "vault-password"
    path.write_text("open sesame\n")
    return path


@pytest.fixture(params=["file", "value"])
def vaulted(request, make_project, password):
    """A project whose playbook and gate need what the vault has: a whole file, or one value."""
    project = make_project(ONE)
    variables = project / "inventories/room-a/group_vars/imaging.yml"
    variables.parent.mkdir()
    if request.param == "file":
        variables.write_text(vault(password, "encrypt", text=f"pin: {PIN}\n"))
    else:
        variables.write_text(vault(password, "encrypt_string", "--stdin-name", "pin", text=PIN))
    needs_it(project)
    return project


def needs_it(project):
    playbook = project / "playbooks/network/routing.yml"
    check = f"    - ansible.builtin.assert: {{that: pin == '{PIN}', quiet: true}}\n"
    playbook.write_text(playbook.read_text().replace("  tasks:\n", f"  tasks:\n{check}"))
    mark = project / "marks/routing-img1"
    gate = project / "playbooks/network/test_routing.py"
    gate.write_text(GATE.replace("MARK", str(mark)))


def recover(drcli, project, *words, code=0, command="recover", **how):
    done = drcli(command, "--site", "room-a", *words, cwd=project, **how)
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.mark.parametrize(
    ("vaulted", "how"),
    [("file", "id"), ("value", "file"), ("file", "script"), ("value", "ansible.cfg")],
    indirect=["vaulted"],
)
def test_a_vault_is_opened_for_inventory_playbook_and_gate(vaulted, drcli, password, how):
    script = password.with_name("vault-client")
    script.write_text(f'#!/bin/sh\n[ "$*" = "--vault-id room" ] && cat {password}\n')
    script.chmod(0o755)
    words = {
        "file": ["--vault-password-file", password],
        "id": ["--vault-id", f"room@{password}"],
        "script": ["--vault-id", f"room@{script}"],
        "ansible.cfg": [],
    }[how]
    if how == "ansible.cfg":
        (vaulted / "ansible.cfg").write_text(f"[defaults]\nvault_password_file = {password}\n")
    recover(drcli, vaulted, *words)


def test_a_verification_opens_a_vault_and_knows_extra_variables_too(make_project, drcli, password):
    project = make_project({**ONE, "storage": [{"name": "volumes", "hosts": "img1"}]})
    needs_it(project)
    (project / "marks/routing-img1").write_text("up")
    other = project / "playbooks/storage/test_volumes.py"
    looks = 'def test_it(host):\n    assert host.ansible.get_variables()["n"] == 4\n'
    other.write_text(f"minimum_checks = 1\n\n\n{looks}")
    variables = project / "inventories/room-a/group_vars/imaging.yml"
    variables.parent.mkdir()
    variables.write_text(vault(password, "encrypt", text=f"pin: {PIN}\n"))
    words = ["--vault-password-file", password, "-e", '{"n": 4}']
    recover(drcli, project, *words, command="verify")


@pytest.mark.parametrize("command", ["recover", "verify"])
def test_without_its_password_nothing_starts(vaulted, drcli, command):
    done = recover(drcli, vaulted, code=2, command=command)
    assert "group_vars/imaging.yml:" in done.stderr
    assert "it is encrypted, and no vault password was given" in done.stderr
    assert "--vault-password-file" in done.stderr
    assert "No run" in drcli("runs", cwd=vaulted).stdout


def test_a_plan_of_what_is_encrypted_says_which_option_opens_it(make_project, drcli, password):
    project = make_project(ONE)
    variables = project / "inventories/room-a/group_vars/all.yml"
    variables.parent.mkdir()
    variables.write_text(vault(password, "encrypt", text=f"pin: {PIN}\n"))
    for command in ("plan", "validate"):
        done = recover(drcli, project, code=2, command=command)
        assert "hint: Give the vault's password: --vault-password-file" in done.stderr
        recover(drcli, project, "--vault-password-file", password, command=command)


def test_with_a_wrong_password_nothing_starts(vaulted, drcli, tmp_path):
    wrong = tmp_path / "wrong"
    wrong.write_text("close sesame")
    done = recover(drcli, vaulted, "--vault-password-file", wrong, code=2)
    assert "no vault password that was given opens it" in done.stderr
    assert "sesame" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--vault-id", "room@/nowhere"], "/nowhere: cannot be read: No such file"),
        (["--vault-id", "a b@x"], "not LABEL@SOURCE"),
        (["--vault-id", "room@prompt"], "no terminal to ask at"),
        (["--vault-password-file", "/nowhere"], "/nowhere"),
        (["-K"], "no terminal to ask at"),
        (["--become-password-file", "/dev/null"], "the become password is empty"),
        (["-K", "--become-password-file", "EMPTY"], "exclude each other"),
        (["--private-key", "/nowhere"], "/nowhere"),
        (["--forks", "0"], "--forks"),
        (["-e", "x='{{ 7 * 7 }}'"], "x: Jinja is refused"),
    ],
)
def test_what_cannot_be_passed_through_is_refused_and_shows_no_value(
    make_project, drcli, tmp_path, words, said
):
    empty = tmp_path / "empty"
    empty.touch()
    project = make_project(ONE)
    words = [str(empty) if word == "EMPTY" else word for word in words]
    done = drcli("recover", "--site", "room-a", *words, cwd=project)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert "canary" not in done.stderr
    assert not list((project / "marks").iterdir())


@pytest.mark.parametrize("how", ["key=value", "JSON file"])  # all forms: unit/test_extra_vars.py
def test_extra_variables_reach_playbook_and_gate(make_project, drcli, tmp_path, how):
    project = make_project(ONE)
    needs_it(project)
    path = tmp_path / "extra"
    path.write_text(json.dumps({"pin": PIN}))
    given = f"@{path}" if how == "JSON file" else f"other=1 pin='{PIN}'"
    recover(drcli, project, "-e", "pin=overridden", "-e", given)


def at_terminal(folder, state, *words, answer, command="drcli"):
    """What a person sees at a terminal who answers the first question."""
    pid, terminal = pty.fork()
    if not pid:
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(clean_environment() | {"DRCLI_STATE_DIR": str(state)})
        path = str(Path(sys.executable).with_name(command))
        os.execv(path, [path, *words])
    seen = b""
    try:
        while True:
            seen += os.read(terminal, 65_536)
            if b"password" in seen and answer:
                os.write(terminal, answer.encode() + b"\n")
                answer = ""
    except OSError:  # it has ended
        pass
    finally:
        os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode(errors="replace")


@pytest.mark.parametrize("vaulted", ["file"], indirect=True)
def test_a_vault_password_is_asked_for_without_echo(vaulted, tmp_path):
    words = ["recover", "--site", "room-a", "--vault-id", "room@prompt"]
    code, seen = at_terminal(vaulted, tmp_path / "state", *words, answer="open sesame")
    assert code == 0, seen
    assert "Vault password (room)" in seen
    assert "sesame" not in seen


def test_the_become_password_is_asked_for_without_echo(make_project, tmp_path):
    project = make_project(ONE)
    words = ["recover", "--site", "room-a", "-K"]
    code, seen = at_terminal(project, tmp_path / "state", *words, answer="canary-become")
    assert code == 0, seen
    assert "BECOME password" in seen
    assert "canary" not in seen


def test_who_runs_these_tests_at_a_terminal_is_asked_nothing(tmp_path):
    case = f"{test_what_cannot_be_passed_through_is_refused_and_shows_no_value.__name__}[words4-"
    words = ["-q", "-p", "no:cacheprovider", f"{__file__}::{case}no terminal to ask at]"]
    code, seen = at_terminal(Path.cwd(), tmp_path, *words, answer="asked", command="pytest")
    assert code == 0, seen
    assert "1 passed" in seen
