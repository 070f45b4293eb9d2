"""The engine under load: `python -m benchmarks.engine_load PROJECT SITE STATE CHECKS` prints JSON.

Recovers a synthetic site with playbooks and gates that do nothing, but with the real engine,
journal (in STATE), state and console. CHECKS is the number of checks on each host.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing
from pathlib import Path

from benchmarks.command import peak_mib
from benchmarks.synthetic import NoGates, NoPlaybooks
from orchestrator.console import Console
from orchestrator.inventory import load_inventory
from orchestrator.journal import open_journal
from orchestrator.plan import make_plan
from orchestrator.recovery import recover
from orchestrator.run import RunOptions
from orchestrator.site import load_site
from orchestrator.state import RunState, advance

RUN = "20260101-000000-0000"


def main(project: Path, site: str, state_dir: Path, checks: int) -> None:
    """Run it; print seconds, events, and the memory that plan and run took at most."""
    inventory = project / "inventories" / site / "hosts.yml"
    begun = time.perf_counter()
    loaded = load_site(project, site)
    hosts = load_inventory(inventory)
    read = time.perf_counter()
    plan = make_plan(project, loaded, hosts)
    planned = time.perf_counter()
    options = RunOptions(run=RUN, project=project, inventory=inventory, max_parallel=8)
    state, events = RunState(), 0
    with open_journal(state_dir) as journal, Console(as_json=False) as console:
        started = time.perf_counter()
        gates = NoGates(checks)
        with closing(recover(plan, state, NoPlaybooks(), gates, options=options)) as records:
            for record in records:
                journal.append(record)
                state = advance(state, record)
                console.show(record, state)
                events += 1
        seconds = time.perf_counter() - started
    if state.outcome is None or state.outcome.value != "recovered":
        sys.exit(f"not recovered: {state.outcome}")
    print(
        json.dumps(
            {
                "seconds": seconds,
                "events": events,
                "peak_mib": peak_mib(),
                "read": read - begun,
                "planned": planned - read,
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
