"""A real cluster on loopback: scheduler and workers as processes, TLS and its own certificates."""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path

from clean_environment import clean_environment

DRCLI = Path(sys.executable).with_name("drcli")
PATIENCE = 180.0  # seconds to what is waited for, on a busy machine


def certificates(folder: Path) -> Path:
    """A folder as DRCLI_CLUSTER_TLS names it, made as docs/scale.md says."""
    folder.mkdir(parents=True)
    ca, key, cert = folder / "ca.pem", folder / "key.pem", folder / "cert.pem"
    new = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    sign = f"x509 -req -CA {ca} -CAkey {folder}/ca.key -CAcreateserial -days 2"
    for words in (
        f"{new} -x509 -days 2 -subj /CN=test-ca -keyout {folder}/ca.key -out {ca}",
        f"{new} -subj /CN=machine -keyout {key} -out {folder}/machine.csr",
        f"{sign} -in {folder}/machine.csr -out {cert}",
    ):
        subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    key.chmod(0o600)
    return folder


class Process:
    """A scheduler or a worker; what it says is read as it comes."""

    def __init__(self, *words, env=None, patch=""):
        """`patch` is Python run before the command: what a test must have otherwise."""
        start = [DRCLI]
        if patch:
            code = f"{patch}\nfrom orchestrator.cli.main import main\nmain()"
            start = [sys.executable, "-c", code]
        self.process = subprocess.Popen(
            [*start, *map(str, words)],
            env={**clean_environment(), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stderr:
            self.said.append(line)
            self._lines.put(line)
        self._lines.put("")

    def wait_for(self, words):
        """The first line with these words."""
        while True:
            line = self._lines.get(timeout=PATIENCE)
            assert line, f"ended before {words!r}: {self.said}"
            if words in line:
                return line.strip()

    def signal(self, number=signal.SIGTERM):
        self.process.send_signal(number)

    def end(self):
        """Wait for its end; its exit code."""
        return self.process.wait(timeout=PATIENCE)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=PATIENCE)


class TestCluster:
    """A scheduler, and the workers that a test starts at it."""

    __test__ = False

    def __init__(self, folder: Path):
        self.folder = folder
        self.tls = certificates(folder / "tls")
        self.env = {"DRCLI_CLUSTER_TLS": str(self.tls)}
        self.scheduler = Process("scheduler", "--listen", "tls://127.0.0.1:0", env=self.env)
        self.url = self.scheduler.wait_for("scheduler at").split()[-1]
        self.controller = {**self.env, "DRCLI_CLUSTER": self.url}
        self.started: list[Process] = []
        self.count = 0

    def worker(self, *words, sites=("room-a",), patch=""):
        """A worker that is ready; its `name` and its `state` directory are its own."""
        self.count += 1
        state = self.folder / f"worker-{self.count}"
        options = [word for site in sites for word in ("--site", site)]
        at = ("--scheduler", self.url, "--state-dir", state)
        made = Process("worker", *options, *at, *words, env=self.env, patch=patch)
        self.started.append(made)
        made.name = made.wait_for("slots at").split()[1]
        made.state = state
        return made

    def end_workers(self):
        for worker in self.started:
            worker.kill()
        self.started.clear()

    def close(self):
        self.end_workers()
        self.scheduler.kill()
