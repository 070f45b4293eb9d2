"""One attempt on a worker, seen from its controller: what a silent worker's hosts may be told."""

from __future__ import annotations

from pathlib import Path
from threading import Event as Flag

import pytest

from orchestrator import errand, worker
from orchestrator.errand import Errand, Shipper
from orchestrator.errors import InputError, RecoveryError
from orchestrator.events import GatePurpose, PlaybookOutcome, TaskStarted
from orchestrator.executor import Unanswered
from orchestrator.wire import ENDING, LEASE, Begun, Readiness, Reply
from orchestrator.work import AnsibleOptions, GateRequest, PlaybookRequest, PlaybookResult

PLAYBOOK = PlaybookRequest(
    run="r", component="web", attempt=1, project=Path("/p"), inventory=Path("/p/i/hosts.yml"),
    playbook=Path("/p/web.yml"), hosts=("a", "b"), timeout=60.0,
)  # fmt: skip
GATE = GateRequest(
    run="r", component="web", attempt=1, project=Path("/p"), inventory=Path("/p/i/hosts.yml"),
    gate=Path("/p/test_web.py"), hosts=("a", "b"), timeout=60.0, minimum=1,
    purpose=GatePurpose.VERIFY,
)  # fmt: skip
DONE = PlaybookResult(outcome=PlaybookOutcome.SUCCEEDED)
READY = Begun(readiness=Readiness.READY, worker="w1")


def task(number):
    return TaskStarted(component="web", play="p", task=f"t{number}")


class Time:
    """Seconds that pass when somebody sleeps, and 10 for each question without an answer."""

    now = 1000.0

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class Placement:
    over = None

    def wait(self, seconds):
        return "tls://w1"

    def withdraw(self):
        pass


class FakeCluster:
    """A worker that answers as it is told; an exception is raised instead."""

    def __init__(self, time, *, begins=(READY,), polls=()):
        self.time = time
        self.answers = {worker.begin: list(begins), worker.poll: list(polls)}
        self.asked = []

    def able(self):
        return frozenset({"w1"})

    def unable_for(self):
        return 0.0

    def place(self, take, token):
        return Placement()

    def ask(self, address, question, *args):
        self.asked.append((question.__name__, *args[1:]))
        if question is worker.finish:
            return None
        if question is worker.receive:
            return ""
        answers = self.answers[question]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            self.time.now += 10
            raise answer
        return answer


@pytest.fixture
def time(monkeypatch):
    made = Time()
    monkeypatch.setattr(errand, "time", made)
    return made


def run(cluster, request=PLAYBOOK, *, stop=None):
    told = []
    shipper = Shipper(
        project=Path("/p"), site="room-a", run="r", digest="0", options=AnsibleOptions(),
        secrets={}, secret_files=frozenset(),
    )  # fmt: skip
    made = Errand(cluster, shipper, request, told.append, stop or Flag())
    return made.run(), [event for event in told if event.kind == "task_started"]


def test_each_event_is_told_once_and_before_the_result(time):
    polls = [
        Reply(number=1, events=(task(1), task(2))),
        Unanswered("slow"),
        Reply(number=3, events=(task(3),)),
        Reply(number=4, events=(task(4),), result=DONE, log=b"log"),
    ]
    cluster = FakeCluster(time, polls=polls)
    outcome, told = run(cluster)
    assert told == [task(number) for number in (1, 2, 3, 4)]
    assert (outcome.result, outcome.log) == (DONE, b"log")
    # What it acknowledges, and how much it has seen; unanswered, it is asked again as it was.
    asked = [words[1:3] for words in cluster.asked if words[0] == "poll"]
    assert asked == [(0, 0), (1, 2), (1, 2), (3, 3)]
    assert cluster.asked[-1] == ("finish",)


