"""What the lab says while it works: values, shown by whoever called it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Step:
    """`done` of `total` pieces of a stage are finished; `note` names the piece, or is a remark."""

    stage: str
    done: int = 0
    total: int = 0
    note: str = ""


Tell = Callable[[Step], None]


def each(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    *,
    stage: str,
    tell: Tell,
    at_once: int = 4,
) -> list[Result]:
    """Do `work` for every item, a few at once, telling each end; the first error ends the stage."""
    todo = list(items)
    tell(Step(stage=stage, total=len(todo)))
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        futures = {pool.submit(work, item): item for item in todo}
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                tell(Step(stage=stage, done=done, total=len(todo), note=str(futures[future])))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return [future.result() for future in futures]
