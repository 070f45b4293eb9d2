"""What every benchmark is given: how many rounds, the shared servers, where to say how it goes."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from benchmarks.servers import ten_servers
from orchestrator.lab.definition import Lab


@dataclass(kw_only=True)
class Bench:
    """One go of `make bench`; what `stack` holds is taken away at its end, however it ends.

    `site` of `project` is the one whose recovery is measured; its lab is used as it is.
    """

    rounds: int
    stack: ExitStack
    project: Path
    site: str
    name: str = field(default="", init=False)

    @cached_property
    def servers(self) -> Lab:
        """The ten servers, made when first asked for."""
        self.tell("making ten servers")
        return self.stack.enter_context(ten_servers())

    def tell(self, text: str) -> None:
        """Say how it goes, to a person who waits."""
        print(f"{self.name}: {text}", file=sys.stderr, flush=True)
