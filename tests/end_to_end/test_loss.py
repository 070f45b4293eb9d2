"""The ledger sees loss: a database that never syncs has lost rows after a power cut."""

from __future__ import annotations

import re

import pytest
from on_the_lab import on

pytestmark = pytest.mark.lab


def test_rows_that_were_acknowledged_without_a_sync_are_missing_and_counted(lab):
    lab.must("lab", "reset")
    for host in ("db1", "db2"):
        never = 'cd / && echo "fsync = off" >/etc/postgresql/15/main/conf.d/zz-never-sync.conf'
        on(host, f"{never} && systemctl reload postgresql@15-main && sync")
    lab.must("lab", "cut", "--writes", "20")
    lab.must("lab", "power-on")
    for host in ("db1", "db2"):
        on(host, "rm", "/etc/postgresql/15/main/conf.d/zz-never-sync.conf")
    assert lab.recover("--layer", "network").code == 0, str(lab("show"))
    assert lab.recover("--component", "volumes").code == 0, str(lab("show"))
    on("db1", "systemctl start postgresql@15-main")
    verdict = lab("lab", "ledger", "--only", "row")
    assert verdict.code == 1, str(verdict)
    found = re.search(r"\b(\d+) of (\d+) acknowledged records lost", verdict.out)
    assert found, str(verdict)
    assert 0 < int(found[1]) <= int(found[2])
