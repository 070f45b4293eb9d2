"""A PostgreSQL of the tests' own, from Debian's package: on loopback, in a temporary folder.

`server` and `database` are fixtures, for whoever imports them.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

PATIENCE = 60.0  # seconds for a server to start or stop, on a busy machine
USER, PASSWORD = "drcli", "canary-of-the-journal"


class Server:
    """Started at once; ended with `close`, and with the death of this process."""

    def __init__(self):
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
        if not programs:
            pytest.fail("PostgreSQL is not here: apt-get install postgresql (or `make setup`)")
        self._bin = programs[-1].parent
        self._who = _somebody()
        self.folder = Path(tempfile.mkdtemp(prefix="drcli-pg-"))
        word = self.folder / "password"
        word.write_text(PASSWORD)
        if self._who:
            os.chown(self.folder, self._who["user"], self._who["group"])
            os.chown(word, self._who["user"], self._who["group"])
        self._run("initdb", "-D", self.data, "-U", USER, "-A", "scram-sha-256", "--pwfile", word)
        self.port = _free_port()
        self._process = None
        self.start()

    @property
    def data(self):
        return self.folder / "data"

    def address(self, database, *, password=PASSWORD):
        where = f"127.0.0.1:{self.port}/{database}"
        return f"postgresql+psycopg://{USER}:{password}@{where}"

    def start(self):
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",  # what the machine's disk keeps is not what is tested
            "synchronous_commit": "off",  # drcli must ask for it
            "max_connections": 40,
        }
        words = [word for pair in settings.items() for word in ("-c", "{}={}".format(*pair))]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "INT", self._bin / "postgres", "-D", self.data, *words],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                **self._who,
            )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                pytest.fail(
                    f"PostgreSQL did not start: {(self.folder / 'log').read_text()[-3000:]}"
                )
            time.sleep(0.1)

    def stop(self):
        """As a power cut of its machine would: at once, without a word to its clients."""
        if self._process.poll() is None:
            self._run("pg_ctl", "stop", "-D", self.data, "-m", "immediate", "-w")
            self._process.wait(timeout=PATIENCE)

    def close(self):
        try:
            self.stop()
        finally:
            if self._process.poll() is None:
                self._process.kill()
            shutil.rmtree(self.folder, ignore_errors=True)

    def sql(self, statements, database):
        """Run SQL, one statement or several."""
        where = {"host": "127.0.0.1", "port": self.port, "user": USER, "dbname": database}
        with psycopg.connect(**where, password=PASSWORD, autocommit=True) as connection:
            connection.execute(statements)

    def dump(self, database):
        """Everything a database holds, as pg_dump tells it."""
        said = subprocess.run(
            [self._bin / "pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, database],
            env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"]},
            capture_output=True,
            timeout=PATIENCE,
            check=True,
        ).stdout
        # Newer ones guard their output with a word of chance.
        return b"".join(line for line in said.splitlines(True) if b"restrict " not in line)

    def _answers(self):
        words = [self._bin / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(words, timeout=PATIENCE, check=False).returncode == 0

    def _run(self, program, *words):
        done = subprocess.run(
            [self._bin / program, *words],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=PATIENCE,
            check=False,
            cwd=self.folder,
            **self._who,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def _somebody():
    """Whom PostgreSQL runs as: root cannot."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    return pytest.fail("neither a user postgres nor nobody: PostgreSQL does not run as root")


def _free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Database:
    """What journal_behaviours.py needs to know of the journal's database."""

    words = {"serial": "SERIAL", "float": "DOUBLE PRECISION", "false": "false"}  # noqa: RUF012
    false = "false"

    def __init__(self, server, name):
        self.server, self.name = server, name

    @property
    def address(self):
        return self.server.address(self.name)

    def execute(self, *statements):
        self.server.sql(";\n".join(statements) + ";\n", self.name)

    make = execute

    def content(self):
        return self.server.dump(self.name)


@pytest.fixture(scope="session")
def server():
    one = Server()
    yield one
    one.close()


@pytest.fixture
def database(server, monkeypatch):
    """An empty database; the journal of this process is in it."""
    one = Database(server, "postgres")
    one.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    monkeypatch.setenv("DRCLI_JOURNAL", one.address)
    return one
