"""The engine at the size of a hospital group: 10,000 hosts in 500 components, by count."""

from __future__ import annotations

from collections import Counter

from engine import run_to_end

from benchmarks.synthetic import LAYERS, TASKS, NoGates, NoPlaybooks, write_site
from orchestrator.inventory import load_inventory
from orchestrator.plan import make_plan
from orchestrator.run import RunOptions
from orchestrator.site import load_site
from orchestrator.state import ComponentState, fold

COMPONENTS, HOSTS_EACH = 500, 20


def test_ten_thousand_hosts_in_five_hundred_components_are_recovered(tmp_path):
    write_site(tmp_path, "large", components=COMPONENTS, hosts_each=HOSTS_EACH)
    inventory = tmp_path / "inventories/large/hosts.yml"
    plan = make_plan(tmp_path, load_site(tmp_path, "large"), load_inventory(inventory))
    assert len({host for c in plan.components for host in c.hosts}) == COMPONENTS * HOSTS_EACH
    assert [len(stage) for stage in plan.stages] == [COMPONENTS // LAYERS] * LAYERS
    given = RunOptions(run="r", project=tmp_path, inventory=inventory, max_parallel=8)
    records = run_to_end(plan, NoPlaybooks(), NoGates(1), options=given)
    state = fold(records)
    assert state.outcome == "recovered"
    assert Counter(c.state for c in state.components.values()) == {
        ComponentState.VERIFIED: COMPONENTS
    }
    said = Counter(record.event.kind for record in records)
    assert said["playbook_started"] == COMPONENTS
    assert said["task_started"] == COMPONENTS * TASKS
    assert said["check_finished"] >= COMPONENTS * HOSTS_EACH
