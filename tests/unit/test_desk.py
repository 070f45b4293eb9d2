"""A worker's desk: nothing starts unasked, and only who holds the lease may go on."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from orchestrator import desk as module
from orchestrator.desk import Desk
from orchestrator.events import PlaybookOutcome, TaskStarted
from orchestrator.shipment import pack, project_hash
from orchestrator.wire import Parcel, Readiness, versions
from orchestrator.work import AnsibleOptions, PlaybookRequest, PlaybookResult

EVENT = TaskStarted(component="routing", play="p", task="t")


class Work:
    """Stands for playbooks: runs until it is let go or asked to stop."""

    def __init__(self):
        self.started, self.release = threading.Event(), threading.Event()
        self.stopped = False

    def close(self):
        """Nothing of it is kept between playbooks."""

    def __call__(self, request, tell, stop):
        tell(EVENT)
        self.request = request
        self.started.set()
        while not self.release.wait(0.02):
            if stop.is_set():
                self.stopped = True
                return PlaybookResult(outcome=PlaybookOutcome.CANCELLED)
        return PlaybookResult(outcome=PlaybookOutcome.SUCCEEDED)


@pytest.fixture
def at(make_project, tmp_path, monkeypatch):
    """A desk with a short lease, its work, and a parcel for it."""
    monkeypatch.setattr(module, "LEASE", 1.5)
    monkeypatch.setattr(module, "HOLD", 0.3)
    project = make_project()
    made = Desk(name="w1", state_dir=tmp_path / "state", project=project)
    made._playbooks = Work()
    yield made, project
    made.close()


def parcel(project, **given):
    request = PlaybookRequest(
        run="r", component="routing", attempt=1, project=Path(),
        inventory=Path("inventories/room-a/hosts.yml"),
        playbook=Path("playbooks/network/routing.yml"), hosts=("r1",), timeout=60.0,
    )  # fmt: skip
    words = {
        "token": "t1", "run": "r", "site": "room-a", "digest": project_hash(project, "room-a"),
        "versions": versions(), "request": request, "options": AnsibleOptions(),
    }  # fmt: skip
    return Parcel(**{**words, **given})


def taken(desk, token="t1"):
    """A thread that holds the attempt, as Dask's would; announced when this returns."""
    announced = threading.Event()
    thread = threading.Thread(target=desk.take, args=(token, announced.set), daemon=True)
    thread.start()
    assert announced.wait(10)
    return thread


def test_nothing_starts_before_the_first_poll_and_the_result_comes_after_all_events(at):
    desk, project = at
    work = desk._playbooks
    thread = taken(desk)

    async def controller():
        assert (await desk.begin(parcel(project))).readiness is Readiness.READY
        assert (await desk.begin(parcel(project))).readiness is Readiness.READY  # harmless
        await asyncio.sleep(0.2)
        assert not work.started.is_set()
        first = await desk.poll("t1", ack=0, seen=0, stop=False)
        assert (first.number, first.events, first.result) == (1, (EVENT,), None)
        again = await desk.poll("t1", ack=0, seen=0, stop=False)  # as if the answer was lost
        assert (again.number, again.events) == (2, (EVENT,))
        work.release.set()
        reply = await desk.poll("t1", ack=2, seen=1, stop=False)
        while reply.result is None:
            reply = await desk.poll("t1", ack=reply.number, seen=1, stop=False)
        assert reply.result.outcome is PlaybookOutcome.SUCCEEDED
        await desk.finish("t1")

    asyncio.run(controller())
    thread.join(10)
    assert not thread.is_alive()
    assert desk.busy == 0
    assert work.request.playbook == project / "playbooks/network/routing.yml"


def test_a_lease_that_nobody_renews_ends_the_work(at):
    desk, project = at
    thread = taken(desk)

    async def controller():
        await desk.begin(parcel(project))
        return await desk.poll("t1", ack=0, seen=0, stop=False)

    asyncio.run(controller())
    thread.join(20)
    assert desk._playbooks.stopped
    assert asyncio.run(desk.poll("t1", ack=1, seen=0, stop=False)) is None


def test_questions_that_acknowledge_nothing_new_do_not_renew_the_lease(at):
    desk, project = at
    taken(desk)

    async def controller():
        await desk.begin(parcel(project))
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:  # as where questions arrive and answers do not
            if await desk.poll("t1", ack=0, seen=0, stop=False) is None:
                return True
        return False

    assert asyncio.run(controller())


def test_a_first_poll_that_comes_too_late_starts_nothing(at):
    desk, project = at
    thread = taken(desk)
    asyncio.run(desk.begin(parcel(project)))
    thread.join(20)
    assert not thread.is_alive()
    assert asyncio.run(desk.poll("t1", ack=0, seen=0, stop=False)) is None
    assert not desk._playbooks.started.is_set()


def test_a_token_that_nobody_begins_is_given_up(at):
    desk, project = at
    thread = taken(desk)
    thread.join(20)
    assert not thread.is_alive()
    assert asyncio.run(desk.begin(parcel(project))).readiness is Readiness.UNKNOWN


def test_other_versions_are_refused(at):
    desk, project = at
    taken(desk)
    begun = asyncio.run(desk.begin(parcel(project, versions="drcli 0.0.1, ansible-core 2.0")))
    assert begun.readiness is Readiness.REFUSED
    assert "the controller has drcli 0.0.1" in begun.said


def test_a_project_it_does_not_have_is_asked_for_and_used_when_it_came(at):
    desk, project = at
    (project / "playbooks/network/routing.yml").write_text("- hosts: all\n")
    digest, packed = project_hash(project, "room-a"), pack(project, "room-a")
    (project / "playbooks/network/routing.yml").write_text("- hosts: none\n")
    taken(desk)
    wanted = parcel(project, digest=digest)
    assert asyncio.run(desk.begin(wanted)).readiness is Readiness.WANTS_PROJECT
    assert "not the one" in asyncio.run(desk.receive("1" * 64, "room-a", packed))
    assert asyncio.run(desk.receive(digest, "room-a", packed)) == ""
    assert asyncio.run(desk.begin(wanted)).readiness is Readiness.READY


def test_a_private_key_it_does_not_have_is_refused(at, tmp_path):
    desk, project = at
    taken(desk)
    options = AnsibleOptions(private_key=tmp_path / "none")
    begun = asyncio.run(desk.begin(parcel(project, options=options)))
    assert begun.readiness is Readiness.REFUSED
    assert "a private key is not sent" in begun.said
