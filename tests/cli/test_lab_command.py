"""`drcli lab`, as far as it needs no podman: what it says and its exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

import pytest

from orchestrator.cli import lab
from orchestrator.cli.main import main
from orchestrator.lab import build, definition, lab_lock, ledger
from orchestrator.lab.progress import Step

HOSTS = """\
all:
  hosts:
    r1: {ansible_host: 10.9.0.11, lab_image: plain, networks: [core]}
"""
LAB = """\
management_network: 10.9.0.0/24
networks: [core]
base_packages: [openssh-server]
images: {plain: []}
reader: {name: rows, host: r1, command: [reader]}
"""
FAULTS = """\
faults:
  - name: lost-configuration
    explains: A router has lost its configuration.
    component: routing
    expect: recovered
    hosts: [r1]
    script: rm /etc/frr/frr.conf
  - name: stays-off
    explains: A host that does not come back at all.
    component: routing
    expect: held
    reason: unreachable
    hosts: [r1]
    power: stays-off
"""
TWO_ROWS = '{"kind": "row", "id": 1}\n{"kind": "row", "id": 2}\n'


class Tiny:
    """A site of one host in a project of its own; its lab's folder is `folder`."""

    def __init__(self, tmp_path, capsys):
        self.inventory = tmp_path / "inventories" / "tiny"
        self.folder = tmp_path / "labs" / "tiny"
        self.own = self.inventory / "lab"
        self.own.mkdir(parents=True)
        self.folder.mkdir(parents=True)
        (self.inventory / "site.yml").write_text("site: tiny\n")
        (self.inventory / "hosts.yml").write_text(HOSTS)
        (self.own / "lab.yml").write_text(LAB)
        (self.own / "faults.yml").write_text(FAULTS)
        self._capsys = capsys

    def __call__(self, *words):
        """Exit code and what was said on both streams."""
        with pytest.raises(SystemExit) as ended:
            main(["lab", *words, "--site", "tiny"])
        said = self._capsys.readouterr()
        return ended.value.code, said.out + said.err

    def acknowledged(self, text):
        (self.folder / "ledger.jsonl").write_text(text)


@pytest.fixture
def tiny(tmp_path, capsys, monkeypatch):
    for module in (definition, lab_lock):
        monkeypatch.setattr(module, "LAB_ROOT", tmp_path / "labs")
    monkeypatch.setenv("DRCLI_PROJECT", str(tmp_path))
    return Tiny(tmp_path, capsys)


@pytest.fixture
def reader(monkeypatch):
    """Let the reader be a shell script on this machine; it is given the ledger's lines."""

    def be(script):
        monkeypatch.setattr(ledger, "ssh_command", lambda *_: ["sh", "-c", script])

    return be


def test_everything_that_was_acknowledged_is_there(tiny, reader):
    tiny.acknowledged(TWO_ROWS)
    reader("test $(grep -c row) = 2")
    code, said = tiny("ledger")
    assert (code, said) == (0, "tiny: 0 of 2 acknowledged records lost (2 row)\n")


def test_a_lost_record_is_told_and_is_no_success(tiny, reader):
    tiny.acknowledged(TWO_ROWS)
    reader("head -n 1")
    code, said = tiny("ledger")
    assert code == 1
    assert 'lost: {"kind": "row", "id": 1}\n' in said
    assert "1 of 2 acknowledged records lost" in said


@pytest.mark.parametrize("text", [None, "", '{"kind": "row", "id'], ids=["gone", "empty", "torn"])
def test_a_ledger_with_nothing_in_it_proves_nothing(tiny, reader, text):
    if text is not None:
        tiny.acknowledged(text)
    reader("cat > /dev/null")
    code, said = tiny("ledger")
    assert code == 1
    assert "0 of 0 acknowledged" in said
    assert "proves nothing" in said
    assert "drcli lab cut --site tiny" in said


def test_a_reader_that_cannot_look_is_no_verdict(tiny, reader):
    tiny.acknowledged(TWO_ROWS)
    reader("echo the database is down >&2; exit 1")
    code, said = tiny("ledger")
    assert code == 1
    assert "nobody could look" in said
    assert "the database is down" in said
    assert "acknowledged records lost" not in said


@pytest.mark.parametrize("words", [["cut"], ["power-on"], ["break", "lost-configuration"]])
def test_a_lab_that_was_never_made_is_named_with_its_mend(tiny, monkeypatch, words):
    monkeypatch.setattr(build, "containers", lambda _: {})
    code, said = tiny(*words)
    assert code == 2
    assert "the lab of tiny is not made" in said
    assert "hint: As root: drcli lab up --site tiny" in said


def test_a_lab_that_lacks_a_host_names_it(tiny, monkeypatch):
    monkeypatch.setattr(build, "containers", lambda _: {"drcli-tiny-r2": object()})
    code, said = tiny("cut")
    assert code == 2
    assert "not made whole: there is no r1" in said


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lost-config", "did you mean 'lost-configuration'?"),
        ("stays-off", "a cut leaves script, disk, boot_delay behind; stays-off is power"),
    ],
)
def test_what_a_cut_cannot_leave_behind_is_refused_before_anything_is_cut(tiny, name, says):
    (tiny.own / "lab.yml").write_text(f"{LAB}after_cut: [{name}]\n")
    code, said = tiny("cut")
    assert code == 2
    assert says in said
    assert "lab.yml:" in said


def test_the_list_of_faults_has_a_line_for_each_where_there_is_no_terminal(tiny):
    text = FAULTS.replace("A router has lost its configuration.", "A router has lost all. " * 9)
    (tiny.own / "faults.yml").write_text(text)
    code, said = tiny("break", "--list")
    assert code == 0
    [row] = [line for line in said.splitlines() if line.startswith("lost-configuration")]
    assert row.count("A router has lost all.") == 9
    assert "repair it" in row


def test_progress_without_a_terminal_is_plain_lines_at_the_edges_and_signs_of_life(
    capsys, monkeypatch
):
    clock = iter([0.0, 1.0, 2.0, 20.0, 21.0])
    monkeypatch.setattr(lab.time, "monotonic", lambda: next(clock))
    with lab._progress() as tell:
        for done in (0, 1, 2, 3, 4):
            tell(Step(stage="images", done=done, total=4))
    assert capsys.readouterr().err.splitlines() == ["images 0/4", "images 3/4", "images 4/4"]


def test_progress_on_a_terminal_is_a_bar_that_moves():
    code = """if True:
        from orchestrator.cli import lab
        from orchestrator.lab.progress import Step
        with lab._progress() as tell:
            tell(Step(stage="images", done=0, total=4))
            tell(Step(stage="images", done=4, total=4, note="all of them"))
            tell(Step(stage="machine", note="a remark"))
    """
    said = on_a_terminal([sys.executable, "-c", code])
    assert "images" in said
    assert "4/4" in said
    assert "all of them" in said
    assert "a remark" in said
    assert "\x1b[" in said, "it never went back to draw the bar again"


def on_a_terminal(command):
    """What a command shows on a terminal of 100 columns."""
    mine, its = os.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdin=its, stdout=its, stderr=its, env=environment) as shown:
        os.close(its)
        said = b""
        with suppress(OSError):  # the end of a terminal
            while part := os.read(mine, 65536):
                said += part
        os.close(mine)
    assert shown.returncode == 0, said.decode()
    return said.decode()
