"""The engine: drives a plan and says all it does as records; it knows no tool and prints nothing.

`recover` and `verify` are generators. Worker threads put messages on one queue; only the thread
that iterates yields. A record of a start is yielded, and thus on disk, before its work starts.
Closing the generator sets the stop flag and waits until every worker has returned: no child process
is left.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from threading import Event as Flag
from typing import Any

from orchestrator.answers import answer, expired, may_expire
from orchestrator.decisions import RunCancelled, TerminalLost, Waived
from orchestrator.events import (
    ComponentHeld,
    ComponentTurnedRed,
    Event,
    GateFinished,
    PlannedComponent,
    PlaybookFinished,
    Record,
    RunFinished,
    RunOutcome,
    RunResumed,
    RunStarted,
)
from orchestrator.inbox import HungUp, Inbox, Message, Returned, StopRequested, Told
from orchestrator.plan import Component, Plan
from orchestrator.requests import Requested
from orchestrator.rounds import Rounds
from orchestrator.run import Clock, Run, RunOptions
from orchestrator.script import bring_back, go_on, look, look_again, look_ahead, rehearse
from orchestrator.services import planned_services
from orchestrator.standing import Standing
from orchestrator.state import RunState, advance
from orchestrator.steps import Script, Work
from orchestrator.work import Gates, Playbooks

TICK = 0.5  # seconds between two looks at what may have expired
QUIET = 5.0  # seconds without news after which it is asked whether the run is later than was said


def recover(  # noqa: PLR0913 -- the engine's whole environment, each by name
    plan: Plan,
    state: RunState,
    playbooks: Playbooks,
    gates: Gates,
    *,
    options: RunOptions,
    clock: Clock | None = None,
    inbox: Inbox | None = None,
    workers: Executor | None = None,
) -> Generator[Record, None, None]:
    """Bring back every component of the plan, each only when all it stands on is up.

    With `options.ansible.check` it is a dry run: every playbook runs in check mode, nothing waits
    for the gates below, nothing is changed. `state` is the fold of this run's earlier records, or
    an empty one: a run that goes on looks at every component again, and only what is not up is
    brought back. Putting a stop request into `inbox` ends children and run in good order. Work is
    done by `workers`, else by threads of the run's own.

    Raises:
        Exception: a bug in a worker, after every other worker has returned and the end is recorded.
    """
    run = Run(
        options=options,
        site=plan.site.site,
        state=state,
        playbooks=playbooks,
        gates=gates,
        clock=clock or Clock(),
        inbox=inbox or Inbox(),
    )
    script = rehearse if options.ansible.check else bring_back
    ordered = not options.ansible.check
    yield from _Drive(plan, run, script, ordered=ordered, workers=workers).records()


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
        site=plan.site.site,
        state=RunState(),
        playbooks=None,
        gates=gates,
        clock=clock or Clock(),
        inbox=inbox or Inbox(),
    )
    yield from _Drive(plan, run, look, ordered=False).records()


class _Drive:
    """Runs the scripts of a plan's components side by side, at most `max_parallel` at once.

    Beside them, never in their way, as many more may be looked at ahead, and one that is up again.
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
        self._beside: dict[str, Flag] = {}  # those of them that take no slot, and what ends each
        self._again: str | None = None  # the one of these that was up and is looked at again
        self._red = {name: c.turned_red for name, c in run.state.components.items()}
        most = 2 * run.options.max_parallel + 1
        self._workers = workers or ThreadPoolExecutor(most, thread_name_prefix="drcli")
        self._bug: Exception | None = None
        self._timed = bool(run.state.decided.waivers)  # something may expire, or might have
        self._away = _away(run)
        run.begun = run.clock.monotonic() - run.state.elapsed - self._away

    def records(self) -> Generator[Record, None, None]:
        try:
            if self._run.state.started is None:
                yield self._record(_run_started(self._plan, self._run))
            else:
                yield self._record(_run_resumed(self._plan, self._run, self._away))
            for ignored in self._run.options.ignored:
                yield self._record(ignored)
            yield from self._start_what_may()
            yield from self._foretell()
            while self._goes_on():
                yield from self._start_what_may()
                yield from self._take(message := self._run.inbox.get(self._patience()))
                if not isinstance(message, Told):
                    yield from self._let_expire()
                    yield from self._start_what_may()
                    yield from self._foretell()
            yield self._record(_run_finished(self._run, self._standing))
        finally:
            self._run.inbox.request_stop("closed")
            self._end_what_is_beside()
            self._workers.shutdown(wait=True)
        if self._bug is not None:
            raise self._bug

    def _goes_on(self) -> bool:
        """Something is left to do or to be said; at the end, what was up is to be seen again."""
        if self._active or self._awaits_people() or not self._run.inbox.empty:
            return True
        if self._script is not bring_back or self._run.inbox.stop.is_set():
            return False
        return self._standing.doubt(self._rounds.last(self._run.clock.monotonic()))

    def _awaits_people(self) -> bool:
        """Nothing is left to do but what a person may say, and the run is to wait for that."""
        if self._run.inbox.stop.is_set():
            return False
        return bool(self._run.state.decided.hold and self._standing.waiting) or _asks(self._run)

    def _let_expire(self) -> Iterator[Record]:
        if self._timed and not self._run.inbox.stop.is_set():
            now = self._run.clock.wall()
            for event in expired(self._run.state, at=now, elapsed=self._run.elapsed()):
                # While its gate runs it is not asked to wait anew: that ends, then this is said.
                if event.component not in self._active:
                    yield from self._say(event)

    def _foretell(self) -> Iterator[Record]:
        foretell = self._run.options.foretell
        if foretell and not self._run.inbox.stop.is_set():
            now = replace(self._run.state, elapsed=self._run.elapsed())  # its last record is older
            if told := foretell(now):
                yield self._record(told)

    def _answer(self, asked: Requested) -> Iterator[Record]:
        stopping = self._run.inbox.stop.is_set()
        now, state = self._run.clock.wall(), self._run.state
        for event in answer(asked, state, self._plan, at=now, stopping=stopping):
            yield from self._say(event)
            if isinstance(event, RunCancelled):
                why = f": {event.reason}" if event.reason else ""
                self._run.inbox.request_stop(f"cancelled by {event.by}{why}")

    def _start_what_may(self) -> Iterator[Record]:
        while not self._run.inbox.stop.is_set():
            for blocked in self._standing.newly_blocked():
                yield self._record(blocked)
            if self._run.state.decided.hold:
                return
            script = self._next_script()
            if script is None:
                return
            yield from self._advance(script)

    def _next_script(self) -> str | None:
        """Begin the next script there is room for; its component's name."""
        most = self._run.options.max_parallel
        ahead = len(self._beside) - (self._again is not None)
        if component := self._standing.next_ready(
            slot=len(self._active) - len(self._beside) < most
        ):
            script = self._script_of(component)
        elif ahead < most and (component := self._standing.next_ahead()):
            self._beside[component.name] = Flag()
            script = look_ahead(self._run, component)
        elif not self._again and (component := self._rounds.next(self._run.clock.monotonic())):
            self._again = component.name
            self._beside[component.name] = Flag()
            times = self._red.get(component.name, 0) + 1
            decides = self._standing.red_once(component.name)
            script = look_again(self._run, component, times=times if decides else None)
        else:
            return None
        self._active[component.name] = script
        return component.name

    def _script_of(self, component: Component) -> Script:
        seen = self._standing.seen(component.name)
        if seen is None:
            return self._script(self._run, component)
        return go_on(self._run, component, healthy=seen)

    def _advance(self, name: str) -> Iterator[Record]:
        """Record what the script says until it wants work done, or ends."""
        for step in self._active[name]:
            # What turned red below it while it worked: the work is over, what it means is open.
            held_back = self._standing.unsettled(name)
            if held_back and not isinstance(step, GateFinished | PlaybookFinished):
                yield from self._say(held_back)
                break
            if isinstance(step, Work):
                self._workers.submit(self._work, name, step, self._stop_of(name))
                return
            yield from self._say(step)
        self._end(name)

    def _say(self, event: Event) -> Iterator[Record]:
        yield self._record(event)
        self._standing.note(event)
        self._timed |= isinstance(event, ComponentHeld | Waived)
        self._rounds.note(event, self._run.clock.monotonic())
        if isinstance(event, ComponentTurnedRed):
            self._red[event.component] = event.times
        for held_back in self._standing.newly_held_back():
            yield self._record(held_back)
        self._end_what_is_beside(useless=True)

    def _stop_of(self, name: str) -> Flag:
        return self._beside.get(name, self._run.inbox.stop)

    def _end_what_is_beside(self, *, useless: bool = False) -> None:
        """End all looks ahead and again, or only those that can no longer count."""
        for name, stop in self._beside.items():
            counts = (
                self._standing.watched(name)
                if name == self._again
                else not self._standing.shaken(name)
            )
            if not (useless and counts):
                stop.set()

    def _patience(self) -> float | None:
        """Seconds to wait for a message: until it is time to look again, or one may expire."""
        waits = [TICK] if self._timed and may_expire(self._run.state) else []
        if not (self._again or self._run.state.decided.hold):
            look = self._rounds.wait(self._run.clock.monotonic())
            waits += [] if look is None else [look]
        waits += [QUIET] if self._run.options.foretell else []
        return min(waits, default=None)

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
            case Requested():
                yield from self._answer(message)
            case HungUp():
                if not self._run.state.decided.without_terminal:
                    yield self._record(TerminalLost())
            case StopRequested():
                self._end_what_is_beside()  # the flag of all others is set; nothing new starts

    def _end(self, name: str) -> None:
        del self._active[name]
        self._beside.pop(name, None)
        if name == self._again:
            self._again = None
            return
        self._standing.over(name, cut_short=self._run.inbox.stop.is_set())

    def _work(self, component: str, task: Work[Any], stop: Flag) -> None:
        """In a worker's thread: do the work; say what happens, and at last that it returned."""
        inbox = self._run.inbox
        error = None
        try:
            task.run(lambda event: inbox.put(Told(component=component, event=event)), stop)
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


