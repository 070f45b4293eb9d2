"""A lab of hosting-a of these tests' own: made once, back in its seeded state when a test asks."""

from __future__ import annotations

import os

import pytest
from on_the_lab import Lab


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """The lab, up and seeded; DRCLI_KEEP_LAB=1 leaves it up for the next session of tests."""
    lab = Lab(tmp_path_factory.mktemp("state"))
    lab.must("lab", "up")
    yield lab
    if not os.environ.get("DRCLI_KEEP_LAB"):
        lab.must("lab", "down")


def pytest_collection_modifyitems(items):
    """Each goes on where the one before left the site: whole, but for the last ones."""
    order = ("test_recovery", "test_faults")
    mine = [item for item in items if item.path.stem in order]
    mine.sort(key=lambda item: order.index(item.path.stem))
    items[:] = mine + [item for item in items if item not in mine]
