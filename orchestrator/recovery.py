"""The engine: drives a plan and says all it does as records; it knows no tool and prints nothing.

It is a generator, so it goes on only after whoever drives it has put the record on disk: a start
stands in the journal before its work begins. Components work in threads that only put messages on
a queue; the generator's own thread alone yields. Closing the generator ends its children.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from threading import Event as Flag
from typing import Any

from orchestrator.events import (
    ComponentTurnedRed,
    Event,
    PlannedComponent,
    Record,
    RuleAwaited,
    RunFinished,
    RunOutcome,
    RunStarted,
)
from orchestrator.inbox import Inbox, Message, Returned, StopRequested, Told
from orchestrator.plan import Component, Plan
from orchestrator.rounds import Rounds
from orchestrator.run import Clock, Run, RunOptions
from orchestrator.script import bring_back, look, look_again, rehearse
from orchestrator.standing import Standing
from orchestrator.state import advance
from orchestrator.steps import Script, Turn, Work
from orchestrator.work import Gates, Playbooks


def recover(  # noqa: PLR0913 -- the engine's whole environment, each by name
    plan: Plan,
    playbooks: Playbooks,
    gates: Gates,
    *,
    options: RunOptions,
    clock: Clock | None = None,
    inbox: Inbox | None = None,
    workers: Executor | None = None,
) -> Generator[Record, None, None]:
    """Bring back every component of the plan, each only when all it stands on is up.

    In a dry run (`options.check`) the playbooks must change nothing; then nothing is proven.

    Putting a stop request into `inbox` ends children and run in good order. Work is done by
    `workers`, else by threads of the run's own.

    Raises:
        Exception: a bug in a worker, after every other worker has returned and the end is recorded.
    """
    run = Run(
        options=options,
        playbooks=playbooks,
        gates=gates,
        clock=clock or Clock(),
        inbox=inbox or Inbox(),
    )
    script = rehearse if options.check else bring_back
    yield from _Drive(plan, run, script, ordered=True, workers=workers).records()


def verify(
    plan: Plan,
    gates: Gates,
    *,
    options: RunOptions,
    clock: Clock | None = None,
    inbox: Inbox | None = None,
) -> Generator[Record, None, None]:
    """Run every gate of the plan once, whatever the others say; change nothing."""
    run = Run(
        options=options,
        playbooks=None,
        gates=gates,
        clock=clock or Clock(),
        inbox=inbox or Inbox(),
    )
    yield from _Drive(plan, run, look, ordered=False).records()


class _Drive:
    """Runs the scripts of a plan's components side by side, at most `max_parallel` at once.

    Beside them, never in their way, one component that is up is looked at again, and some wait for
    the time of their rule.
    """

    def __init__(
        self,
        plan: Plan,
        run: Run,
        script: Callable[[Run, Component], Script],
        *,
        ordered: bool,
        workers: Executor | None = None,
    ) -> None:
        self._plan = plan
        self._run = run
        self._script = script
        self._standing = Standing(plan, ordered=ordered)
        self._rounds = Rounds(plan, self._standing)
        self._active: dict[str, Script] = {}
        self._aside: set[str] = set()  # of these: waits by the site's rule, and holds no slot
        self._want_slot: list[str] = []  # of those: its time has come
        self._again: str | None = None  # the one of these that is up and is looked at again
        self._end_look = Flag()  # ends that look when it can no longer count
        self._red: dict[str, int] = {}  # how often each that was up turned red
        self._bug: Exception | None = None
        may_wait = sum(component.allow_async is not None for component in plan.components)
        most = run.options.max_parallel + 1 + may_wait
        self._workers = workers or ThreadPoolExecutor(most, thread_name_prefix="drcli")

    def records(self) -> Generator[Record, None, None]:
        try:
            yield self._record(_run_started(self._plan, self._run))
            yield from self._start_what_may()
            while self._goes_on():
                yield from self._start_what_may()
                yield from self._take(self._run.inbox.get(self._patience()))
                yield from self._start_what_may()
            cut_short = self._cut_short()
            yield self._record(_run_finished(self._run, self._standing, cut_short=cut_short))
        finally:
            self._run.inbox.request_stop("closed")
            self._end_look.set()
            self._workers.shutdown(wait=True)
        if self._bug is not None:
            raise self._bug

    def _goes_on(self) -> bool:
        """Something is left to do; at the end, what was up is to be seen once more."""
        if self._active:
            return True
        return not self._run.inbox.stop.is_set() and self._standing.doubt(self._last_looks())

    def _last_looks(self) -> frozenset[str]:
        """What is up as far as is known, and is to be seen once more before the run says so."""
        if self._script is not bring_back:
            return frozenset()
        return self._standing.up(self._rounds.last(self._run.clock.monotonic()))

    def _cut_short(self) -> bool:
        """A stop, or a bug, has left something undone, or unseen."""
        if self._bug:
            return True
        undone = not self._standing.complete or self._last_looks()
        return self._run.inbox.stop.is_set() and bool(undone)

    def _start_what_may(self) -> Iterator[Record]:
        while not self._run.inbox.stop.is_set():
            for blocked in self._standing.newly_blocked():
                yield self._record(blocked)
            name = self._next_script()
            if name is None:
                return
            yield from self._advance(name)

    def _next_script(self) -> str | None:
        """Begin the next script there is room for; its component's name."""
        at_work = len(self._active) - len(self._aside) - (self._again is not None)
        if at_work < self._run.options.max_parallel:
            if self._want_slot:
                return self._take_back()
            if ready := self._standing.next_ready():
                self._active[ready.name] = self._script(self._run, ready)
                return ready.name
        if self._again or self._script is not bring_back:
            return None
        if not (up := self._rounds.next(self._run.clock.monotonic())):
            return None
        self._again, self._end_look = up.name, Flag()
        times = self._red.get(up.name, 0) + 1
        decides = self._standing.red_once(up.name)
        self._active[up.name] = look_again(self._run, up, times=times if decides else None)
        return up.name

    def _take_back(self) -> str:
        """The first of those that waited and want a slot; it has one."""
        name = self._want_slot.pop(0)
        self._aside.remove(name)
        return name

    def _advance(self, name: str) -> Iterator[Record]:
        """Record what the script says until it wants work done, or ends."""
        for step in self._active[name]:
            if held_back := self._standing.unsettled(name, step):
                yield from self._say(held_back)
                break
            if isinstance(step, Work):
                stop = self._end_look if name == self._again else self._run.inbox.stop
                self._workers.submit(self._work, name, step, stop)
                return
            if isinstance(step, Turn):
                if self._run.inbox.stop.is_set():
                    continue
                self._aside.add(name)
                self._want_slot.append(name)
                return
            yield from self._say(step)
        self._end(name)

    def _say(self, event: Event) -> Iterator[Record]:
        yield self._record(event)
        self._standing.note(event)
        self._rounds.note(event, self._run.clock.monotonic())
        if isinstance(event, ComponentTurnedRed):
            self._red[event.component] = event.times
        if isinstance(event, RuleAwaited):
            self._aside.add(event.component)
        for held_back in self._standing.newly_held_back():
            yield self._record(held_back)
        if self._again and not self._standing.watched(self._again):
            self._end_look.set()

    def _patience(self) -> float | None:
        """Seconds to wait for a message: until it is time to look again at what is up.

        None: until one comes, as one does when a worker returns.
        """
        if self._again or self._script is not bring_back or self._run.inbox.stop.is_set():
            return None
        return self._rounds.wait(self._run.clock.monotonic())

    def _take(self, message: Message | None) -> Iterator[Record]:
        match message:
            case None:
                pass  # it is time to look what is to be done
            case Told(event=event):
                yield self._record(event)
            case Returned(component=name, error=None):
                yield from self._advance(name)
            case Returned(component=name, error=error):
                self._bug = self._bug or error
                self._run.inbox.request_stop(f"drcli itself failed: {error!r}")
                self._end(name)
            case StopRequested():
                self._end_look.set()  # the flag of all others is set; nothing new starts
                while self._want_slot:
                    yield from self._advance(self._take_back())

    def _end(self, name: str) -> None:
        del self._active[name]
        self._aside.discard(name)
        if name == self._again:
            self._again = None
            return
        self._standing.over(name, cut_short=self._run.inbox.stop.is_set())

    def _work(self, component: str, task: Work[Any], stop: Flag) -> None:
        """In a worker's thread: do the work; say what happens, and at last that it returned."""
        inbox = self._run.inbox
        error = None
        try:
            task.run(lambda event: inbox.put(Told(event=event)), stop)
        except Exception as caught:  # noqa: BLE001 -- raised again in the run's own thread
            error = caught
        inbox.put(Returned(component=component, error=error))

    def _record(self, event: Event) -> Record:
        record = Record(
            run=self._run.options.run,
            seq=self._run.state.last_seq + 1,
            at=self._run.clock.wall(),
            elapsed=self._run.elapsed(),
            event=event,
        )
        self._run.state = advance(self._run.state, record)
        return record


