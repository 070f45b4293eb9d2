"""What a controller keeps is its user's alone, whatever the umask and whoever was there before."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from orchestrator import state_directory
from orchestrator.errors import InputError, MachineError
from orchestrator.state_directory import make_private, write_bug_log, write_private


@pytest.fixture(autouse=True)
def careless():
    """An umask that lets everybody read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_and_all_that_was_missing_above_it_are_private(tmp_path):
    folder = make_private(tmp_path / "a" / "b" / "c")
    made = [folder, folder.parent, folder.parent.parent]
    assert [mode(path) for path in made] == [0o700, 0o700, 0o700]


@pytest.mark.parametrize(
    ("there", "below"),
    [((), ""), (("journal.db",), ""), (("journal.db", "locks/x"), "locks"),
     (("journal.db", "artifacts/r/x"), "artifacts/r")],
    ids=["empty", "a journal", "locks", "artifacts"],
)  # fmt: skip
def test_a_folder_of_drcli_s_own_that_was_open_is_closed(tmp_path, there, below):
    state = tmp_path / "state"
    state.mkdir(mode=0o777)
    for name in there:
        (state / name).parent.mkdir(mode=0o777, parents=True, exist_ok=True)
        (state / name).touch()
    assert mode(make_private(state / below)) == 0o700


def test_an_open_folder_that_holds_other_things_is_refused_and_left_as_it_is(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o777)
    folder.chmod(0o1777)  # as /tmp
    (folder / "somebody's").touch()
    with pytest.raises(MachineError, match=r"shared is open to others \(mode 1777\)") as caught:
        make_private(folder)
    assert "chmod 700" in caught.value.hint
    assert mode(folder) == 0o1777


def test_a_closed_folder_may_hold_other_things(tmp_path):
    (tmp_path / "x").touch()
    tmp_path.chmod(0o700)
    assert make_private(tmp_path) == tmp_path


def test_a_folder_of_another_user_is_refused_and_left_as_it_is(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o755)
    if os.geteuid() == 0:
        os.chown(folder, 65_534, 65_534)
    else:  # what belongs to root belongs to another
        folder = tmp_path.__class__("/usr")
    with pytest.raises(MachineError, match="belongs to") as caught:
        make_private(folder)
    assert mode(folder) == 0o755
    assert "--state-dir" in caught.value.hint


def test_a_user_without_a_name_is_told_by_number(tmp_path, monkeypatch):
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setattr(state_directory.os, "geteuid", lambda: 4_000_000_000)
    monkeypatch.setattr(state_directory.pwd, "getpwuid", {}.__getitem__)
    with pytest.raises(MachineError, match=f"belongs to user {os.getuid()}"):
        make_private(folder)


@pytest.mark.parametrize("given", [Path("~nosuch/x"), None])
def test_the_home_of_a_user_who_is_not_there_is_refused(given, monkeypatch):
    monkeypatch.setenv("DRCLI_STATE_DIR", "~nosuch/y")
    with pytest.raises(InputError, match="there is no user 'nosuch' with a home"):
        state_directory.state_directory(given)


def test_a_file_is_private_also_where_an_open_one_was(tmp_path):
    path = tmp_path / "file"
    path.write_text("before, and longer")
    assert mode(path) == 0o666
    write_private(path, "now")
    assert (mode(path), path.read_text()) == (0o600, "now")


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    (tmp_path / "other").write_text("precious")
    (tmp_path / "file").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"):
        write_private(tmp_path / "file", "now")
    assert (tmp_path / "other").read_text() == "precious"


def test_the_log_of_a_bug_is_private(tmp_path):
    path = write_bug_log(ValueError("x"), tmp_path / "state")
    assert (mode(path), mode(path.parent)) == (0o600, 0o700)


@pytest.mark.parametrize("how", ["given", "by variable", "by home"])
def test_a_path_that_is_not_utf_8_is_refused_for_the_journal_could_not_hold_it(how, monkeypatch):
    monkeypatch.delenv("DRCLI_STATE_DIR", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", "/tmp/\udcff" if how == "by home" else "/tmp")
    if how == "by variable":
        monkeypatch.setenv("DRCLI_STATE_DIR", "/tmp/\udcff")
    with pytest.raises(InputError, match="UTF-8") as caught:
        state_directory.state_directory(Path("/tmp/\udcff") if how == "given" else None)
    assert caught.value.message.isprintable()


def test_a_path_below_a_working_directory_that_is_not_utf_8_is_refused(tmp_path, monkeypatch):
    folder = tmp_path / "\udcff"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match="UTF-8"):
        state_directory.state_directory(Path("state"))
