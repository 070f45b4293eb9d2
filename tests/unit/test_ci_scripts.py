"""The scripts of .ci/, run for real among stand-ins for what they start."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

CI = Path(__file__).parents[2] / ".ci"
LOGGED = '#!/bin/sh\necho "$(basename "$0") $*" >>"$LOG"\n'


class Place:
    """A project with .ci/ in it; `bin/` and `.venv/bin/drcli` note how they are called."""

    def __init__(self, folder):
        self.folder = folder
        shutil.copytree(CI, folder / ".ci")
        self.log = folder / "log"
        self.log.touch()
        self.put("apt-get")
        self.put("make")
        self.put("drcli")

    def put(self, name, then=""):
        for place in (self.folder / "bin", self.folder / ".venv" / "bin"):
            place.mkdir(parents=True, exist_ok=True)
            (place / name).write_text(f"{LOGGED}{then}\n")
            (place / name).chmod(0o755)

    def start(self, script, *words):
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "LOG": str(self.log)}
        return subprocess.Popen(
            [self.folder / ".ci" / script, *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A worker of pytest-xdist ignores SIGINT, and bash cannot trap what it began ignoring.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 -- no threads here
        )

    def run(self, script, *words):
        started = self.start(script, *words)
        said, _ = started.communicate(timeout=60)
        return started.returncode, said

    def called(self, name):
        return [line for line in self.log.read_text().splitlines() if line.startswith(name)]


DOWN = ["drcli lab down --site hosting-a", "drcli lab down --site tiny-lab"]


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


def test_ci_ends_as_the_tests_do_and_takes_both_labs_down(place):
    place.put("make", "exit 2")
    code, _ = place.run("run")
    assert code == 2
    assert place.called("make") == ["make check test"]
    assert place.called("drcli") == DOWN


def test_ci_has_a_time_limit(place):
    script = place.folder / ".ci" / "run"
    script.write_text(script.read_text().replace("limit=80m", "limit=1"))
    place.put("make", "exec sleep 50")
    code, said = place.run("run")
    assert code == 124
    assert "not over after 1: ended" in said
    assert place.called("drcli") == DOWN


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ci_that_is_stopped_ends_the_tests_and_takes_both_labs_down(place, number):
    place.put("make", 'echo $$ >"$LOG.pid"; exec sleep 50')
    running = place.start("run")
    pid = place.folder / "log.pid"
    deadline = time.monotonic() + 30
    while not (pid.exists() and pid.read_text().strip()) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(number)
    running.communicate(timeout=30)
    assert running.returncode == 128 + number
    assert place.called("drcli") == DOWN
    assert not Path(f"/proc/{pid.read_text().strip()}").exists()


def test_a_demo_that_did_not_recover_still_shows_why_and_counts_what_is_lost(place):
    place.put("drcli", 'case "$1" in recover) exit 1;; esac')
    code, _ = place.run("demo", "room-a")
    assert code == 1
    assert place.called("drcli")[-3:] == [
        "drcli recover --site room-a",
        "drcli show",
        "drcli lab ledger --site room-a",
    ]


def test_a_demo_that_lost_something_is_no_success(place):
    place.put("drcli", 'case "$2" in ledger) exit 1;; esac')
    assert place.run("demo", "room-a")[0] == 1


def test_a_demo_without_a_lab_stops_there(place):
    place.put("drcli", 'case "$2" in up) exit 2;; esac')
    assert place.run("demo", "room-a")[0] == 2
    assert place.called("drcli") == ["drcli lab up --site room-a"]


def test_other_interpreters_are_given_all_but_faults_and_the_newest_those(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place.folder))
    place.put("python", 'case "$1" in --version) echo Python 3.11;; *) echo 3.11;; esac')
    named = 'echo "$(basename "$(dirname "$(dirname "$0")")") $*" >>"$LOG"'
    place.put("pytest", f"{named}; exit 1")
    makes_one = 'case "$1 $2" in "-m venv") mkdir "$3" && cp -r .venv/bin "$3";; esac'
    for series in ("3.12", "3.13"):
        place.put(f"python{series}", makes_one)
    code, _ = place.run("interpreters", "others")
    assert code == 1  # once all were asked
    assert [line.split(" -q ")[0] + line.split(" -m")[1] for line in place.called(".venv")] == [
        ".venv-3.13 not lab and not once --fast tests/faults",
        ".venv-3.13 not lab and not once --ignore tests/faults tests",
        ".venv-3.12 not lab and not once tests/unit tests/session",
    ]


def test_interpreters_that_were_not_found_are_the_last_words(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place.folder))
    place.put("python", 'case "$1" in --version) echo Python 3.11;; *) echo 3.11;; esac')
    place.put("pytest")
    for series in ("3.12", "3.13"):
        place.put(f"python{series}", "exit 1")  # another one of that name, outside, is not reached
    code, said = place.run("interpreters", "others")
    assert code == 0
    assert [line for line in said.splitlines()[-2:] if "NOT FOUND" in line] == [
        f"##### Python {series} was NOT FOUND: nothing was tested on it #####"
        for series in ("3.12", "3.13")
    ]
    assert [line.split(" -m ")[1] for line in place.called("pytest")] == [
        "not lab and not once --fast tests/faults",
    ]


def test_on_its_own_interpreter_everything_without_a_lab_is_run(place):
    place.put("python", "echo 3.11")
    place.put("pytest")
    assert place.run("interpreters", "own")[0] == 0
    [line] = place.called("pytest")
    assert line.endswith(" -m not lab tests")


@pytest.mark.parametrize(("lab", "others", "code"), [(0, 0, 0), (3, 0, 3), (0, 4, 4), (3, 4, 3)])
def test_the_lab_and_the_other_interpreters_are_both_heard_and_either_may_fail(
    place, lab, others, code
):
    place.put("pytest", f"echo of the lab; exit {lab}")
    (place.folder / ".ci" / "interpreters").write_text(f"#!/bin/sh\necho $1\nexit {others}\n")
    assert place.run("lab-and-others") == (code, "of the lab\nothers\n")


def test_ended_in_the_middle_it_lets_the_lab_be_taken_down_and_leaves_nothing_running(place):
    place.put(
        "pytest",
        'trap "sleep 1; echo taken down; exit 2" INT; echo up; while sleep 0.1; do :; done',
    )
    (place.folder / ".ci" / "interpreters").write_text("#!/bin/sh\nexec sleep 60\n")
    started = place.start("lab-and-others")
    assert started.stdout.readline() == "up\n"
    started.terminate()
    said, _ = started.communicate(timeout=60)
    assert (started.returncode, said) == (143, "taken down\n")
