"""A server that all tests of a session share, and on it an empty database for each."""

from __future__ import annotations

import pytest
from postgresql import database, server

__all__ = ["database", "server"]


@pytest.fixture
def folder(tmp_path, database):
    """The state directory of a controller; its journal is in the database."""
    return tmp_path / "state"