def _run_started(plan: Plan, run: Run) -> RunStarted:
    options = run.options
    return RunStarted(
        site=plan.site.site,
        plan_hash=plan.hash,
        components=tuple(
            PlannedComponent(name=c.name, layer=c.layer, hosts=c.hosts, needs=c.needs)
            for c in plan.components
        ),
        gates_only=run.playbooks is None,
        by=options.by,
        controller=options.controller,
        pid=options.pid,
        layers=options.layers,
        selected=options.selected,
        approved=tuple(sorted(options.approved)),
        limit=options.limit,
        start=options.start,
        dry_run=options.check,
        lab=options.lab,
    )


def _run_finished(run: Run, standing: Standing, *, cut_short: bool) -> RunFinished:
    seconds = run.elapsed()
    if cut_short:
        return RunFinished(outcome=RunOutcome.INTERRUPTED, seconds=seconds, reason=run.inbox.reason)
    if run.options.check:
        ended = RunOutcome.DRY_RUN_FAILED if standing.down else RunOutcome.DRY_RUN_ENDED_WELL
        return RunFinished(outcome=ended, seconds=seconds, reason=", ".join(standing.down))
    by_rule = [name for name, c in run.state.components.items() if c.rule]
    if standing.down:
        outcome = RunOutcome.NOT_RECOVERED if run.playbooks else RunOutcome.NOT_VERIFIED
    elif by_rule:
        return RunFinished(outcome=RunOutcome.DEGRADED, seconds=seconds, reason=", ".join(by_rule))
    else:
        outcome = RunOutcome.RECOVERED if run.playbooks else RunOutcome.VERIFIED
    return RunFinished(outcome=outcome, seconds=seconds, reason=", ".join(standing.down))
