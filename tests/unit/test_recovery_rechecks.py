"""Gates stay on: what is up is looked at again, and what turns red is brought back once more."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from engine import plan_of, verdicts
from simulation import Process, World

from orchestrator.events import (
    CheckFinished,
    ComponentFailed,
    ComponentHeldBack,
    ComponentTurnedRed,
    ComponentVerified,
    GateFinished,
    GatePurpose,
    GateStarted,
    PlaybookFinished,
    PlaybookStarted,
    RunOutcome,
)
from orchestrator.rounds import Rounds
from orchestrator.script import MOST_RED
from orchestrator.standing import Standing
from orchestrator.state import UP, ComponentState, fold

CHAIN = {"routing": (), "database": ("routing",), "portal": ("database",)}
RECHECK = GatePurpose.RECHECK


def says(kind, component, **fields):
    """Whether a record's event is this one."""

    def matches(event):
        return (
            isinstance(event, kind)
            and event.component == component
            and all(getattr(event, name) == value for name, value in fields.items())
        )

    return matches


def run(graph, *, when=lambda event: False, then=lambda world: None, seed=1, recheck=60.0, **given):
    """Recover a dark site; at each event that `when` is true of, do `then` to the world."""
    world = World(graph, random.Random(seed), **given)
    process = Process(plan_of(graph, settle=0, recheck=recheck), world, max_parallel=2)

    def watch(record):
        if when(record.event):
            then(world)

    return process.run(watch=watch)


def only_once(when):
    left = [True]

    def first(event):
        return bool(left) and when(event) and left.pop()

    return first


def order_of(records, *kinds):
    return [(r.event.kind, r.event.component) for r in records if isinstance(r.event, kinds)]


def plays(records):
    return [component for _, component in order_of(records, PlaybookStarted)]


@pytest.mark.parametrize("seed", range(20))
def test_a_router_that_dies_again_while_an_application_starts_is_brought_back_first(seed):
    records = run(
        CHAIN,
        seed=seed,
        when=only_once(says(PlaybookStarted, "portal")),
        then=lambda world: world.up.discard("routing"),
    )
    assert records[-1].event.outcome is RunOutcome.RECOVERED
    assert set(verdicts(records).values()) <= UP
    assert [e for e in plays(records) if e != "portal"] == ["routing", "database", "routing"]
    assert fold(records).components["routing"].turned_red == 1
    kinds = order_of(records, ComponentTurnedRed, ComponentHeldBack)
    assert kinds[0] == ("component_turned_red", "routing")
    assert ("component_held_back", "database") in kinds
    assert ("component_held_back", "portal") in kinds


def test_what_falls_over_unnoticed_is_brought_back_before_the_run_says_that_all_is_up(monkeypatch):
    """Nothing that stands on it notices, and its own gate would not be due before the end."""
    monkeypatch.setattr("orchestrator.rounds.LAST", 0.0)
    fallen = 0
    for seed in range(40):
        worlds, verified = [], set()

        def nearly_done(event, verified=verified):
            verified |= {event.component} if isinstance(event, ComponentVerified) else set()
            return "routing" in verified and says(PlaybookStarted, "portal")(event)

        def fall(world, worlds=worlds):
            worlds.append(world)
            world.up.discard("routing")

        records = run(
            {"routing": (), "database": (), "portal": ("database",)},
            seed=seed,
            recheck=36_000.0,
            when=only_once(nearly_done),
            then=fall,
        )
        assert records[-1].event.outcome is RunOutcome.RECOVERED
        for world in worlds:
            assert world.up == {"routing", "database", "portal"}
            assert fold(records).components["routing"].turned_red == 1
        fallen += len(worlds)
    assert fallen >= 10


def test_a_last_look_is_had_once_and_not_of_what_was_just_seen():
    plan = plan_of({"routing": (), "database": ()})
    rounds = Rounds(plan, Standing(plan, ordered=True))
    rounds.note(ComponentVerified(component="routing"), 0.0)
    rounds.note(ComponentVerified(component="database"), 75.0)
    assert rounds.last(100.0) == ("routing",)
    assert rounds.last(200.0) == ()  # until something was brought back
    rounds.note(ComponentVerified(component="database"), 210.0)
    assert rounds.last(215.0) == ("routing",)


