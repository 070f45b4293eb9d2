"""What the processes that tests start see of this machine's environment."""

from __future__ import annotations

import os

FAST = "DRCLI_FAST"  # set by `pytest --fast`, for all that tests start


def clean_environment() -> dict[str, str]:
    """All but a person's settings of Ansible, drcli and pytest; the way of `--fast` is kept."""
    settings = ("ANSIBLE_", "DRCLI_", "PYTEST_")
    return {k: v for k, v in os.environ.items() if not k.startswith(settings) or k == FAST}
