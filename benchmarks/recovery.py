"""Recoveries of a whole site: after a power cut, and with everything healthy, against two scripts.

They use the site's lab as it is: one that is up stays up, one that is not is made and taken down.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import measure, questions
from benchmarks.bench import Bench
from benchmarks.command import Ended, run
from benchmarks.measure import Sample, Take, UnequalWork, sample
from benchmarks.outputs import drcli_recovery_work, drcli_tasks, records, script_tasks, script_work
from benchmarks.results import Row, answer
from benchmarks.servers import require_lab
from benchmarks.verification import XDIST
from benchmarks.world import DRCLI, PEERS, fresh_home
from orchestrator.inventory import load_inventory
from orchestrator.lab.podman import containers
from orchestrator.plan import Plan, make_plan
from orchestrator.site import load_site

ALIKE = 0.02  # how much the tasks of two sides may differ: a cut does not leave the same twice
_OURS, _SLOWER = "drcli recover, with Mitogen", "drcli recover, without"
_ALONE, _PLAIN = "drcli, one component at a time", "plain script"
_STEP = re.compile(r"^step (\S+) ([\d.]+) ([\d.]+) ([\d.]+)$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Step:
    """Seconds that one component took alone: its first look, its playbook, its gate until green."""

    look: float
    playbook: float
    gate: float


def after_a_cut(bench: Bench) -> Iterator[Row]:
    """Cut everything, boot it, recover it; each side in turn."""
    with _rig(bench) as rig:
        tuned = rig.best_tuned()
        rig.cuts = True
        slower = rig.drcli(_SLOWER, fast=False)
        plain = rig.script(_PLAIN, "recover-plain.sh")
        takes = [rig.drcli(_OURS), slower, plain, tuned, rig.alone()]
        found = measure.alternate(takes, rounds=bench.rounds, tell=bench.tell)
        rig.require_like_tasks()
        path, with_looks = rig.critical_path()
    wall, peer = found[_OURS], found[rig.tuned]
    yield answer(
        questions.RECOVER_PLAIN,
        measure.ratio(found[_PLAIN], wall),
        samples={_OURS: wall, _SLOWER: found[_SLOWER], _PLAIN: found[_PLAIN]},
    )
    yield answer(questions.RECOVER_TUNED, measure.ratio(peer, wall), samples={rig.tuned: peer})
    least = sum(step.playbook + step.gate for _, step in path)
    names = ", ".join(name for name, _ in path)
    yield answer(
        questions.OVERHEAD,
        measure.spread([one.seconds / least for one in wall]),
        samples={_ALONE: found[_ALONE]},
        note=f"({names}: {least:.1f} s; with the first looks {with_looks:.1f} s)",
    )


def of_a_healthy_site(bench: Bench) -> Iterator[Row]:
    """Recover a site that is up. The scripts know no better than to run everything."""
    with _rig(bench) as rig:
        tuned = rig.best_tuned()
        takes = [rig.drcli(_OURS), rig.script(_PLAIN, "recover-plain.sh"), tuned]
        found = measure.alternate(takes, rounds=bench.rounds, tell=bench.tell)
    wall = found[_OURS]
    yield answer(
        questions.NO_OP_PLAIN,
        measure.ratio(found[_PLAIN], wall), samples={
            _OURS: wall, _PLAIN: found[_PLAIN]}
    )  # fmt: skip
    yield answer(
        questions.NO_OP_TUNED,
        measure.ratio(found[rig.tuned], wall),
        samples={rig.tuned: found[rig.tuned]},
    )


class _Rig:
    """A site with its lab, the sides that recover it, and what they said on the way."""

    def __init__(self, bench: Bench, memory: Path) -> None:
        self._bench = bench
        self._memory = memory
        self._project = bench.project
        self._hosts = Path("inventories") / bench.site / "hosts.yml"
        inventory = load_inventory(self._project / self._hosts)
        site = load_site(self._project, bench.site)
        self._plan = make_plan(self._project, site, inventory)
        patterns = {component.name: component.hosts for _, component in site.components}
        self._components = "".join(
            f"{c.playbook.relative_to(self._project)} {c.gate.relative_to(self._project)}"
            f" {patterns[c.name]}\n"
            for c in self._plan.components
        )
        self._tasks: dict[str, list[int]] = {}
        self._steps: dict[str, list[dict[str, Step]]] = {}
        self.cuts = False
        self.tuned = ""

    def drcli(self, name: str, *more: str, fast: bool = True) -> Take:
        """Recovers with drcli; its journal lasts from one to the next, as on any controller."""
        ours = {"DRCLI_STATE_DIR": str(self._memory), "DRCLI_FAST": "1" if fast else "0"}

        def take() -> Mapping[str, Sample]:
            self._prepare()
            with fresh_home(**ours) as env:
                command: list[str | Path] = [
                    DRCLI,
                    "recover",
                    "--site",
                    self._bench.site,
                    "--json",
                    *more,
                ]
                ended = run(command, cwd=self._project, env=env)
            self._tasks.setdefault(name, []).append(drcli_tasks(ended.out))
            self._steps.setdefault(name, []).append(_drcli_steps(ended))
            return {name: sample(ended, drcli_recovery_work(ended.out))}

        return take

    def alone(self) -> Take:
        """Recovers with drcli, one component at a time: what each takes alone."""
        return self.drcli(_ALONE, "--max-parallel", "1")

    def script(self, name: str, file: str, xdist: str = "") -> Take:
        """Recovers with one of the scripts."""

        def take() -> Mapping[str, Sample]:
            self._prepare()
            with fresh_home(XDIST=xdist) as env:
                ended = run(
                    [PEERS / file, self._hosts],
                    cwd=self._project,
                    env=env,
                    stdin=self._components,
                )
            self._tasks.setdefault(name, []).append(script_tasks(ended.out))
            self._steps.setdefault(name, []).append(_script_steps(ended, self._plan))
            return {name: sample(ended, script_work(ended.out))}

        return take

    def best_tuned(self) -> Take:
        """The tuned script with xdist as it helps most: each setting tried on the healthy site."""
        self.drcli(_OURS)()  # a lab that was just made, or found dark, is not yet healthy
        sides = {f"tuned script, {xdist or 'no xdist'}": xdist for xdist in XDIST}
        takes = [self.script(name, "recover-tuned.sh", xdist) for name, xdist in sides.items()]
        found = measure.alternate(takes, rounds=1, tell=self._bench.tell)
        self.tuned = measure.best(found, list(sides))
        self._tasks.clear()
        self._steps.clear()
        return self.script(self.tuned, "recover-tuned.sh", sides[self.tuned])

    def require_like_tasks(self) -> None:
        """Refuse sides whose playbooks did not run as many tasks.

        Raises:
            UnequalWork: they differ by more than what a power cut leaves differently each time.
        """
        counts = {name: median(several) for name, several in self._tasks.items()}
        if max(counts.values()) > min(counts.values()) * (1 + ALIKE):
            raise UnequalWork(f"tasks: {counts}")

    def critical_path(self) -> tuple[list[tuple[str, Step]], float]:
        """The chain of components that takes longest, each at the best time it took alone.

        Also its seconds with the first looks, which a recovery takes before it touches anything.
        """
        best = {c.name: self._alone(c.name) for c in self._plan.components}
        chains: dict[str, list[str]] = {}
        for component in self._plan.components:
            below = [chains[name] for name in component.stands_on if name in chains]
            chains[component.name] = [
                *max(below, key=lambda chain: _least(chain, best), default=[]),
                component.name,
            ]
        longest = max(chains.values(), key=lambda chain: _least(chain, best))
        looks = sum(best[name].look for name in longest)
        return [(name, best[name]) for name in longest], _least(longest, best) + looks

    def _alone(self, name: str) -> Step:
        """The best that any side and round took, part by part; the first look is drcli's alone."""
        every = [steps[name] for several in self._steps.values() for steps in several]
        looks = [steps[name].look for steps in self._steps[_ALONE]]
        return Step(
            look=min(looks),
            playbook=min(step.playbook for step in every if step.playbook),
            gate=min(step.gate for step in every if step.playbook),
        )

    def _prepare(self) -> None:
        """A power cut and a boot where the sides recover from one."""
        if self.cuts:
            for word in ("cut", "power-on"):
                lab(self._bench, word, self._memory)


