"""Rules say who is told of what; a target that is dead, slow or wrong never holds the run."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from aiosmtpd.controller import Controller

from orchestrator import notices
from orchestrator.drills import Drill, DrillKind
from orchestrator.events import (
    ComponentFailed,
    ComponentHealthy,
    ComponentVerified,
    PlannedComponent,
    Record,
    RunFinished,
    RunStarted,
)
from orchestrator.notices import Notifier, Rule, rules_of, send_through_apprise
from orchestrator.site import Site
from orchestrator.state import RunState, advance

PLANNED = (
    PlannedComponent(name="dns", layer="network", hosts=("ns1",)),
    PlannedComponent(name="database", layer="storage", hosts=("db1",)),
)
EVERYTHING = frozenset(
    {"started", "verified", "layer-up", "failed", "held", "turned-red", "forecast", "decided",
     "finished"}
)  # fmt: skip
RUN = (
    ComponentVerified(component="dns"),
    ComponentFailed(component="database", reason="two primaries"),
    RunFinished(outcome="not_recovered", seconds=1.0),
)


def started(**more):
    return RunStarted(site="hosting-a", plan_hash="h", components=PLANNED, by="sam", **more)


def rule(*when, quiet=0.0, address="x"):
    return Rule(name="1 (X)", when=frozenset(when) or EVERYTHING, quiet=quiet, address=address)


def show(notifier, *events):
    state = RunState()
    for number, event in enumerate(events, 1):
        at = datetime(2026, 1, 2, 12, tzinfo=UTC)
        record = Record(run="r", seq=number, at=at, elapsed=float(number), event=event)
        state = advance(state, record)
        notifier.show(record, state)


def sent_by(rules, *events, send=None, pauses=(0.01,)):
    """The titles that a run of these events sends, and what it says of trouble."""
    titles, said = [], []

    def keep(_address, title, _body):
        titles.append(title)
        return True

    with Notifier(rules, send=send or keep, tell=said.append, pauses=pauses) as notifier:
        show(notifier, *events)
    return titles, said


def test_what_happens_is_told_in_order():
    titles, said = sent_by([rule()], started(), *RUN)
    assert titles == [
        "hosting-a: recovery r began, by sam",
        "hosting-a: dns is up",
        "hosting-a: network is up",
        "hosting-a: database failed: two primaries",
        "hosting-a: NOT recovered after 4.0 s; 1 verified; failed: database",
    ]
    assert said == []


def test_a_rule_is_told_only_of_what_it_names():
    assert sent_by([rule("failed")], started(), *RUN)[0] == [
        "hosting-a: database failed: two primaries"
    ]


def test_a_drill_says_so_and_a_dry_run_says_nothing():
    drill = started(drill=Drill(kind=DrillKind.LIVE))
    assert all(t.startswith("DRILL: ") for t in sent_by([rule()], drill, *RUN)[0])
    assert sent_by([rule()], started(dry_run=True), *RUN)[0] == []


def test_the_same_is_not_told_again_for_a_while():
    again = ComponentFailed(component="database", reason="two primaries, still")
    assert len(sent_by([rule("failed", quiet=3600)], started(), RUN[1], again)[0]) == 1
    assert len(sent_by([rule("failed")], started(), RUN[1], again)[0]) == 2


def test_a_layer_is_told_once_also_where_it_was_up_already():
    events = (ComponentHealthy(component="dns"), ComponentHealthy(component="database"))
    titles, _ = sent_by([rule("layer-up")], started(), *events)
    assert titles == ["hosting-a: network is up", "hosting-a: storage is up"]


def test_a_target_that_takes_it_later_is_tried_again():
    tries = []

    def late(*message):
        tries.append(message)
        return len(tries) > 3

    _, said = sent_by([rule("failed")], started(), *RUN, send=late)
    assert len(tries) == 4
    assert said == []


def test_a_target_that_never_takes_it_is_told_and_its_secret_is_not(monkeypatch):
    monkeypatch.setattr(notices, "MOST_TRIES", 3)

    def broken(address, *_):
        raise OSError(f"cannot reach {address}")

    rules = [rule("failed", address="mailto://user:secret@host")]
    _, (said,) = sent_by(rules, started(), *RUN, send=broken)
    assert said == "notices 1 (X): 1 not delivered, 0 were: OSError"
    assert "secret" not in repr(rules)


def test_a_target_that_hangs_holds_neither_the_run_nor_its_end(monkeypatch):
    monkeypatch.setattr(notices, "LAST_WORDS", 0.2)
    never = threading.Event()
    said = []
    with Notifier([rule()], send=lambda *_: never.wait(60), tell=said.append) as notifier:
        begun = time.monotonic()
        show(notifier, started(), *RUN)
        shown = time.monotonic() - begun
    never.set()
    assert shown < 5
    assert "not delivered" in said[0]


def test_more_than_a_target_can_take_is_dropped_and_said(monkeypatch):
    monkeypatch.setattr(notices, "MOST_WAITING", 2)
    monkeypatch.setattr(notices, "LAST_WORDS", 0.2)
    never = threading.Event()
    _, (said,) = sent_by([rule()], started(), *RUN, send=lambda *_: never.wait(60))
    never.set()
    assert said.startswith("notices 1 (X): 5 not delivered, 0 were")


def site(**notice):
    return Site(
        site="hosting-a",
        layers=[{"name": "network", "components": [{"name": "dns", "hosts": "all"}]}],
        notices=[{"when": ["failed"], "env": "ONCALL", **notice}],
    )


def test_an_address_comes_from_the_environment_and_a_missing_one_stops_nobody():
    said = []
    assert (
        rules_of(site(), environ={"ONCALL": "json://x"}, tell=said.append)[0].address == "json://x"
    )
    assert said == []
    assert rules_of(site(), environ={}, tell=said.append) == ()
    assert said == ["notices 1: ONCALL is not in the environment: nobody is told"]


class Mailbox:
    """Takes every mail; refuses the first ones where `refuse` says how many."""

    def __init__(self, refuse=0):
        self.refuse = refuse
        self.mails = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802 -- aiosmtpd's name
        if self.refuse:
            self.refuse -= 1
            return "451 not now"
        self.mails.append(message_from_bytes(envelope.content))
        return "250 taken"


def test_a_mail_really_arrives_also_where_the_server_first_says_not_now():
    box = Mailbox(refuse=1)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        to = f"mailto://127.0.0.1:{port}?from=drcli@example.org&to=oncall@example.org&mode=insecure"
        _, said = sent_by([rule("failed", address=to)], started(), *RUN, send=send_through_apprise)
    finally:
        server.stop()
    assert said == []
    (mail,) = box.mails
    assert mail["Subject"] == "hosting-a: database failed: two primaries"


@contextmanager
def web_server():
    posts = []

    class Taking(BaseHTTPRequestHandler):
        def do_POST(self):
            posts.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(500 if len(posts) == 1 else 200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, posts
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_webhook_is_really_called_and_again_after_an_error():
    with web_server() as (port, posts):
        to = f"json://127.0.0.1:{port}/hook"
        _, said = sent_by([rule("failed", address=to)], started(), *RUN, send=send_through_apprise)
    assert said == []
    assert len(posts) == 2
    assert b"database failed: two primaries" in posts[1]


@pytest.mark.parametrize("address", ["json://127.0.0.1:1/", "nonsense://x", "", "mailto://"])
def test_a_dead_or_wrong_target_is_told_and_nothing_else_happens(address, monkeypatch):
    monkeypatch.setattr(notices, "MOST_TRIES", 2)
    rules = [rule("failed", address=address)]
    _, said = sent_by(rules, started(), *RUN, send=send_through_apprise)
    assert said == ["notices 1 (X): 1 not delivered, 0 were: the target did not take it"]
