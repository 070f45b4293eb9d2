"""The engine itself: a large site planned and driven, a large journal read, a command started."""

from __future__ import annotations

import json
import math
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

from benchmarks import measure, questions
from benchmarks.bench import Bench
from benchmarks.command import CommandFailed, Ended, run
from benchmarks.engine_load import RUN
from benchmarks.measure import Sample, Take
from benchmarks.results import Question, Row, answer
from benchmarks.synthetic import write_site
from benchmarks.world import DRCLI, TOOLS, fresh_home

COMPONENTS = 500
HOSTS_EACH = 20
CHECKS = 4  # on each host
EVENTS = 1_000_000
SITE = "synthetic"
MEMORY = Path("/dev/shm")  # noqa: S108 -- where an fsync costs nothing
QUICK = 5  # runs of a short command in each round
_HERE = Path(__file__).parents[1]


def large_site(bench: Bench) -> Iterator[Row]:
    """Plan and drive 500 components on 10,000 hosts; nothing is done on any host."""
    plans: list[Sample] = []
    drives: list[Sample] = []
    each: list[float] = []
    note = ""
    with _folder() as folder:
        write_site(folder, SITE, components=COMPONENTS, hosts_each=HOSTS_EACH)
        for _ in range(bench.rounds):
            with fresh_home() as env:
                planned = run([DRCLI, "plan", "--site", SITE], cwd=folder, env=env)
            plans.append(measure.sample(planned, {}))
            ended, said = _drive(folder, CHECKS)
            drives.append(measure.sample(ended, {}))
            each.append(1000 * said["seconds"] / said["events"])
            note = f"(reading {said['read']:.2f} s, planning {said['planned']:.2f} s)"
            bench.tell(f"plan {planned.seconds:.2f} s, {each[-1]:.3f} ms an event")
    yield answer(questions.PLAN, measure.seconds(plans), samples={"drcli plan": plans}, note=note)
    yield answer(
        questions.EVENT,
        measure.spread(each),
        samples={f"{said['events']:.0f} events": drives},
    )
    peaks = [max(a.peak_mib, b.peak_mib) for a, b in zip(plans, drives, strict=True)]
    yield answer(questions.MEMORY, measure.spread(peaks))


def large_journal(bench: Bench) -> Iterator[Row]:
    """`status` and `show` on a million events, of many runs and of few long ones."""
    for runs, status, show in (
        (100, questions.STATUS, questions.SHOW),
        (10, questions.STATUS_LONG, questions.SHOW_LONG),
    ):
        with _journal(runs) as state:
            took: dict[Question, list[Sample]] = {status: [], show: []}
            for _ in range(bench.rounds):
                for question, several in took.items():
                    word = question.name.partition("-")[0]
                    with fresh_home(DRCLI_STATE_DIR=str(state)) as env:
                        ended = run([DRCLI, word], cwd=_HERE, env=env)
                    several.append(measure.sample(ended, {}))
                    bench.tell(f"{runs} runs: {word} {ended.seconds:.2f} s")
        for question, several in took.items():
            found = measure.seconds(several)
            yield answer(question, found, samples={question.name: several})


def start(bench: Bench) -> Iterator[Row]:
    """How long a person waits for `drcli --help`, in starts of the interpreter."""
    ours, theirs = "drcli --help", "python -c pass"
    with fresh_home() as env:

        def side(name: str, command: list[str | Path]) -> Take:
            def take() -> Mapping[str, Sample]:
                return {name: measure.sample(run(command, cwd=_HERE, env=env), {})}

            return take

        takes = [side(ours, [DRCLI, "--help"]), side(theirs, [TOOLS / "python", "-c", "pass"])]
        measure.alternate(takes, rounds=1)  # the first one reads files from the disk
        found = measure.alternate(takes, rounds=bench.rounds * QUICK)
    yield answer(questions.HELP, measure.ratio(found[ours], found[theirs]), samples=found)


@contextmanager
def _journal(runs: int) -> Iterator[Path]:
    """A state directory with a journal of a million events: so many runs of the same length.

    The first is written by the real engine and journal, the others are copies of its rows.
    """
    wanted = EVENTS // runs
    # A component takes 17 records besides one for each check on each of its hosts.
    components = COMPONENTS if wanted >= EVENTS // 10 else COMPONENTS // 5
    checks = math.ceil((wanted / components - 17) / HOSTS_EACH)
    with _folder() as project, tempfile.TemporaryDirectory(prefix="drcli-b-") as folder:
        write_site(project, SITE, components=components, hosts_each=HOSTS_EACH)
        _drive(project, checks, state=project / "state")
        state = Path(folder) / "state"
        shutil.copytree(project / "state", state)
        with closing(sqlite3.connect(state / "journal.db")) as journal, journal:
            columns = ", ".join(
                name
                for _, name, *_ in journal.execute("PRAGMA table_info(records)")
                if name not in {"id", "run"}
            )
            for number in range(1, runs):
                journal.execute(
                    f"INSERT INTO records (run, {columns})"  # noqa: S608 -- the table's own columns
                    f" SELECT ?, {columns} FROM records WHERE run = ?",
                    (f"20260102-000000-{number:04x}", RUN),
                )
            found = journal.execute("SELECT count(*) FROM records").fetchone()[0]
        if found < EVENTS:
            raise CommandFailed(f"only {found} events were made")
        yield state


def _drive(
    project: Path, checks: int, *, state: Path | None = None
) -> tuple[Ended, dict[str, float]]:
    """Drive the site of a project in a process of its own; what it said as numbers."""
    with tempfile.TemporaryDirectory(prefix="drcli-b-", dir=MEMORY) as folder, fresh_home() as env:
        words: list[str | Path] = [project, SITE, state or Path(folder) / "state", str(checks)]
        command: list[str | Path] = [sys.executable, "-m", "benchmarks.engine_load", *words]
        ended = run(command, cwd=_HERE, env=env)
    said: dict[str, float] = json.loads(ended.out.splitlines()[-1])
    return ended, said


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder in memory for a project that exists on paper only."""
    with tempfile.TemporaryDirectory(prefix="drcli-b-", dir=MEMORY) as folder:
        yield Path(folder)
