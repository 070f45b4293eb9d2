"""`python -m benchmarks`: measures, keeps results.json, draws docs/performance.md, says the table.

Exit code 1 when a benchmark failed; never because a target was not reached.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import NoReturn

from benchmarks import (
    cluster,
    engine,
    foretelling,
    machine,
    questions,
    recovery,
    results,
    verification,
)
from benchmarks.bench import Bench
from benchmarks.command import CommandFailed
from benchmarks.measure import UnequalWork
from benchmarks.results import Question, Results, Row
from benchmarks.servers import CannotRun


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """What is run in one go, and the rows it answers."""

    name: str
    run: Callable[[Bench], Iterator[Row]]
    answers: tuple[Question, ...]


BENCHMARKS = (
    Benchmark(
        name="verification",
        run=verification.near,
        answers=(
            questions.VERIFY_STOCK,
            questions.VERIFY_TUNED,
            questions.AGAIN_STOCK,
            questions.AGAIN_TUNED,
        ),
    ),
    Benchmark(name="delayed", run=verification.far, answers=(questions.DELAYED,)),
    Benchmark(
        name="recovery",
        run=recovery.after_a_cut,
        answers=(questions.RECOVER_PLAIN, questions.RECOVER_TUNED, questions.OVERHEAD),
    ),
    Benchmark(
        name="no-op",
        run=recovery.of_a_healthy_site,
        answers=(questions.NO_OP_PLAIN, questions.NO_OP_TUNED),
    ),
    Benchmark(name="many-hosts", run=verification.wide, answers=(questions.MANY_HOSTS,)),
    Benchmark(
        name="engine",
        run=engine.large_site,
        answers=(questions.PLAN, questions.EVENT, questions.MEMORY),
    ),
    Benchmark(
        name="journal",
        run=engine.large_journal,
        answers=(
            questions.STATUS,
            questions.SHOW,
            questions.STATUS_LONG,
            questions.SHOW_LONG,
        ),
    ),
    Benchmark(name="forecast", run=foretelling.calibration, answers=(questions.FORECAST,)),
    Benchmark(name="help", run=engine.start, answers=(questions.HELP,)),
    Benchmark(name="workers", run=cluster.scaling, answers=tuple(questions.WORKERS.values())),
)
ORDER = [question.name for one in BENCHMARKS for question in one.answers]


def main() -> int:
    """Run what is asked for; what was made is removed, also when interrupted."""
    given = _arguments()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    chosen = [one for one in BENCHMARKS if not given.only or one.name in given.only]
    here = machine.describe()
    rows: list[Row] = []
    failed = False
    with ExitStack() as stack:
        bench = Bench(rounds=given.rounds, stack=stack, project=given.project, site=given.site)
        for benchmark in chosen:
            bench.name = benchmark.name
            stamp = {"measured": f"{datetime.now(UTC):%Y-%m-%d}", "commit": machine.commit()}
            found, why = _answers(benchmark, bench)
            failed |= why.startswith("FAILED")
            rows += [row.model_copy(update=stamp) for row in _all_rows(benchmark, found, why)]
            measured = Results(machine=here, rows=tuple(rows))
            results.write(results.merged(results.read(), measured, order=ORDER))
    print(results.plain(measured))
    return int(failed)


def _answers(benchmark: Benchmark, bench: Bench) -> tuple[list[Row], str]:
    """The rows it answered, and why it did not answer the others."""
    found: list[Row] = []
    try:
        for row in benchmark.run(bench):
            found.append(row)  # noqa: PERF402 -- what came before an error is kept
    except CannotRun as reason:
        bench.tell(f"not run: {reason}")
        return found, f"not run: {reason}"
    except Exception as error:  # noqa: BLE001 -- the other benchmarks still run
        bench.tell(f"FAILED: {error}")
        why = str(error) if isinstance(error, CommandFailed | UnequalWork) else repr(error)
        return found, f"FAILED: {' '.join(why.split())[:200]}"
    return found, ""


def _all_rows(benchmark: Benchmark, found: list[Row], why: str) -> Iterator[Row]:
    """A row for every question, in order: an answer, or why there is none."""
    answered = {row.question.name: row for row in found}
    for question in benchmark.answers:
        yield answered.get(question.name, Row(question=question, not_run=why))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [one.name for one in BENCHMARKS]
    parser.add_argument("--only", action="append", choices=names, help="may be given again")
    parser.add_argument("--rounds", type=int, default=3, help="of every comparison [3]")
    parser.add_argument(
        "--site", default="hosting-a", help="whose recovery is measured [hosting-a]"
    )
    parser.add_argument("--project", type=Path, default=machine.PROJECT, help="its project")
    return parser.parse_args()


def _interrupt(number: int, _: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