def test_what_was_last_seen_red_is_looked_at_once_more_however_lately_that_was():
    """The look was broken off, or came too late to hold anything: it has shown nothing to be up."""
    plan = plan_of({"routing": (), "database": ()})
    rounds = Rounds(plan, Standing(plan, ordered=True))
    for name in ("routing", "database"):
        rounds.note(ComponentVerified(component=name), 0.0)
    rounds.note(looked("routing", seconds=1.0, green=False), 99.0)
    rounds.note(looked("database", seconds=1.0), 99.0)
    assert rounds.last(100.0) == ("routing",)


def test_what_is_seen_red_after_the_last_looks_is_looked_at_once_more():
    """A look that was under way already when the others had theirs."""
    plan = plan_of({"routing": (), "database": ()})
    rounds = Rounds(plan, Standing(plan, ordered=True))
    for name in ("routing", "database"):
        rounds.note(ComponentVerified(component=name), 0.0)
    assert rounds.last(100.0) == ("routing", "database")
    rounds.note(looked("routing", seconds=1.0), 101.0)
    rounds.note(looked("database", seconds=1.0, green=False), 102.0)
    assert rounds.last(103.0) == ("database",)
    rounds.note(looked("database", seconds=1.0), 104.0)
    assert rounds.last(500.0) == ()


def test_what_was_verified_above_is_looked_at_again_and_left_alone_when_green():
    records = run(
        CHAIN,
        when=only_once(says(PlaybookStarted, "portal")),
        then=lambda world: world.up.discard("routing"),
    )
    turned = next(r.seq for r in records if isinstance(r.event, ComponentTurnedRed))
    of_database = [
        r.event.kind
        for r in records
        if r.seq > turned and getattr(r.event, "component", "") == "database"
        if getattr(r.event, "purpose", "") != RECHECK and not isinstance(r.event, CheckFinished)
    ]
    assert of_database == [
        "component_held_back",
        "gate_started",
        "gate_finished",
        "component_healthy",
    ]
    assert verdicts(records)["database"] is ComponentState.VERIFIED  # this run brought it back


def slow_portal(*, dies):
    """The portal's playbook works for as long as it takes to find out that something died."""
    world = World(CHAIN, random.Random(0))
    process = Process(plan_of(CHAIN, settle=0), world, max_parallel=2)
    released = []

    def watch(record):
        if says(PlaybookStarted, "portal", attempt=1)(record.event):
            world.up -= set(dies)
            process.held = lambda component: component == "portal" and not released
        if isinstance(record.event, ComponentTurnedRed):
            released.append(True)

    return process.run(watch=watch)


def test_what_is_under_way_comes_to_its_end_but_its_verdict_does_not_count():
    records = slow_portal(dies={"database"})
    events = [r.event for r in records]
    turned = next(n for n, e in enumerate(events) if says(ComponentTurnedRed, "database")(e))
    played = next(n for n, e in enumerate(events) if says(PlaybookFinished, "portal")(e))
    assert turned < played
    assert says(ComponentHeldBack, "portal", by=("database",))(events[played + 1])
    # Only then, when nothing that stands on it is under way, is anything done to the database.
    again = next(n for n, e in enumerate(events) if says(PlaybookStarted, "database", attempt=2)(e))
    assert again > played
    assert events[-1].outcome is RunOutcome.RECOVERED


def test_no_playbook_starts_while_a_second_look_below_it_has_to_decide():
    """The router dies, and is seen red once, while the database is observed."""
    graph = {"routing": (), "database": ("routing",)}
    world = World(graph, random.Random(0), up={"routing"})
    process = Process(plan_of(graph, settle=0, recheck=1.0), world, max_parallel=2)
    seen = []  # of the router: red, then what the second look decided
    process.held = lambda component: {
        "database": not seen,
        "routing": seen == ["red"] and any(w.component == "database" for w in pending),
    }[component]
    pending = process.workers.pending

    begins = only_once(says(GateStarted, "database"))

    def watch(record):
        event = record.event
        if begins(event):
            world.up.discard("routing")
        elif says(GateFinished, "routing", purpose=RECHECK, green=False)(event):
            seen.append("red")
        elif isinstance(event, ComponentTurnedRed):
            seen.append("decided")
        elif says(PlaybookStarted, "database")(event):
            assert "decided" in seen

    records = process.run(watch=watch)
    assert seen[:3] == ["red", "red", "decided"]
    held_back = next(r.event for r in records if isinstance(r.event, ComponentHeldBack))
    assert held_back == ComponentHeldBack(component="database", by=("routing",))
    assert plays(records) == ["routing", "database"]
    assert records[-1].event.outcome is RunOutcome.RECOVERED


