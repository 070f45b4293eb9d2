"""One run a site at a time, by the lease in a journal that is a file."""

from __future__ import annotations

import pytest
from lease_behaviours import *  # noqa: F403 -- the same wherever the journal is kept


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def folders(folder):
    return [folder, folder]
