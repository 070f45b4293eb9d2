"""An SSH server of a test's own on 127.0.0.1: its keys, its port, run as whoever runs the test."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from orchestrator.route import Route, ssh_route

SERVER = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
PATIENCE = 20.0


class Sshd:
    """A server in a folder. `config` is an ssh_config that reaches it, host keys checked."""

    def __init__(self, folder: Path, *, shared: bool = True) -> None:
        if SERVER is None:
            pytest.skip("NOT TESTED: sshd is not installed (apt-get install openssh-server)")
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.user = getpass.getuser()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for key in ("host", "id"):
            self.make_key(key)
        shutil.copy(folder / "id.pub", folder / "authorized_keys")
        self.trust()
        self.known = folder / "known_hosts"
        self.config = folder / "ssh_config"
        self.options = {
            "IdentityFile": folder / "id",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": self.known,
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
        }
        if shared:
            self.options |= {
                "ControlMaster": "auto",
                "ControlPersist": "60s",
                "ControlPath": folder / "m",
            }
        lines = [f"{name} {value}\n" for name, value in self.options.items()]
        self.config.write_text("".join(lines))
        self.process = None
        self._ours = set()
        self.start()

    @property
    def route(self) -> Route:
        """How a session reaches it."""
        return ssh_route("127.0.0.1", user=self.user, port=str(self.port), config=self.config)

    @property
    def spec(self) -> str:
        """The host as testinfra names it, without its backend."""
        return f"{self.user}@127.0.0.1:{self.port}"

    def make_key(self, name: str) -> None:
        """A new key in the place of any old one."""
        for path in (self.folder / name, self.folder / f"{name}.pub"):
            path.unlink(missing_ok=True)
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name]
        subprocess.run(words, check=True)

    def trust(self) -> None:
        """Make its host key the known one."""
        key = (self.folder / "host.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {key}")

    def start(self) -> None:
        """Start the server and wait until it listens."""
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
            "MaxStartups": "100",
            "LogLevel": "VERBOSE",
        }
        words = [SERVER, "-D", "-e", "-f", "/dev/null"]
        words += [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        with (self.folder / "sshd.log").open("ab") as log:
            self.process = subprocess.Popen(words, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            with socket.socket() as trying:
                if trying.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise AssertionError(self.log())

    def log(self) -> str:
        """What the server has said so far."""
        return (self.folder / "sshd.log").read_text()

    def cut(self) -> None:
        """End the server and every connection to it, in one instant as it were."""
        self._connections()  # while it is known whose they are
        self.process.kill()
        self.process.wait()
        self.end_connections()

    def end_connections(self) -> None:
        """End every connection; what ran in them is left as it is."""
        for pid in self._connections():
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + PATIENCE
        while self._connections():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def stop(self) -> None:
        """End all that was started, the shared connection included."""
        if self.config.exists():
            words = ["ssh", "-F", self.config, "-O", "exit", "-p", str(self.port), "127.0.0.1"]
            subprocess.run(words, capture_output=True, check=False)
        self.cut()

    def _connections(self) -> list[int]:
        """The server's processes, one or two for each connection: they listen on nothing."""
        found = {}
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"sshd: "):
                    state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                    if state != "Z":
                        found[int(entry.name)] = int(parent)
        for pid, parent in sorted(found.items()):
            if parent in {self.process.pid, *self._ours}:
                self._ours.add(pid)
        return [pid for pid in found if pid in self._ours and pid != self.process.pid]