def test_while_something_is_down_again_nothing_above_it_starts():
    records = slow_portal(dies={"routing", "database"})
    down = False
    for event in (r.event for r in records):
        if isinstance(event, ComponentTurnedRed):
            down = True
        elif event.kind == "component_verified" and event.component == "routing":
            down = False
        elif isinstance(event, PlaybookStarted) or says(GateStarted, "portal")(event):
            assert not (down and event.component != "routing")


def test_one_red_look_alone_holds_nothing():
    world = World(CHAIN, random.Random(0))
    flakes = []

    def gates(request, tell, stop):
        result = world.gates(request, tell, stop)
        if request.purpose is RECHECK and not flakes:
            flakes.append(request.component)
            return replace(result, green=False)
        return result

    process = Process(plan_of(CHAIN, settle=0, recheck=0.5), world)
    process.gates = gates
    records = process.run()
    assert flakes
    assert not [r for r in records if isinstance(r.event, ComponentTurnedRed)]
    assert plays(records) == list(CHAIN)
    looks = [r.event for r in records if isinstance(r.event, GateFinished)]
    of_it = [e for e in looks if e.component == flakes[0] and e.purpose is RECHECK]
    assert [e.green for e in of_it[:2]] == [False, True]
    assert records[-1].event.outcome is RunOutcome.RECOVERED


def test_what_turns_red_again_and_again_fails_and_blocks_what_stands_on_it():
    records = run(
        CHAIN,
        when=says(PlaybookStarted, "portal"),
        then=lambda world: world.up.discard("database"),
    )
    final = fold(records).components
    assert final["database"].turned_red == MOST_RED + 1
    assert final["database"].state is ComponentState.FAILED
    assert f"turned red {MOST_RED + 1} times" in final["database"].reason
    assert final["portal"].state is ComponentState.BLOCKED
    assert final["routing"].state is ComponentState.VERIFIED
    assert plays(records).count("database") == MOST_RED + 1
    assert records[-1].event.outcome is RunOutcome.NOT_RECOVERED


def test_what_cannot_be_brought_back_again_fails_and_blocks_what_stood_on_it():
    def dies_for_good(world):
        world.up.discard("database")
        world.broken.add("database")

    records = run(
        CHAIN, when=only_once(says(PlaybookStarted, "portal")), then=dies_for_good, seed=3
    )
    assert verdicts(records) == {
        "routing": ComponentState.VERIFIED,
        "database": ComponentState.FAILED,
        "portal": ComponentState.BLOCKED,
    }


def test_a_failure_whose_cause_lies_below_is_found_there():
    """Long before the next look is due: the failure itself has what it stands on looked at."""
    records = run(
        CHAIN,
        when=only_once(says(PlaybookStarted, "portal")),
        then=lambda world: world.up.discard("database"),
    )
    failed = [r.event for r in records if r.event.kind == "component_failed"]
    assert [event.component for event in failed] in ([], ["portal"])
    assert plays(records).count("portal") == 2
    assert records[-1].event.outcome is RunOutcome.RECOVERED


def test_a_failure_of_its_own_stays_one_and_what_it_stands_on_was_seen_green_since():
    records = run(CHAIN, broken={"portal"})
    assert verdicts(records)["portal"] is ComponentState.FAILED
    failed = next(r.seq for r in records if r.event.kind == "component_failed")
    seen = {
        r.event.component
        for r in records
        if isinstance(r.event, GateFinished) and r.seq > failed and r.event.green
    }
    assert seen == {"routing", "database"}


def test_the_lowest_that_is_red_is_the_one_that_turned_red():
    """The database's gate is red because the router is down: nothing is done to the database."""
    records = slow_portal(dies={"routing"})
    turned = [r.event.component for r in records if isinstance(r.event, ComponentTurnedRed)]
    assert turned == ["routing"]
    assert plays(records).count("database") == 1


@pytest.mark.parametrize("seed", range(20))
def test_a_second_power_cut_in_the_middle_of_a_recovery(seed):
    graph = {**CHAIN, "time": ("routing",), "mail": ("time", "database")}
    records = run(
        graph,
        seed=seed,
        when=only_once(says(PlaybookStarted, "portal")),
        then=lambda world: world.up.clear(),
    )
    assert records[-1].event.outcome is RunOutcome.RECOVERED
    assert plays(records).count("routing") == 2
    assert plays(records).count("database") == 2


