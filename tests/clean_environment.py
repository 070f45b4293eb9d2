"""What the processes that tests start see of this machine's environment."""

from __future__ import annotations

import os


def clean_environment() -> dict[str, str]:
    """All but a person's settings of Ansible, drcli and pytest."""
    settings = ("ANSIBLE_", "DRCLI_", "PYTEST_")
    return {k: v for k, v in os.environ.items() if not k.startswith(settings)}
