"""A second verification by one process: `python -m benchmarks.again PROJECT SITE` prints JSON.

What a run does while it goes on: the same gates object is asked again, in the same process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import closing
from pathlib import Path

from benchmarks.command import peak_mib
from orchestrator import recovery
from orchestrator.events import CheckFinished, CheckOutcome, RunFinished, RunOutcome
from orchestrator.gate import TestinfraGates
from orchestrator.inventory import load_inventory
from orchestrator.plan import make_plan
from orchestrator.run import RunOptions
from orchestrator.site import load_site


def main(project: Path, name: str) -> None:
    """Verify twice; print seconds, processor seconds, memory, checks and hosts of the second."""
    inventory = project / "inventories" / name / "hosts.yml"
    plan = make_plan(project, load_site(project, name), load_inventory(inventory))
    with TestinfraGates() as gates:
        for number in (1, 2):
            options = RunOptions(run=f"bench-{number}", project=project, inventory=inventory)
            begun, processor = time.perf_counter(), _processor()
            with closing(recovery.verify(plan, gates, options=options)) as records:
                events = [record.event for record in records]
            seconds, cpu = time.perf_counter() - begun, _processor() - processor
    end = events[-1]
    if not isinstance(end, RunFinished) or end.outcome is not RunOutcome.VERIFIED:
        sys.exit(f"not verified: {end}")
    checks = [
        e for e in events if isinstance(e, CheckFinished) and e.outcome is CheckOutcome.PASSED
    ]
    hosts = len({check.host for check in checks})
    print(
        json.dumps(
            {
                "seconds": seconds,
                "cpu": cpu,
                "peak_mib": peak_mib(),
                "work": {"checks": len(checks), "hosts": hosts},
            }
        )
    )


def _processor() -> float:
    """Processor seconds of this process and of those it has waited for."""
    return sum(os.times()[:4])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
