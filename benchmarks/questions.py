"""Every question that is asked, and what is to be reached: the rows of the table, in order."""

from __future__ import annotations

from typing import Literal

from benchmarks.results import Question

_STOCK = "`pytest --hosts ansible://`, nothing set"
_TUNED = "tuned: `control_path`, the best of no xdist, `-n 2`, `-n 8`"
_WHOLE = "verification of 10 hosts × 20 checks"
_RECOVERY = "recovery of the site after a full power cut"
_NO_OP = "recovery of a healthy site"
_PLAIN_SCRIPT = "plain script"
_TUNED_SCRIPT = "tuned script"


def _faster(name: str, what: str, against: str, target: float) -> Question:
    return Question(name=name, what=what, against=against, unit="×", target=target, better="more")


VERIFY_STOCK = _faster("verify-stock", f"{_WHOLE}, cold, whole process", _STOCK, 50)
VERIFY_TUNED = _faster("verify-tuned", f"{_WHOLE}, cold, whole process", _TUNED, 5)
AGAIN_STOCK = _faster("again-stock", f"{_WHOLE}, again within a run", _STOCK, 100)
AGAIN_TUNED = _faster("again-tuned", f"{_WHOLE}, again within a run", f"{_TUNED}, warm", 10)
DELAYED = _faster("delayed", f"{_WHOLE}, cold, 20 ms round trip", _TUNED, 10)
MANY_HOSTS = Question(
    name="many-hosts",
    what="checks a second on 200 hosts, over those on 10",
    against="perfect scaling 1.0",
    unit="",
    target=0.8,
    better="more",
)
RECOVER_PLAIN = _faster("recover-plain", _RECOVERY, _PLAIN_SCRIPT, 4)
RECOVER_TUNED = _faster("recover-tuned", _RECOVERY, _TUNED_SCRIPT, 2)
OVERHEAD = Question(
    name="overhead",
    what=f"{_RECOVERY}, over its critical path",
    against="each playbook and gate of that path timed alone: 1.0",
    unit="",
    target=1.10,
    better="less",
)
NO_OP_PLAIN = _faster("no-op-plain", _NO_OP, _PLAIN_SCRIPT, 20)
NO_OP_TUNED = _faster("no-op-tuned", _NO_OP, _TUNED_SCRIPT, 5)


def _at_most(name: str, what: str, unit: Literal["s", "ms", "MiB"], target: float) -> Question:
    return Question(name=name, what=what, unit=unit, target=target, better="less")


_BIG = "a site of 10,000 hosts in 500 components"
PLAN = _at_most("plan", f"{_BIG}: `drcli plan`, whole process", "s", 2)
EVENT = _at_most("event", f"{_BIG}: the engine for one event, fsync aside", "ms", 1)
MEMORY = _at_most("memory", f"{_BIG}: the largest process", "MiB", 286)  # 300 MB
_EVENTS = "a journal of 1,000,000 events"
STATUS = _at_most("status", f"{_EVENTS}, 100 runs: `drcli status`", "s", 1)
SHOW = _at_most("show", f"{_EVENTS}, 100 runs: `drcli show`", "s", 1)
STATUS_LONG = _at_most("status-long", f"{_EVENTS}, 10 runs: `drcli status`", "s", 1)
SHOW_LONG = _at_most("show-long", f"{_EVENTS}, 10 runs: `drcli show`", "s", 1)
FORECAST = Question(
    name="forecast",
    what="200 simulated recoveries: how far the share under p90 is from 0.90",
    against="perfect calibration 0.0",
    unit="",
    target=0.05,
    better="less",
)
HELP = Question(
    name="help",
    what="`drcli --help`",
    against="`python -c pass`",
    unit="",
    target=4,
    better="less",
)


def _scaling(workers: int) -> Question:
    return Question(
        name=f"workers-{workers}",
        what=f"recovery with {workers} workers over 1, of a site whose playbooks mostly wait",
        against="perfect scaling 1.0",
        unit="",
        target=0.8,
        better="more",
    )


WORKERS = {2: _scaling(2), 4: _scaling(4)}