def test_hosts_of_a_playbook_are_lost_only_when_its_lease_and_its_processes_are_over(time):
    cluster = FakeCluster(time, polls=[Reply(number=1, events=(task(1),)), Unanswered("gone")])
    begun = time.now
    outcome, _ = run(cluster)
    assert outcome.result is None
    assert "w1 was lost (gone)" in outcome.said
    assert time.now > begun + LEASE + ENDING


def test_a_worker_that_has_no_such_attempt_is_given_the_same_time_to_end_it(time):
    cluster = FakeCluster(time, polls=[None])
    begun = time.now
    outcome, _ = run(cluster)
    assert outcome.result is None
    assert time.now > begun + LEASE + ENDING


def test_a_gate_changes_nothing_and_need_not_wait_so_long(time):
    begun = time.now
    outcome, _ = run(FakeCluster(time, polls=[Unanswered("gone")]), GATE)
    assert outcome.result is None
    assert time.now < begun + LEASE


def test_who_does_not_answer_before_the_start_is_asked_anew_at_once(time):
    begins = [Unanswered("slow"), Begun(readiness=Readiness.UNKNOWN), READY]
    cluster = FakeCluster(time, begins=begins, polls=[Reply(number=1, result=DONE)])
    outcome, _ = run(cluster)
    assert outcome.result is DONE
    assert [words[0] for words in cluster.asked].count("begin") == 3


def test_who_never_answers_is_not_asked_for_ever(time):
    with pytest.raises(RecoveryError, match="did not answer"):
        run(FakeCluster(time, begins=[Unanswered("gone")]))


def test_a_refusal_is_told_in_the_worker_s_own_words(time):
    refused = Begun(readiness=Readiness.REFUSED, worker="w1", said="worker w1: has no key")
    with pytest.raises(RecoveryError, match="has no key"):
        run(FakeCluster(time, begins=[refused]))


def test_a_stop_reaches_the_worker_and_its_end_is_waited_for(time):
    stop = Flag()
    cancelled = PlaybookResult(outcome=PlaybookOutcome.CANCELLED)

    class Stops(FakeCluster):
        def ask(self, address, question, *args):
            answer = super().ask(address, question, *args)
            stop.set()
            return answer

    polls = [Reply(number=1), Reply(number=2), Reply(number=3, result=cancelled, cut_short=True)]
    cluster = Stops(time, polls=polls)
    outcome, _ = run(cluster, stop=stop)
    assert outcome.result is cancelled
    assert cluster.asked[-2][-1] is True


def test_a_stop_before_the_start_starts_nothing(time):
    stop = Flag()
    stop.set()
    cluster = FakeCluster(time)
    assert run(cluster, stop=stop)[0] is None
    assert cluster.asked == []


def test_a_bug_on_a_worker_is_raised_here_with_its_traceback(time):
    reply = Reply(number=1, error="Traceback: ZeroDivisionError")
    with pytest.raises(RuntimeError, match="worker w1: Traceback: ZeroDivisionError"):
        run(FakeCluster(time, polls=[reply]))


def test_a_parcel_shows_nothing_of_itself_and_names_no_path_of_the_controller():
    options = AnsibleOptions(extra_vars={"token": "canary"}, become_password="canary")
    shipper = Shipper(
        project=Path("/p"), site="room-a", run="r", digest="0", options=options,
        secrets={"vault-0": "canary"}, secret_files=frozenset(),
    )  # fmt: skip
    parcel = shipper.parcel("t", PLAYBOOK)
    assert repr(parcel) == "Parcel(token='t')"
    assert "canary" not in repr(shipper.secrets and parcel)
    assert (parcel.request.inventory, parcel.request.playbook) == (
        Path("i/hosts.yml"),
        Path("web.yml"),
    )
    outside = Shipper(
        project=Path("/elsewhere"), site="room-a", run="r", digest="0", options=options,
        secrets={}, secret_files=frozenset(),
    )  # fmt: skip
    with pytest.raises(InputError, match="outside of the project"):
        outside.parcel("t", GATE)
