"""The journal's disk fails at every write and every commit; its files are torn and flipped.

Whatever happens, the run stops before it acts any further, what was done stays known, and going on
reaches the end that an undisturbed run reaches. Nothing ever begins anew in silence.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest
from engine import FakeGates, FakePlaybooks, options, plan_of
from sqlalchemy import create_engine

from orchestrator import journal_file
from orchestrator.cli.resumable import require_unchanged
from orchestrator.errors import JournalError
from orchestrator.events import PlaybookStarted, RunFinished, RunOutcome
from orchestrator.journal import open_journal, read_journal
from orchestrator.journal_file import FILE_NAME
from orchestrator.recovery import recover
from orchestrator.state import UP, RunState, advance, fold

pytestmark = pytest.mark.once

GRAPH = {"routing": (), "dns": ("routing",), "portal": ("dns",)}
ERRORS = ["disk I/O error", "database or disk is full"]
PAGE, FRAME, LOG_HEADING = 4096, 4096 + 24, 32  # bytes; see SQLite's file format


class Site:
    """Playbooks whose effects outlive their process, and gates that look for them."""

    def __init__(self, folder):
        self.effects = folder / "effects"
        self.effects.touch()
        during = {name: lambda name=name: self._bring_back(name) for name in GRAPH}
        self.playbooks = FakePlaybooks(during=during)

    def _bring_back(self, name):
        with self.effects.open("a") as effects:
            effects.write(f"{name}\n")

    def started(self):
        return self.effects.read_text().split()

    def gates(self, request, tell, stop):
        return FakeGates(green=set(self.started()))(request, tell, stop)


def run(folder):
    """Recover as the command does, from what the journal knows; the state it came to."""
    site = Site(folder)
    with open_journal(folder / "state") as journal:
        assert journal.check("r1").fault == ""
        state = fold(journal.records("r1"))
        with closing(
            recover(plan_of(GRAPH), state, site.playbooks, site.gates, options=options())
        ) as records:
            for record in records:
                journal.append(record)
                state = advance(state, record)
                if journal.disk_full:
                    records.close()
                    break
    return state


def recorded(folder):
    with read_journal(folder / "state") as journal:
        return journal.records("r1") if journal else ()


def reaches_the_end(folder):
    """All that was done is known, and the same call again brings the rest back."""
    before = recorded(folder)
    begun = {r.event.component for r in before if isinstance(r.event, PlaybookStarted)}
    effects = Site(folder).started()
    assert set(effects) <= begun
    proven = {c.name for c in fold(before).among(UP)}
    if not any(isinstance(r.event, RunFinished) for r in before):
        run(folder)
    after = recorded(folder)
    assert after[: len(before)] == before
    assert [r.seq for r in after] == list(range(1, len(after) + 1))
    assert fold(after).outcome is RunOutcome.RECOVERED
    assert {c.name for c in fold(after).among(UP)} == set(GRAPH)
    assert not set(Site(folder).started()[len(effects) :]) & proven
    with read_journal(folder / "state") as journal:
        assert journal.check("r1").fault == ""


class Faulty(sqlite3.Connection):
    """A connection whose disk fails at the Nth statement that writes, or at the Nth commit."""

    text, at_statement, at_commit, lasting = "", 0, 0, False
    statements = commits = 0

    @classmethod
    def prepare(cls, text, *, at_statement=0, at_commit=0, lasting):
        cls.text, cls.at_statement, cls.at_commit = text, at_statement, at_commit
        cls.lasting, cls.statements, cls.commits = lasting, 0, 0

    def cursor(self, factory=sqlite3.Cursor):
        return super().cursor(FaultyCursor)

    def commit(self):
        Faulty.commits += self.in_transaction
        if self.in_transaction and fails(Faulty.commits, Faulty.at_commit):
            self.rollback()
            raise sqlite3.OperationalError(Faulty.text)
        super().commit()


class FaultyCursor(sqlite3.Cursor):
    def execute(self, statement, *parameters):
        if statement.startswith(("INSERT", "UPDATE", "CREATE")):
            Faulty.statements += 1
            if fails(Faulty.statements, Faulty.at_statement):
                raise sqlite3.OperationalError(Faulty.text)
        return super().execute(statement, *parameters)


def fails(number, wanted):
    return wanted and (number == wanted or (Faulty.lasting and number > wanted))


@pytest.fixture
def faulty(monkeypatch):
    """Every connection to the journal is a faulty one."""

    def engine(*words, connect_args=None, **how):
        given = {**(connect_args or {}), "factory": Faulty}
        return create_engine(*words, connect_args=given, **how)

    monkeypatch.setattr(journal_file, "create_engine", engine)
    yield Faulty
    Faulty.prepare("", lasting=False)


@pytest.fixture(scope="module")
def most(tmp_path_factory):
    """How many statements and commits an undisturbed run takes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            journal_file,
            "create_engine",
            lambda *words, connect_args=None, **how: create_engine(
                *words, connect_args={**(connect_args or {}), "factory": Faulty}, **how
            ),
        )
        Faulty.prepare("", lasting=False)
        assert run(tmp_path_factory.mktemp("undisturbed")).outcome is RunOutcome.RECOVERED
    assert Faulty.statements > 30
    assert Faulty.commits > 25
    return {"at_statement": Faulty.statements, "at_commit": Faulty.commits}