def test_a_repeated_gate_changes_nothing_of_what_is_known_of_a_component_that_is_up():
    records = run({**CHAIN, "mail": ("database",)}, seed=2, recheck=0.5)
    state = fold(records)
    again = [r.event for r in records if isinstance(r.event, GateFinished)]
    assert [e for e in again if e.purpose is RECHECK], "the luck of this seed has none"
    for component in state.components.values():
        assert component.state is ComponentState.VERIFIED
        assert (component.passed, component.failing) == (1, ())


def test_of_a_repeated_gate_only_bad_checks_are_told():
    records = slow_portal(dies={"routing"})
    inside, told = None, []
    for event in (r.event for r in records):
        if isinstance(event, GateStarted) and event.purpose is RECHECK:
            inside = event.component
        elif isinstance(event, GateFinished) and event.purpose is RECHECK:
            inside = None
        elif isinstance(event, CheckFinished) and event.component == inside:
            told.append(event.outcome.value)
    assert set(told) == {"failed"}


def rounds_of(**intervals):
    plan = plan_of(dict.fromkeys(intervals, ()) | {"top": tuple(intervals)})
    components = tuple(replace(c, recheck=intervals.get(c.name, 60.0)) for c in plan.components)
    plan = replace(plan, components=components)
    standing = Standing(plan, ordered=True)
    return standing, Rounds(plan, standing)


def tell(standing, rounds, event, now):
    standing.note(event)
    rounds.note(event, now)


def verified(name):
    return ComponentVerified(component=name)


def looked(name, *, seconds, green=True):
    return GateFinished(
        component=name,
        purpose=RECHECK,
        attempt=1,
        green=green,
        passed=1,
        total=1,
        seconds=seconds,
    )


def test_each_component_is_looked_at_after_its_own_interval():
    standing, rounds = rounds_of(often=10.0, seldom=100.0)
    tell(standing, rounds, verified("often"), 0.0)
    tell(standing, rounds, verified("seldom"), 0.0)
    assert rounds.next(9.0) is None
    assert rounds.wait(9.0) == 1.0
    assert rounds.next(10.0).name == "often"
    tell(standing, rounds, looked("often", seconds=0.5), 10.5)
    assert rounds.next(20.0) is None
    assert rounds.next(20.5).name == "often"


def test_a_slow_look_stretches_its_own_interval():
    standing, rounds = rounds_of(slow=10.0)
    tell(standing, rounds, verified("slow"), 0.0)
    tell(standing, rounds, looked("slow", seconds=30.0), 40.0)
    assert rounds.wait(40.0) == 300.0


def test_what_nothing_waits_for_any_more_is_not_looked_at():
    standing, rounds = rounds_of(lone=10.0)
    tell(standing, rounds, verified("lone"), 0.0)
    assert standing.next_ready().name == "top"
    tell(standing, rounds, verified("top"), 5.0)
    standing.over("top", cut_short=False)
    assert rounds.next(1_000.0) is None


def test_looks_again_take_no_slot_from_real_work_and_there_is_one_at_a_time():
    graph = {f"low{n}": () for n in range(4)} | {"top": tuple(f"low{n}" for n in range(4))}
    for seed in range(20):
        world = World(graph, random.Random(seed))
        process = Process(plan_of(graph, settle=0, recheck=0.5), world, max_parallel=1)
        again = working = 0
        for event in (r.event for r in process.run()):
            is_again = getattr(event, "purpose", None) is RECHECK
            if isinstance(event, GateStarted | PlaybookStarted):
                again += is_again
                working += not is_again
            elif isinstance(event, GateFinished | PlaybookFinished):
                again -= is_again
                working -= not is_again
            assert again <= 1
            assert working <= 1
        assert process.workers.most == 2


def test_a_look_that_began_before_a_failure_says_nothing_about_its_cause():
    standing, rounds = rounds_of(low=10.0)
    began = GateStarted(component="low", purpose=RECHECK, attempt=1)
    tell(standing, rounds, verified("low"), 0.0)
    assert standing.next_ready().name == "top"
    tell(standing, rounds, began, 10.0)
    tell(standing, rounds, ComponentFailed(component="top", reason="no"), 11.0)
    standing.over("top", cut_short=False)
    tell(standing, rounds, looked("low", seconds=2.0), 12.0)
    assert rounds.next(12.0).name == "low"
    tell(standing, rounds, began, 12.0)
    tell(standing, rounds, looked("low", seconds=2.0), 14.0)
    assert rounds.next(14.0) is None
