"""What people ask reaches the run's inbox once, in order, whatever the journal does meanwhile."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime

from orchestrator.errors import JournalError
from orchestrator.inbox import Inbox
from orchestrator.listener import listening
from orchestrator.requests import Hold, Release


@dataclass
class Row:
    id: int
    request: str
    by: str = "ann"
    at: datetime = datetime(2026, 1, 2, tzinfo=UTC)


HOLD = Hold(reason="smoke").model_dump_json()
RELEASE = Release().model_dump_json()


def test_what_was_asked_before_comes_first_and_is_late():
    rows = [Row(4, HOLD)]
    inbox = Inbox()
    with listening(inbox, lambda last: tuple(r for r in rows if r.id > last), after=3):
        first = inbox.get(10)
        rows.append(Row(5, RELEASE))
        second = inbox.get(10)
    assert (first.id, first.request, first.late) == (4, Hold(reason="smoke"), True)
    assert (second.id, second.request, second.late) == (5, Release(), False)
    assert inbox.empty


def test_a_journal_that_cannot_be_read_for_a_while_loses_nothing():
    troubled = threading.Event()

    def asked(last):
        if not troubled.is_set():
            troubled.set()
            raise JournalError("locked")
        return (Row(1, HOLD),) if last < 1 else ()

    inbox = Inbox()
    with listening(inbox, asked, after=0):
        assert inbox.get(10).id == 1


def test_what_this_version_cannot_read_is_passed_on_as_such():
    inbox = Inbox()
    rows = (Row(1, '{"kind": "dance"}'), Row(2, "not json"))
    with listening(inbox, lambda last: rows[last:], after=0):
        assert [inbox.get(10).request, inbox.get(10).request] == [None, None]
