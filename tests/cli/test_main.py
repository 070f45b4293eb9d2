"""The command itself: help, versions, misspelt words, errors and bugs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import __version__
from orchestrator.cli.front import COMMANDS, front_page
from orchestrator.cli.main import exit_code_of, main
from orchestrator.project import VARIABLE as PROJECT_VARIABLE

DRCLI = Path(sys.executable).with_name("drcli")


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    """Logs of bugs met here are not this machine's."""
    monkeypatch.setenv("DRCLI_STATE_DIR", str(tmp_path / "state"))


def drcli(*words, **environment):
    return subprocess.run(
        [DRCLI, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def imported_by(words, *modules, **environment):
    """What it shows, and which of these modules `drcli WORDS` has imported at its end."""
    code = f"""if True:
        import atexit, sys
        atexit.register(lambda: print([n for n in {modules!r} if n in sys.modules]))
        sys.argv = ["drcli", *{words!r}]
        from orchestrator.cli.front import main
        main()
    """
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    *shown, imported = done.stdout.splitlines()
    return "\n".join(shown), imported


HEAVY = ("ansible", "sqlalchemy", "pydantic", "rich")


@pytest.mark.parametrize("word", ["--help", "-h", "--version"])
def test_help_and_version_import_next_to_nothing(word):
    shown, imported = imported_by([word], *HEAVY, "click", "re")
    assert shown
    assert imported == "[]"


def test_the_front_page_names_every_command_and_option():
    shown, _ = imported_by(["--help"])
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert all(option in shown for option in ("--project", "--version", "--help"))
    assert {p.name for p in main.params} == {"project", "version"}
    assert PROJECT_VARIABLE in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_command_line_proper_shows_the_same_page(tmp_path):
    done = drcli("--project", tmp_path, "--help")
    assert done.stdout == drcli("--help").stdout == front_page()


def test_commands_are_completed_without_importing_them():
    shown, imported = imported_by(
        [], *HEAVY, _DRCLI_COMPLETE="bash_complete", COMP_WORDS="drcli re", COMP_CWORD="1"
    )
    assert shown.split() == [f"plain,{c}" for c in COMMANDS if c.startswith("re")]
    assert imported == "[]"


def test_help_to_a_reader_that_has_gone_is_no_bug():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        done = subprocess.run(
            [DRCLI, "--help"], stdout=gone, stderr=subprocess.PIPE, check=False, timeout=60
        )
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_exists_and_shows_an_example(name):
    done = drcli(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: drcli {name}" in done.stdout


def test_version():
    assert drcli("--version").stdout.split()[-1] == __version__


@pytest.mark.parametrize(("word", "meant"), [("recvoer", "recover"), ("stauts", "status")])
def test_a_misspelt_command_gets_the_near_one_and_exit_code_2(word, meant):
    done = drcli(word)
    assert done.returncode == 2
    assert f"Did you mean `drcli {meant}`?" in done.stderr


def test_a_wrong_option_is_an_error_with_a_hint():
    done = drcli("runs", "--sight", "x")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "drcli runs --help" in done.stderr


def test_a_bug_leaves_a_log_for_its_owner_alone_and_exit_code_3(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DRCLI_STATE_DIR", str(tmp_path / "state"))
    with pytest.raises(KeyError) as caught:
        {}["nothing"]
    assert exit_code_of(caught.value) == 3
    [log] = (tmp_path / "state").glob("bug-*.log")
    assert log.stat().st_mode & 0o777 == 0o600
    assert "Traceback" in log.read_text()
    assert str(log) in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["{}/file/state", "~nosuch/state"])
def test_a_bug_is_told_even_where_no_log_can_be_written(tmp_path, monkeypatch, capsys, folder):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DRCLI_STATE_DIR", folder.format(tmp_path))
    assert exit_code_of(ZeroDivisionError()) == 3
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_an_interrupt_before_anything_began_is_exit_code_130(monkeypatch):
    monkeypatch.setattr("sys.argv", ["drcli", "runs"])
    monkeypatch.setattr(
        "orchestrator.cli.views.state_directory", lambda _: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 130
