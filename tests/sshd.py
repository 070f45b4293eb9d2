"""An SSH server of a test's own on 127.0.0.1: its keys, its port, run as whoever runs the test."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

SERVER = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PATIENCE = 20.0  # seconds until it listens, on a busy machine


class Sshd:
    """A server that takes the key `id` of its folder; `variables` are those of a host on it."""

    def __init__(self, folder: Path) -> None:
        if SERVER is None:
            pytest.skip("NOT TESTED: sshd is not installed (apt-get install openssh-server)")
        self.folder = folder
        folder.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for key in ("host", "id", "other"):
            words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key]
            subprocess.run(words, check=True)
        shutil.copy(folder / "id.pub", folder / "authorized_keys")
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{self.port} {(folder / 'host.pub').read_text()}")
        options = f"-F /dev/null -o UserKnownHostsFile={known} -o IdentitiesOnly=yes"
        self.variables = {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": getpass.getuser(),
            "ansible_ssh_common_args": f"{options} -o IdentityAgent=none -o BatchMode=yes",
            "ansible_python_interpreter": sys.executable,
        }
        self._process = self._started()

    def stop(self) -> None:
        """End it; its connections belong to attempts, which have ended."""
        self._process.kill()
        self._process.wait()

    def _started(self) -> subprocess.Popen:
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        options = {
            "HostKey": self.folder / "host",
            "AuthorizedKeysFile": self.folder / "authorized_keys",
            "ListenAddress": "127.0.0.1",
            "Port": self.port,
            "StrictModes": "no",
            "UsePAM": "no",
            "PidFile": "none",
            "PermitRootLogin": "yes",
        }
        words = [SERVER, "-D", "-e", "-f", "/dev/null"]
        words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        with (self.folder / "sshd.log").open("ab") as log:
            process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and process.poll() is None:
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", self.port)) == 0:
                    return process
            time.sleep(0.02)
        process.kill()
        raise AssertionError((self.folder / "sshd.log").read_text())
