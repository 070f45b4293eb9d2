"""One run a site at a time wherever the journal is: the same tests for SQLite and PostgreSQL.

The fixture `folder` is a state directory, `folders` those of two controllers: the same one twice
where they share a file, two where they share a server.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import time
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
from journal_behaviours import DETAIL, FINISHED, STARTED, record
from pausing import pause

from orchestrator import holder, site_lease
from orchestrator.errors import JournalError, LockedError
from orchestrator.holder import Fate, this_process
from orchestrator.journal import open_journal, read_journal
from orchestrator.site_lock import site_lock

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
PATIENCE = 120.0  # seconds, on a busy machine
ROUNDS, MANY_ROUNDS = 50, 1000


def me(run="r1", by="ada"):
    return this_process(run=run, by=by, since=NOON)


def test_the_first_takes_the_site_and_the_second_is_told_who_holds_it(folder):
    with open_journal(folder) as one, open_journal(folder) as other:
        lease, ours = one.take("lab-a", me())
        assert (ours, lease.fence) == (True, 1)
        seen, ours = other.take("lab-a", me("r2", "bob"))
        assert (ours, seen) == (False, lease)
        assert (seen.holder.run, seen.holder.by, seen.holder.pid) == ("r1", "ada", os.getpid())
        assert other.take("lab-b", me("r2", "bob"))[1]


def test_what_is_given_back_is_free_and_the_fence_only_grows(folder):
    with open_journal(folder) as one, open_journal(folder) as other:
        one.take("lab-a", me())
        one.give_back()
        assert other.holder("lab-a") is None
        lease, ours = other.take("lab-a", me("r2"))
        assert (ours, lease.fence) == (True, 2)
        one.give_back()  # a second time: it is another's now
        assert one.holder("lab-a").run == "r2"


def test_a_holder_that_was_killed_is_known_to_be_dead_at_once(folder):
    def take_and_die():
        journal = open_journal(folder)
        assert journal.take("lab-a", me())[1]
        os.kill(os.getpid(), 9)

    child = multiprocessing.get_context("fork").Process(target=take_and_die)
    child.start()
    child.join(timeout=PATIENCE)
    assert child.exitcode == -9
    with open_journal(folder) as journal:
        assert journal.holder("lab-a") is None
        assert journal.take("lab-a", me("r2"))[1]


def test_a_holder_from_before_this_machine_s_last_boot_is_dead(monkeypatch):
    monkeypatch.setattr(holder, "_machine", lambda: "the same machine")
    before = me().model_copy(update={"boot_id": "an earlier one"})
    assert before.fate is Fate.DEAD
    assert before.model_copy(update={"machine": "another"}).fate is Fate.FAR
    assert before.model_copy(update={"machine": ""}).fate is Fate.FAR
    assert me().model_copy(update={"processes": "pid:[of a container]"}).fate is Fate.FAR


def test_a_number_that_was_given_to_another_process_is_not_taken_for_the_holder():
    assert me().fate is Fate.LIVES
    assert me().model_copy(update={"process_began": 1}).fate is Fate.DEAD
    assert me().model_copy(update={"pid": 2**22 + 1}).fate is Fate.DEAD


def test_whoever_was_taken_over_writes_nothing_more(folder):
    with open_journal(folder) as one, open_journal(folder) as other:
        seen, _ = one.take("lab-a", me())
        one.append(record(1, STARTED))
        assert one.renew()
        seen = other.lease("lab-a")
        lease, ours = other.take("lab-a", me("r1", "bob"), over=seen)
        assert (ours, lease.fence) == (True, 2)
        for late in (record(2, DETAIL), record(2, FINISHED), record(1, STARTED, run="r9")):
            with pytest.raises(JournalError, match="taken over by run r1 of bob"):
                one.append(late)
        assert not one.renew()
        other.append(record(2, FINISHED))
        assert [row["fence"] for row in other.rows("r1")] == [1, 2]
        assert other.check("r1").fault == ""
        assert [line.run for line in other.runs()] == ["r1"]


def test_a_holder_whose_heart_has_beaten_since_is_not_taken_over(folder):
    with open_journal(folder) as one, open_journal(folder) as other:
        one.take("lab-a", me())
        seen = other.lease("lab-a")
        one.renew()
        assert not other.take("lab-a", me("r2"), over=seen)[1]


def test_a_run_that_came_to_its_end_holds_nothing_even_if_it_could_not_give_it_back(folder):
    with open_journal(folder) as one, open_journal(folder) as other:
        one.take("lab-a", me())
        one.append(record(1, STARTED))
        one.append(record(2, FINISHED))
        assert other.take("lab-a", me("r1", "bob"))[1]
        # The one who goes on with it holds it from the first moment, before it has said a word.
        assert not one.take("lab-a", me("r1", "ada"))[1]


def contend(number, folder, rounds, barrier, results):
    """One controller: takes the site each round, if it can; gives it back when all have tried."""
    with open_journal(folder) as journal:
        if journal.shared:  # each on a machine of its own
            holder._boot_id = lambda: f"boot {number}"
            holder._machine = lambda: f"machine {number}"
        for turn in range(rounds):
            barrier.wait(PATIENCE)
            with ExitStack() as held:
                won = False
                try:
                    held.enter_context(
                        site_lock(folder, "lab-a", run=f"r{number}", since=NOON, by="ada")
                    )
                    lease, won = journal.take("lab-a", me(f"r{number}"))
                    results.put((turn, won, lease.fence))
                except LockedError:
                    results.put((turn, False, 0))
                barrier.wait(PATIENCE)
                if won:
                    journal.give_back()
            barrier.wait(PATIENCE)


def race(folders, rounds):
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(len(folders)), fork.Queue()
    racers = [
        fork.Process(target=contend, args=(number, folder, rounds, barrier, results))
        for number, folder in enumerate(folders)
    ]
    for racer in racers:
        racer.start()
    found = []
    while len(found) < rounds * len(folders):
        try:
            found.append(results.get(timeout=PATIENCE))
        except queue.Empty:
            break
    for racer in racers:
        racer.join(timeout=PATIENCE)
        if racer.is_alive():
            racer.kill()
    assert [racer.exitcode for racer in racers] == [0] * len(folders)
    winners = [(turn, fence) for turn, won, fence in sorted(found) if won]
    assert [turn for turn, _ in winners] == list(range(rounds))
    fences = [fence for _, fence in winners]
    assert fences == sorted(set(fences))


@pytest.mark.parametrize(
    "rounds", [ROUNDS, pytest.param(MANY_ROUNDS, marks=pytest.mark.long)], ids=["some", "many"]
)
def test_of_two_controllers_that_race_for_a_site_exactly_one_wins_each_time(folders, rounds):
    with open_journal(folders[0]):
        pass
    race(folders, rounds)


def write_on(folder, going, paused):
    """A controller that holds the site and writes until it is refused; then its exit code is 3."""
    lost = []
    with (
        open_journal(folder) as journal,
        site_lease.site_lease(
            journal, "lab-a", run="r1", by="ada", since=NOON, lost=lost.append, tell=print
        ),
    ):
        journal.append(record(1, STARTED))
        going.set()
        paused.wait(PATIENCE)
        seq = 2
        try:
            while seq < 10_000:
                journal.append(record(seq, DETAIL))
                seq += 1
                time.sleep(0.01)
        except JournalError as error:
            os._exit(3 if "taken over" in error.message else 4)
    os._exit(5)


def test_a_paused_controller_that_wakes_after_a_takeover_stops_and_has_written_nothing(folder):
    fork = multiprocessing.get_context("fork")
    going, paused = fork.Event(), fork.Event()
    child = fork.Process(target=write_on, args=(folder, going, paused))
    child.start()
    assert going.wait(PATIENCE)
    pause(child.pid)
    with open_journal(folder) as journal:
        _, ours = journal.take("lab-a", me("r1", "bob"), over=journal.lease("lab-a"))
        assert ours
        journal.append(record(2, FINISHED))
        os.kill(child.pid, signal.SIGCONT)
        paused.set()  # not before: it waits until the other has seen it
        child.join(timeout=PATIENCE)
        assert child.exitcode == 3
        assert [r.event for r in journal.records("r1")] == [STARTED, FINISHED]
        assert journal.check("r1").fault == ""


def test_a_second_run_is_refused_with_who_since_when_from_where_and_how_to_follow_it(folder):
    with open_journal(folder) as one, open_journal(folder) as other:
        one.take("lab-a", me())
        with pytest.raises(LockedError) as caught, held(other):
            pass
        assert f"run r1 of ada on {me().controller} (process {os.getpid()})" in str(caught.value)
        assert "since 12:00:00 UTC" in caught.value.message
        assert caught.value.hint == "Watch it: drcli status --site lab-a"
        with read_journal(folder) as view:
            assert view.holder("lab-a").run == "r1"


def held(journal, *, lost=print, **how):
    return site_lease.site_lease(
        journal, "lab-a", run="r2", by="bob", since=NOON, lost=lost, tell=print, **how
    )