def _least(chain: list[str], steps: Mapping[str, Step]) -> float:
    return sum(steps[name].playbook + steps[name].gate for name in chain)


def _drcli_steps(ended: Ended) -> dict[str, Step]:
    """What each component took, from the records of a recovery."""
    looks: dict[str, float] = {}
    played: dict[str, tuple[float, float]] = {}
    found: dict[str, Step] = {}
    for record in records(ended.out):
        event = record["event"]
        name = event.get("component", "")
        match event["kind"]:
            case "gate_finished" if event["purpose"] == "observe":
                looks[name] = event["seconds"]
            case "playbook_finished":
                played[name] = (event["seconds"], record["elapsed"])
            case "component_verified":
                seconds, ended_at = played[name]
                gate = record["elapsed"] - ended_at
                found[name] = Step(look=looks[name], playbook=seconds, gate=gate)
            case "component_healthy":
                found[name] = Step(look=0.0, playbook=0.0, gate=looks[name])
    return found


def _script_steps(ended: Ended, plan: Plan) -> dict[str, Step]:
    """What each component took, from the lines that the scripts print."""
    name_of = {component.playbook.name: component.name for component in plan.components}
    found = {}
    for playbook, begun, played, green in _STEP.findall(ended.out):
        found[name_of[Path(playbook).name]] = Step(
            look=0.0, playbook=float(played) - float(begun), gate=float(green) - float(played)
        )
    return found


@contextmanager
def _rig(bench: Bench) -> Iterator[_Rig]:
    """The rig of the bench's site, its lab complete and with power."""
    require_lab()
    made = not containers(bench.site)
    with tempfile.TemporaryDirectory(prefix="drcli-b-") as folder:
        memory = Path(folder)
        try:
            bench.tell(f"bringing the lab of {bench.site} up")
            lab(bench, "up", memory)
            yield _Rig(bench, memory)
        finally:
            if made:
                lab(bench, "down", memory)


def lab(bench: Bench, word: str, memory: Path) -> None:
    """One command of `drcli lab`, in this process's own home: what it starts outlasts any run."""
    env = {**os.environ, "DRCLI_STATE_DIR": str(memory)}
    run([DRCLI, "lab", word, "--site", bench.site], cwd=bench.project, env=env)