def _asks(run: Run) -> bool:
    """A question of the run is open, and it is to wait for the answer."""
    return run.options.wait and any(c.asks for c in run.state.components.values())


def _away(run: Run) -> float:
    """How long nobody worked on a run that goes on: of a dead process only the wall clock knows."""
    last = run.state.last_at
    return max(0.0, (run.clock.wall() - last).total_seconds()) if last else 0.0


def _planned(plan: Plan) -> tuple[PlannedComponent, ...]:
    return tuple(
        PlannedComponent(name=c.name, layer=c.layer, hosts=c.hosts, needs=tuple(c.needs))
        for c in plan.components
    )


def _run_started(plan: Plan, run: Run) -> RunStarted:
    options = run.options
    return RunStarted(
        site=plan.site.site,
        plan_hash=plan.hash,
        components=_planned(plan),
        dry_run=options.ansible.check,
        gates_only=run.playbooks is None,
        by=options.by,
        controller=options.controller,
        pid=options.pid,
        selection=options.selection,
        approved=tuple(sorted(options.approved)),
        given=options.given,
        drill=options.drill,
        versions=dict(options.versions),
        services=planned_services(plan),
        hospitals={name: dict(one.title) for name, one in plan.site.hospitals.items()},
    )


def _run_resumed(plan: Plan, run: Run, away: float) -> RunResumed:
    options = run.options
    return RunResumed(
        plan_hash=plan.hash,
        components=_planned(plan),
        away=away,
        by=options.by,
        controller=options.controller,
        pid=options.pid,
        approved=tuple(sorted(options.approved)),
    )


def _run_finished(run: Run, standing: Standing) -> RunFinished:
    seconds = run.elapsed()
    if run.inbox.stop.is_set() and (not standing.complete or _asks(run)):
        return RunFinished(outcome=RunOutcome.INTERRUPTED, seconds=seconds, reason=run.inbox.reason)
    if run.options.ansible.check:
        outcome = RunOutcome.DRY_RUN
    elif standing.down:
        outcome = RunOutcome.NOT_RECOVERED if run.playbooks else RunOutcome.NOT_VERIFIED
    elif standing.degraded or standing.waived:
        outcome = RunOutcome.DEGRADED
    else:
        outcome = RunOutcome.RECOVERED if run.playbooks else RunOutcome.VERIFIED
    return RunFinished(outcome=outcome, seconds=seconds, reason=", ".join(standing.down))