@pytest.mark.parametrize("lasting", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("text", ERRORS)
@pytest.mark.parametrize("where", ["at_statement", "at_commit"])
def test_whichever_write_fails_the_run_stops_loses_nothing_and_goes_on(  # noqa: PLR0917
    tmp_path, faulty, most, where, text, lasting
):
    for number in range(1, most[where] + 1):
        folder = tmp_path / str(number)
        folder.mkdir()
        faulty.prepare(text, **{where: number}, lasting=lasting)
        said = stopped_by(lambda folder=folder: run(folder))
        assert said is None or ("the disk" in said.message and said.hint)
        faulty.prepare("", lasting=False)
        if recorded(folder):
            reaches_the_end(folder)
        else:
            assert Site(folder).started() == []
            assert run(folder).outcome is RunOutcome.RECOVERED
        shutil.rmtree(folder)


def stopped_by(work):
    """What the journal said when it stopped this; None when it did not."""
    try:
        work()
    except JournalError as error:
        return error


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MiB that holds the state directory."""
    if os.geteuid() != 0:
        pytest.skip("mounting needs root")
    mount = tmp_path / "state"
    mount.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", mount]
    done = subprocess.run(words, check=False, capture_output=True)
    if done.returncode:
        pytest.skip(f"cannot mount a tmpfs here: {done.stderr!r}")
    yield mount
    subprocess.run(["umount", "--lazy", mount], check=True)


def fill(disk, *, but):
    """Take every free page of the disk but so many."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        try:
            while filler.write(bytes(PAGE)):
                pass
        except OSError:
            filler.truncate(max(filler.tell() - but * PAGE, 0))


def test_a_disk_that_fills_up_after_any_number_of_pages_stops_the_run_and_loses_nothing(
    tmp_path, small_disk
):
    stops = set()
    for pages in range(0, 80, 5):
        for left in small_disk.iterdir():
            left.unlink()
        (tmp_path / "effects").unlink(missing_ok=True)
        open_journal(small_disk).close()
        fill(small_disk, but=pages)
        said = stopped_by(lambda: run(tmp_path))
        assert said is None or ("the disk is full" in said.message and said.hint)
        stops.add(len(recorded(tmp_path)))
        (small_disk / "filler").unlink()
        if recorded(tmp_path):
            reaches_the_end(tmp_path)
        else:
            assert Site(tmp_path).started() == []
    assert len(stops) > 3


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run that was killed in the middle: its files, the log with most of its records included."""
    folder = tmp_path_factory.mktemp("killed")
    child = os.fork()
    if child == 0:
        site = Site(folder)
        journal = open_journal(folder / "state")
        records = recover(plan_of(GRAPH), RunState(), site.playbooks, site.gates, options=options())
        for number, record in enumerate(records, 1):
            journal.append(record)
            if number == 24:
                os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    log = folder / "state" / f"{FILE_NAME}-wal"
    assert log.stat().st_size > 20 * FRAME
    assert len(whole(folder)) == 24
    return folder


def whole(folder):
    copy = folder.with_name("copy")
    shutil.copytree(folder, copy)
    try:
        return recorded(copy)
    finally:
        shutil.rmtree(copy)


def test_a_log_torn_at_any_page_leaves_the_records_before_and_the_run_goes_on(killed, tmp_path):
    all_records = whole(killed)
    size = (killed / "state" / f"{FILE_NAME}-wal").stat().st_size
    cuts = [0, 1, LOG_HEADING, *range(LOG_HEADING + FRAME, size, FRAME)]
    cuts += [cut + 1000 for cut in cuts if cut > FRAME][::5]
    known = set()
    for cut in cuts:
        folder = tmp_path / str(cut)
        shutil.copytree(killed, folder)
        os.truncate(folder / "state" / f"{FILE_NAME}-wal", cut)
        found = recorded(folder)
        known.add(len(found))
        # At least its start: nobody takes it for a site on which nothing was done.
        assert found
        assert found == all_records[: len(found)]
        run(folder)
        assert fold(recorded(folder)).outcome is RunOutcome.RECOVERED
        shutil.rmtree(folder)
    assert len(known) > 10


@pytest.mark.parametrize("name", [FILE_NAME, f"{FILE_NAME}-wal"])
def test_a_flipped_bit_is_found_or_has_cut_the_end_off_but_changes_no_record(
    killed, tmp_path, name
):
    all_records = whole(killed)
    size = (killed / "state" / name).stat().st_size
    for number, place in enumerate(range(17, size, max(size // 60, 1))):
        folder = tmp_path / str(place)
        shutil.copytree(killed, folder)
        content = bytearray((folder / "state" / name).read_bytes())
        content[place] ^= 1 << number % 8
        (folder / "state" / name).write_bytes(content)
        said = stopped_by(lambda folder=folder: whole_or_cut(folder, all_records))
        assert said is None or said.hint
        shutil.rmtree(folder)


def whole_or_cut(folder, all_records):
    with open_journal(folder / "state") as journal:
        if not journal.check("r1").fault:
            records = journal.records("r1")
            assert records
            assert records == all_records[: len(records)]


def test_a_journal_that_lost_its_pages_is_refused_and_kept(killed, tmp_path):
    for size in (0, 1, 100, PAGE - 1, PAGE, 2 * PAGE):
        folder = tmp_path / str(size)
        shutil.copytree(killed, folder)
        for log in (folder / "state").glob(f"{FILE_NAME}-*"):
            log.unlink()
        os.truncate(folder / "state" / FILE_NAME, size)
        before = (folder / "state" / FILE_NAME).read_bytes()
        with pytest.raises(JournalError, match="damaged") as caught:
            open_journal(folder / "state")
        assert "mv " in caught.value.hint
        assert (folder / "state" / FILE_NAME).read_bytes() == before


def test_a_run_goes_on_with_an_altered_record_only_anew(killed, tmp_path):
    folder = tmp_path / "altered"
    shutil.copytree(killed, folder)
    raw = sqlite3.connect(folder / "state" / FILE_NAME)
    with raw:
        raw.execute("update records set elapsed = elapsed + 1 where seq = 9")
    raw.close()
    with open_journal(folder / "state") as journal:
        with pytest.raises(JournalError, match="record 9") as caught:
            require_unchanged(journal, journal.state("r1"))
        assert "drcli recover --site lab-a --new" in caught.value.hint
