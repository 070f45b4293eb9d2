"""What differed between two runs of a site, component by component: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from orchestrator.state import ComponentProgress, RunState

PARTS = ("look", "playbook", "gate")


@dataclass(frozen=True, kw_only=True)
class Side:
    """A component in one of the runs; `seconds` by part, over all attempts."""

    state: str
    attempts: int
    turned_red: int
    seconds: Mapping[str, float]

    @property
    def whole(self) -> float:
        """Seconds of all parts together."""
        return sum(self.seconds.values())


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A component in both runs; None where a run's plan had it not."""

    component: str
    layer: str
    before: Side | None
    after: Side | None

    @property
    def seconds(self) -> float:
        """How much longer it took the second time; below zero when it was quicker."""
        return (self.after.whole if self.after else 0.0) - (
            self.before.whole if self.before else 0.0
        )

    @property
    def largest_part(self) -> tuple[str, float]:
        """The part that changed most, and by how many seconds."""
        changes = {part: _part(self.after, part) - _part(self.before, part) for part in PARTS}
        part = max(changes, key=lambda name: abs(changes[name]))
        return part, changes[part]


def compare(before: RunState, after: RunState) -> tuple[Difference, ...]:
    """Every component of either run, those first whose time changed most."""
    names = dict.fromkeys([*before.components, *after.components])
    found = [_difference(before.components.get(n), after.components.get(n)) for n in names]
    return tuple(sorted(found, key=lambda difference: -abs(difference.seconds)))


def comparison_json(before: RunState, after: RunState) -> dict[str, object]:
    """The same for a program."""
    return {
        "before": _run_json(before),
        "after": _run_json(after),
        "same_plan": before.plan_hash == after.plan_hash,
        "components": [
            {
                "component": difference.component,
                "layer": difference.layer,
                "seconds": difference.seconds,
                "before": asdict(difference.before) if difference.before else None,
                "after": asdict(difference.after) if difference.after else None,
            }
            for difference in compare(before, after)
        ],
    }


def _run_json(state: RunState) -> dict[str, object]:
    outcome = state.outcome.value if state.outcome else None
    return {"run": state.run, "site": state.site, "outcome": outcome, "elapsed": state.elapsed}


def _difference(before: ComponentProgress | None, after: ComponentProgress | None) -> Difference:
    either = after or before
    assert either is not None  # noqa: S101 -- its name came from one of them
    return Difference(
        component=either.name, layer=either.layer, before=_side(before), after=_side(after)
    )


def _side(component: ComponentProgress | None) -> Side | None:
    if component is None:
        return None
    return Side(
        state=component.state.value,
        attempts=component.attempts,
        turned_red=component.turned_red,
        seconds={
            "look": component.observe_seconds,
            "playbook": component.playbook_seconds,
            "gate": component.gate_seconds,
        },
    )


def _part(side: Side | None, part: str) -> float:
    return side.seconds[part] if side else 0.0
