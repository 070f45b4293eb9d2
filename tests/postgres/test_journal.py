"""The journal in PostgreSQL does all that the one in a file does, and what only a server needs."""

from __future__ import annotations

import pytest
from journal_behaviours import *  # noqa: F403 -- what a journal does wherever it is kept

pytestmark = pytest.mark.once
