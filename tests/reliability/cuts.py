"""Ten power cuts in a row under full load, and three that the database does not survive whole.

    cuts.py [--times 10] [PART...]

Each cut comes while both clients write as fast as the site acknowledges. After each the site is
recovered and asked for every record that it ever acknowledged. Then both database servers run
without ever syncing: a cut must lose acknowledged rows, or the ledger sees nothing. Then the
standby stays dark, and a rule of the site file lets the primary acknowledge alone. At last the
primary loses its disks with its power: a person promotes the standby as docs/lab.md says, the rule
lets it acknowledge alone, and everything must be there. Prints one row for each, and writes all of
them into docs/reliability.md unless only parts were asked for; exit code 1 when one is not as it
must be.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from on_the_lab import NAME, PROJECT, SITE, Lab, on
from table import KEPT, Table

from orchestrator.lab.instance import find_instance
from orchestrator.lab.store import disk_file

WRITES = "300"  # that each client had acknowledged, at least, when the power goes
DATA = "/srv/volumes/postgresql/15/main"
HEADS = ("cut", "acknowledged until then", "in the ledger", "lost", "recovery, seconds")
# What docs/lab.md tells a person to do on the host whose copy is to become the primary.
PROMOTE = (
    "systemctl start postgresql@15-main",
    "cd / && runuser -u postgres -- psql -h /run/postgresql -XAtqc 'SELECT pg_promote()'",
)


def cut(lab: Lab) -> int:
    """Cut the room's power under load and give it back; how many writes were acknowledged."""
    said = lab.must("lab", "cut", "--writes", WRITES)
    lab.must("lab", "power-on")
    return int(re.search(r"(\d+) writes acknowledged", said.out)[1])


def ledger(lab: Lab) -> tuple[int, int]:
    """All that was ever acknowledged, and what of it is lost."""
    found = json.loads(lab("lab", "ledger", "--json").out)
    return found["total"], len(found["lost"])


def ten_in_a_row(lab: Lab, table: Table, *, times: int) -> bool:
    """The site, cut again and again."""
    good = True
    lab.must("lab", "reset")
    for number in range(1, times + 1):
        acknowledged = cut(lab)
        began = time.monotonic()
        recovered = lab.recover().code == 0
        took = time.monotonic() - began
        total, lost = ledger(lab) if recovered else (0, -1)
        good &= recovered and not lost
        said = lost if recovered else "not recovered"
        table.row(number, acknowledged, total, said, f"{took:.0f}")
    return good


def without_a_sync(lab: Lab, table: Table) -> bool:
    """Rows that were acknowledged and never synced must be missing, and be counted."""
    lab.must("lab", "reset")
    never = "/etc/postgresql/15/main/conf.d/zz-never-sync.conf"
    for host in ("db1", "db2"):
        reload = "systemctl reload postgresql@15-main && sync"
        on(host, f"cd / && echo 'fsync = off' >{never} && {reload}")
    acknowledged = cut(lab)
    for host in ("db1", "db2"):
        on(host, "rm", never)
    lab.must("recover", "--layer", "network")
    lab.must("recover", "--component", "volumes")
    on("db1", "systemctl start postgresql@15-main")
    found = json.loads(lab("lab", "ledger", "--json", "--only", "row").out)
    lost = len(found["lost"])
    table.row("without a sync (must lose)", acknowledged, found["total"], lost, "")
    return 0 < lost <= found["total"]


def primary_gone(lab: Lab, table: Table) -> bool:
    """The primary's disks go with the power and never come back."""
    lab.must("lab", "reset")
    said = lab.must("lab", "cut", "--writes", WRITES)
    acknowledged = int(re.search(r"(\d+) writes acknowledged", said.out)[1])
    lab.must("lab", "power-on")  # of the disks nothing is read before a recovery
    instance = find_instance(NAME)
    for disk in ("data0", "data1"):
        path = disk_file(instance, "db1", disk)
        size = path.stat().st_size
        with path.open("r+b") as file:  # the same file, so that the loop device has it, and blank
            file.truncate(0)
            file.truncate(size)
    began = time.monotonic()
    refused = lab.recover()
    assert refused.code == 1, str(refused)
    assert "a recovery never makes a new one" in refused.out, str(refused)
    lab.must("recover", "--component", "volumes", "--limit", "db2")
    for command in PROMOTE:
        on("db2", command)
    go_on_by_the_rule(lab, "--limit", "!db1")
    took = time.monotonic() - began
    total, lost = ledger(lab)
    table.row("primary gone for good", acknowledged, total, lost, f"{took:.0f}")
    return not lost


def standby_dark(lab: Lab, table: Table) -> bool:
    """The standby stays dark: a hold without the rule, one server with it, both when it is back."""
    lab.must("lab", "reset")
    acknowledged = cut(lab)
    lab.must("lab", "cut", "--hosts", "db2", "--writes", "0")
    began = time.monotonic()
    assert lab.recover().code == 1
    go_on_by_the_rule(lab)
    took = time.monotonic() - began
    total, lost = ledger(lab)
    table.row("standby dark", acknowledged, total, lost, f"{took:.0f}")
    on("bk1", "systemctl start backups.service")  # a backup can be taken without it
    lab.must("lab", "power-on")
    together = lab.recover().code == 0
    total, lost_then = ledger(lab)
    table.row("standby back", 0, total, lost_then if together else "not recovered", "")
    return together and not lost and not lost_then


def go_on_by_the_rule(lab: Lab, *words: str) -> None:
    """Recover; the database goes on with one of its servers, and the run says so."""
    with tempfile.TemporaryDirectory() as folder:
        by_rule = project_with_the_rule(Path(folder) / "project")
        ended = lab("--project", str(by_rule), "recover", *words)
    assert ended.code == 1, str(ended)
    assert "DEGRADED" in ended.out, str(ended)


def project_with_the_rule(folder: Path) -> Path:
    """A copy of this project whose site lets the database go on with one of its hosts."""
    for name in ("inventories", "playbooks", "collections"):
        shutil.copytree(PROJECT / name, folder / name, symlinks=True)
    shutil.copy(PROJECT / "ansible.cfg", folder)
    path = folder / "inventories" / SITE / "site.yml"
    text = path.read_text()
    for name in ("volumes", "database"):
        assert f"name: {name}, " in text
        text = text.replace(f"name: {name}, ", f"name: {name}, allow_async: after 20s, ")
    path.write_text(text)
    return folder


def main() -> int:
    """All of it, on a lab of the tests' own."""
    parts: dict[str, Callable[[Lab, Table], bool]] = {
        "without-a-sync": without_a_sync,
        "standby-dark": standby_dark,
        "primary-gone": primary_gone,
    }
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"ten, {', '.join(parts)}")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - {"ten", *parts}:
        parser.error(f"no such part: {', '.join(unknown)}")
    parts = {"ten": partial(ten_in_a_row, times=asked.times), **parts}
    with tempfile.TemporaryDirectory() as state:
        lab = Lab(Path(state))
        lab.must("lab", "up")
        try:
            with Table("cuts", HEADS, None if asked.parts else KEPT) as table:
                good = [
                    part(lab, table)
                    for name, part in parts.items()
                    if name in asked.parts or not asked.parts
                ]
        finally:
            if not os.environ.get("DRCLI_KEEP_LAB"):
                lab("lab", "down")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
