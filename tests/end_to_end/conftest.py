"""The lab of hosting-a, brought up once for all tests that need it, and taken down after them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from on_the_lab import SITE, Drcli


@pytest.fixture(scope="session")
def drcli(tmp_path_factory) -> Drcli:
    return Drcli(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="session")
def lab(drcli):
    """The lab, up and seeded. DRCLI_KEEP_LAB=1 leaves it up for the next session of tests."""
    if os.geteuid() != 0 or not shutil.which("podman"):
        pytest.fail("the lab needs root and podman: run `make setup` as root, or `-m 'not lab'`")
    drcli.must("lab", "up", "--site", SITE)
    yield drcli
    if not os.environ.get("DRCLI_KEEP_LAB"):
        drcli.must("lab", "down", "--site", SITE)


@pytest.fixture(scope="session")
def seen_red() -> set[tuple[str, str]]:
    """What (component, check) was red in this session, on a host that could be reached."""
    return set()


def pytest_collection_modifyitems(items):
    """The half-finished lab comes before the whole one; the recovery comes before the faults."""
    order = ("test_nothing_left", "test_recovery", "test_faults", "test_drills")
    mine = [item for item in items if item.path.parent == Path(__file__).parent]
    mine.sort(
        key=lambda item: order.index(item.path.stem) if item.path.stem in order else len(order)
    )
    items[:] = [item for item in items if item not in mine] + mine
