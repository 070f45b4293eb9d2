"""A site in memory and a run of it in one thread, on a clock of its own: luck decides what is next.

Which work ends next, how long it took, what falls over meanwhile: all is drawn from one seeded
source, so that a run that goes wrong can be had again.
"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial

from engine import options

from orchestrator import order
from orchestrator.events import CheckFinished, CheckOutcome, GatePurpose, HostStats, PlaybookOutcome
from orchestrator.inbox import Inbox
from orchestrator.recovery import recover
from orchestrator.run import Clock
from orchestrator.work import GateResult, PlaybookResult

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
MOST_RECORDS = 20_000  # of one run: more, and it turns in circles


class World:
    """What is really up. A gate sees a component and all it stands on; a playbook mends its own.

    `falls` is how often something may still fall over, a single component or all at once.
    """

    def __init__(self, graph, luck, *, up=(), falls=0, broken=(), flaky=0.0, late=0.0):
        self.graph = graph
        self.reach = order.stands_on(graph)
        self.luck = luck
        self.up = set(up)
        self.broken = set(broken)  # their playbooks fail
        self.by_rule = frozenset()  # even of these none fails that is told to go on by the rule
        self.falls = falls
        self.late = late  # how often work is done at once, and told later
        self.flaky = flaky  # how often a look again is red without a cause
        self.on_fall = lambda gone: None

    def stands(self, name):
        return self.up.issuperset((name, *self.reach[name]))

    def pass_by(self):
        """Something may fall over now."""
        if self.falls and self.luck.random() < 0.05:
            self.falls -= 1
            gone = set(self.up) if self.luck.random() < 0.2 else {self.luck.choice([*self.graph])}
            self.up -= gone
            self.on_fall(gone)

    def gates(self, request, tell, stop):
        name = request.component
        green = self.stands(name) and not stop.is_set()
        if request.purpose is GatePurpose.RECHECK and self.luck.random() < self.flaky:
            green = False
        outcome = CheckOutcome.PASSED if green else CheckOutcome.FAILED
        check = CheckFinished(
            component=name, check="test_it", host=request.hosts[0], outcome=outcome, seconds=0.0
        )
        tell(check)
        reasons = ("stopped",) if stop.is_set() else ()
        return GateResult(green=green, checks=(check,), reasons=reasons)

    def playbooks(self, request, tell, stop):
        name = request.component
        if stop.is_set():
            return PlaybookResult(outcome=PlaybookOutcome.CANCELLED, reasons=("stopped",))
        fails = name in self.broken and not (name in self.by_rule and request.variables)
        if fails or not self.up.issuperset(self.reach[name]):
            return PlaybookResult(outcome=PlaybookOutcome.FAILED, reasons=("it says so",))
        self.up.add(name)
        stats = {host: HostStats(ok=1) for host in request.hosts}
        return PlaybookResult(outcome=PlaybookOutcome.SUCCEEDED, stats=stats)


class _Workers:
    """Work that was given and has not ended yet; some was done at once, and is told late."""

    def __init__(self, process):
        self.process = process
        self.pending = []
        self.most = 0

    def submit(self, call, component, *args):
        work = partial(call, component, *args)
        if self.process.world.luck.random() < self.process.world.late:
            work = partial(self.process.inbox.deliver, self.process.inbox.kept_back(work))
        work.component = component
        self.pending.append(work)
        self.most = max(self.most, len(self.pending))

    def shutdown(self, *, wait):
        while self.pending:
            self.pending.pop(0)()


class _Inbox(Inbox):
    """Waiting for a message is what makes work end, and time pass."""

    def __init__(self, process):
        super().__init__()
        self.process = process
        self.keeps = None

    def put(self, message):
        if self.keeps is None:
            super().put(message)
        else:
            self.keeps.append(message)

    def kept_back(self, work):
        """Do it; what it tells is returned, and not told yet."""
        self.keeps = messages = []
        work()
        self.keeps = None
        return messages

    def deliver(self, messages):
        for message in messages:
            self.put(message)

    def get(self, timeout=None):
        while (message := super().get(0)) is None:
            pending, luck = self.process.workers.pending, self.process.world.luck
            able = [n for n, work in enumerate(pending) if not self.process.held(work.component)]
            if timeout is not None and (not able or luck.random() < 0.1):
                self.process.now += timeout
                return None
            assert able, "the run waits for nothing"
            self.process.now += luck.choice((0.0, 1.0, 1.0, 10.0, 100.0))
            self.process.world.pass_by()
            pending.pop(luck.choice(able))()
        return message


class Process:
    """One drcli at work on a world; `records` are all of its run."""

    def __init__(self, plan, world, **given):
        self.plan = plan
        self.world = world
        self.records = []
        self.options = options(**given)
        self.inbox = _Inbox(self)
        self.workers = _Workers(self)
        self.now = 0.0
        self.gates = world.gates
        self.held = lambda component: False  # of which component no work may end now

    def run(self, *, stop_at=None, watch=lambda record: None):
        """Run to the end; after so many records it is asked to stop."""
        clock = Clock(
            wall=lambda: NOON + timedelta(seconds=self.now),
            monotonic=lambda: self.now,
            wait=self._wait,
        )
        given = {"options": self.options, "clock": clock, "inbox": self.inbox}
        drive = recover(self.plan, self.world.playbooks, self.gates, workers=self.workers, **given)
        with closing(drive):
            for record in drive:
                self.records.append(record)
                watch(record)
                assert len(self.records) < MOST_RECORDS, "the run turns in circles"
                if len(self.records) == stop_at:
                    self.inbox.request_stop("SIGTERM")
        return self.records

    def _wait(self, seconds, stop):
        if not stop.is_set():
            self.now += seconds
