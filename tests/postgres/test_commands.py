"""The commands with a shared journal: two controllers, every view, and every wrong address."""

from __future__ import annotations

import json

import pytest
from postgresql import PASSWORD

pytestmark = pytest.mark.once

ONE = {"network": [{"name": "routing", "hosts": "img1"}]}


@pytest.fixture
def shared(database):
    return {"DRCLI_JOURNAL": database.address}


def test_a_recovery_is_recorded_there_and_every_view_reads_it_from_another_controller(
    make_project, drcli, shared, tmp_path
):
    project = make_project(ONE)
    done = drcli("recover", "--site", "room-a", cwd=project, env=shared, timeout=300)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "state" / "journal.db").exists()
    elsewhere = {**shared, "DRCLI_STATE_DIR": str(tmp_path / "other")}
    for view in (
        ("status",),
        ("runs",),
        ("show",),
        ("journal", "verify"),
        ("plan", "--site", "room-a"),
    ):
        said = drcli(*view, cwd=project, env=elsewhere)
        assert said.returncode == 0, said.stderr
        assert PASSWORD not in said.stdout + said.stderr
    assert "recovered" in drcli("status", cwd=project, env=elsewhere).stdout
    shown = json.loads(drcli("show", "--json", cwd=project, env=elsewhere).stdout)
    assert shown["state"] == "recovered"
    assert f"head {shown['head']}" in done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda address: address.replace(PASSWORD, "canary-wrong"), "authentication failed"),
        (lambda address: address.replace("/postgres", "/nosuch"), "does not exist"),
        (lambda address: address.rpartition(":")[0] + ":1/postgres", "refused"),
        (lambda address: address.replace("127.0.0.1", "nosuch.invalid"), "nosuch.invalid"),
        (lambda address: address.replace("postgresql+psycopg", "mysql"), "begins with mysql://"),
        (lambda address: address.replace("postgresql+psycopg", "postgresql"), "it begins with"),
        (lambda _: "canary no address", "it is no address"),
        (lambda address: address.replace("@127.0.0.1:", "@127.0.0.1:canary"), "it is no address"),
    ],
    ids=["password", "database", "port", "host", "scheme", "driver", "words", "number"],
)
def test_an_address_that_leads_nowhere_is_an_error_that_shows_no_password(
    make_project, drcli, shared, change, said
):
    project = make_project(ONE)
    env = {"DRCLI_JOURNAL": change(shared["DRCLI_JOURNAL"])}
    for command in (("status",), ("recover", "--site", "room-a")):
        done = drcli(*command, cwd=project, env=env)
        assert done.returncode == 2, done.stderr
        assert said in done.stderr
        assert "hint: " in done.stderr
        assert "canary" not in done.stdout + done.stderr
        assert "Traceback" not in done.stderr
    assert not list((project / "marks").iterdir())


def test_a_plan_needs_no_journal(make_project, drcli, shared):
    env = {"DRCLI_JOURNAL": shared["DRCLI_JOURNAL"].replace(PASSWORD, "wrong")}
    done = drcli("plan", "--site", "room-a", cwd=make_project(ONE), env=env)
    assert done.returncode == 0, done.stderr
    assert "Ready: " in done.stdout


def test_without_psycopg_it_says_how_to_install_it(make_project, drcli, shared, tmp_path):
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "psycopg.py").write_text("raise ModuleNotFoundError('psycopg')\n")
    env = {**shared, "PYTHONPATH": str(tmp_path / "without")}
    done = drcli("status", cwd=make_project(ONE), env=env)
    assert done.returncode == 2, done.stderr
    assert "psycopg is not installed" in done.stderr
    assert "pip install 'drcli[postgres]'" in done.stderr
