"""What tests encrypt, by the command that a person uses for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def vault(password, *words, text):
    """What ansible-vault makes of a text, with the password in that file."""
    command = [Path(sys.executable).with_name("ansible-vault"), *words]
    done = subprocess.run(
        [*command, "--vault-password-file", password],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout
