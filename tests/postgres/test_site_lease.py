"""One run a site at a time among controllers that share a server: the lease, watched from afar."""

from __future__ import annotations

import threading

import pytest
from lease_behaviours import *  # noqa: F403 -- the same wherever the journal is kept
from lease_behaviours import held, me

from orchestrator import holder, site_lease
from orchestrator.errors import LockedError
from orchestrator.journal import open_journal

pytestmark = pytest.mark.once


@pytest.fixture
def folders(folder):
    return [folder.with_name("one"), folder.with_name("two")]


@pytest.fixture
def quick(monkeypatch):
    """A heartbeat and a silence that a test can wait for."""
    monkeypatch.setattr(site_lease, "BEAT_SECONDS", 0.2)
    monkeypatch.setattr(site_lease, "SILENCE_SECONDS", 2.0)


@pytest.fixture
def far(folder, quick):
    """A holder on another machine, run r1 of ada, whose heart does not beat."""
    with open_journal(folder) as journal:
        elsewhere = me().model_copy(
            update={"boot_id": "of another", "machine": "another", "controller": "controller-2"}
        )
        assert journal.take("lab-a", elsewhere)[1]
        yield journal


def test_a_holder_on_another_machine_that_is_silent_is_not_taken_over_unasked(folder, far):
    with open_journal(folder) as journal, pytest.raises(LockedError) as caught, held(journal):
        pass
    assert "run r1 of ada on controller-2" in caught.value.message
    assert "heartbeat has not moved for 2 s" in caught.value.message
    assert "drcli resume --site lab-a --take-over" in caught.value.hint


def test_a_person_who_knows_that_it_is_off_takes_over(folder, far):
    with open_journal(folder) as journal, held(journal, take_over=True):
        assert journal.lease("lab-a").holder.run == "r2"
        assert not far.renew()


def test_a_holder_on_another_machine_whose_heart_beats_is_never_taken_over(folder, far):
    over = threading.Event()

    def beat():
        while not over.wait(0.1):
            far.renew()

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        with (
            open_journal(folder) as journal,
            pytest.raises(LockedError, match="being recovered already: run r1 of ada"),
            held(journal, take_over=True),
        ):
            pass
    finally:
        over.set()
        beating.join()


def test_a_holder_that_gives_the_site_back_meanwhile_is_waited_for(folder, far):
    giving = threading.Timer(0.5, far.give_back)
    giving.start()
    with open_journal(folder) as journal, held(journal):
        assert journal.lease("lab-a").holder.run == "r2"
    giving.join()


def test_a_run_beats_while_it_works_and_is_told_when_it_was_taken_over(folder, quick):
    lost, told = [], threading.Event()

    def note(why):
        lost.append(why)
        told.set()

    with open_journal(folder) as one, open_journal(folder) as other:
        with held(one, lost=note):
            begun = other.lease("lab-a")
            while other.lease("lab-a").beat == begun.beat:
                pass
            while not other.take("lab-a", me("r3"), over=other.lease("lab-a"))[1]:
                pass
            assert told.wait(60)
        assert lost == ["another controller has taken the site over"]
        assert other.lease("lab-a").holder.run == "r3"


def test_a_holder_that_cannot_reach_the_journal_is_told_to_stop(
    folder, quick, database, monkeypatch
):
    monkeypatch.setattr(site_lease, "HOLD_SECONDS", 0.5)
    lost, told = [], threading.Event()

    def note(why):
        lost.append(why)
        told.set()

    with open_journal(folder) as journal, held(journal, lost=note):
        database.execute("ALTER TABLE leases RENAME TO gone")
        assert told.wait(60)
        database.execute("ALTER TABLE gone RENAME TO leases")
    assert lost[0].startswith("no heartbeat for")


def test_two_containers_of_one_machine_do_not_take_each_other_for_dead(monkeypatch):
    mine = me()
    monkeypatch.setattr(holder, "_process_numbers", lambda: "pid:[of another container]")
    assert mine.fate is holder.Fate.FAR
