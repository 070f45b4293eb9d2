"""Canaries in every place that a secret may come from: none sings in what drcli writes or shows."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import HOSTS

pytestmark = pytest.mark.once

CANARY = "canary-7f3a"  # each canary begins so, and ends with where it sits
PATIENCE = 300.0  # seconds for a recovery, on a busy machine
ENVIRONMENT = {"SITE_TOKEN": f"{CANARY}-environment"}
BECOME, VAULT_PASSWORD = f"{CANARY}-become", f"{CANARY}-vault-password"
VAULT_FILE = f"database_address: {CANARY}-vault-file\nlines: |\n  {CANARY}-vault-line\n  second\n"
EXTRA = {"db_password": f"{CANARY}-extra", "nested": {"api_key": [f"{CANARY}-extra-nested"]}}
INVENTORY = HOSTS.replace("vars: {", f"vars: {{ansible_password: {CANARY}-ssh, ")
TASKS = """\
    - name: Show what is in the vault
      ansible.builtin.debug: {msg: "{{ database_address }} {{ pin }} {{ lines }}"}
    - name: Show the SSH password
      ansible.builtin.command: {argv: [cat], stdin: "it is {{ ansible_password }}"}
      changed_when: false
    - name: Show the extra variables
      ansible.builtin.debug: {msg: "{{ db_password }} {{ nested }}"}
    - name: Keep this one quiet
      ansible.builtin.command: cat SECRET
      no_log: true
      changed_when: false
    - name: Write it where the difference is shown
      ansible.builtin.copy:
        content: "address {{ database_address }}, pin {{ pin }}\\n"
        dest: "MARKS/written"
        mode: "0600"
    - name: Look at the environment
      ansible.builtin.command: env
      changed_when: false
    - name: Fail with it, and go on
      ansible.builtin.command: {argv: [sh, -c, "cat >&2; exit 3"], stdin: "{{ pin }}"}
      changed_when: false
      ignore_errors: true
    - name: Tell it in a traceback, and go on
      ansible.builtin.debug: {msg: "{{ pin | explode }}"}
      ignore_errors: true
    - name: Hold
      ansible.builtin.command: sleep SECONDS
      changed_when: false
    - name: Fail with it
      ansible.builtin.fail: {msg: "no {{ database_address }}, no {{ db_password }}"}
"""
EXPLODE = """\
class FilterModule:
    def filters(self):
        return {"explode": self.explode}

    def explode(self, value):
        raise ValueError(f"cannot take {value}")
"""
GATE = """\
minimum_checks = 1


def test_says_it(host):
    variables = host.ansible.get_variables()
    assert variables["database_address"] == "another", variables["pin"]


def test_prints_it(host):
    print(host.ansible.get_variables())
    assert host.run("echo %s", host.ansible.get_variables()["pin"]).stdout == ""


def test_raises_it(host):
    raise RuntimeError(host.ansible.get_variables()["ansible_password"])
"""


def vault(password, *words, text):
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-vault"),
            *words,
            "--vault-password-file",
            password,
        ],
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


@pytest.fixture
def caged(make_project, tmp_path):
    """A project full of canaries, and the words that give drcli what opens it."""
    project = make_project(
        {"network": [{"name": "routing", "hosts": "routers", "settle": "0s"}]}, hosts=INVENTORY
    )
    cage = tmp_path / "cage"  # what the canaries come from: not looked through
    cage.mkdir()
    for name, text in (
        ("vault", VAULT_PASSWORD),
        ("become", BECOME),
        ("extra.json", json.dumps(EXTRA)),
        ("quiet", f"{CANARY}-no-log"),
    ):
        (cage / name).write_text(text)
    variables = project / "inventories/room-a/group_vars/all"
    variables.mkdir(parents=True)
    (variables / "whole.yml").write_text(vault(cage / "vault", "encrypt", text=VAULT_FILE))
    pin = vault(
        cage / "vault", "encrypt_string", "--stdin-name", "pin", text=f"{CANARY}-vault-value"
    )
    (variables / "part.yml").write_text(pin)
    (project / "ansible.cfg").write_text(
        "[defaults]\nverbosity = 3\nfilter_plugins = filters\n[diff]\nalways = true\n"
    )
    (project / "filters").mkdir()
    (project / "filters/explode.py").write_text(EXPLODE)
    head = "- hosts: routers\n  gather_facts: false\n  tasks:\n"
    tasks = TASKS.replace("SECRET", str(cage / "quiet")).replace("MARKS", str(project / "marks"))
    (project / "playbooks/network/routing.yml").write_text(head + tasks)
    (project / "playbooks/network/test_routing.py").write_text(GATE)
    give = ["--vault-password-file", cage / "vault"]
    change = ["--become-password-file", cage / "become", "-e", f"@{cage}/extra.json", "--diff"]
    return project, give, change


def hold(project, seconds):
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("SECONDS", str(seconds)))


@pytest.fixture
def world(tmp_path):
    """Where this test's drcli may write: its home, its temporary files, in memory, its state."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        places = {
            "HOME": tmp_path / "home",
            "TMPDIR": tmp_path / "tmp",
            "DRCLI_STATE_DIR": tmp_path / "state",
            "XDG_RUNTIME_DIR": Path(memory),
        }
        for place in places.values():
            place.mkdir(exist_ok=True, mode=0o700)
        yield places


class Watched:
    """Looks at the arguments of every process again and again, for as long as the block runs."""

    def __enter__(self):
        self.seen, self._over = set(), threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def _look(self):
        while not self._over.wait(0.05):
            for entry in Path("/proc").iterdir():
                with suppress(OSError):
                    self.seen.add((entry / "cmdline").read_bytes())


def singing(data):
    """What of these bytes is a canary."""
    raw = data.encode() if isinstance(data, str) else data
    return raw[raw.find(CANARY.encode()) :][:60] if CANARY.encode() in raw else None


def kept_in(*folders):
    for folder in folders:
        for path in folder.rglob("*"):
            if path.is_file():
                raw = path.read_bytes()
                yield path, gzip.decompress(raw) if path.suffix == ".gz" else raw


def test_no_canary_is_in_what_is_written_shown_or_listed(caged, world, drcli, tmp_path):
    project, give, change = caged
    hold(project, 1)
    env = {**ENVIRONMENT, **{k: str(v) for k, v in world.items()}}
    junit = tmp_path / "state/gates.xml"
    with Watched() as watched:
        heard = {
            "recover": drcli(
                "recover",
                "--site",
                "room-a",
                *give,
                *change,
                cwd=project,
                env=env,
                timeout=PATIENCE,
            ),
            "recover --json": drcli(
                "recover",
                "--site",
                "room-a",
                "--json",
                *give,
                *change,
                cwd=project,
                env=env,
                timeout=PATIENCE,
            ),
            "verify": drcli(
                "verify",
                "--site",
                "room-a",
                *give,
                "--junit",
                junit,
                cwd=project,
                env=env,
                timeout=PATIENCE,
            ),
        }
    for view in ("show", "status", "runs"):
        heard[view] = drcli(view, cwd=project, env=env, timeout=PATIENCE)
        heard[f"{view} --json"] = drcli(view, "--json", cwd=project, env=env, timeout=PATIENCE)
    assert {heard[name].returncode for name in ("recover", "recover --json", "verify")} == {1}
    assert "Fail with it" in heard["show"].stdout
    assert "test_says_it" in junit.read_text()
    found = {name: singing(done.stdout + done.stderr) for name, done in heard.items()} | {
        str(path): singing(raw) for path, raw in kept_in(*world.values())
    }
    assert any(name.endswith(".gz") for name in found)
    assert {name: what for name, what in found.items() if what} == {}
    assert any(b"ansible-playbook" in words for words in watched.seen)
    assert [words for words in watched.seen if singing(words)] == []


def test_what_is_kept_is_for_its_owner_alone(caged, world, drcli):
    project, give, change = caged
    hold(project, 0)
    os.umask(0o022)
    env = {k: str(v) for k, v in world.items()}
    drcli("recover", "--site", "room-a", *give, *change, cwd=project, env=env, timeout=PATIENCE)
    state = world["DRCLI_STATE_DIR"]
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in [state, *state.rglob("*")]}
    assert len(modes) > 5
    assert {p: oct(m) for p, m in modes.items() if m & 0o077} == {}


def test_after_a_kill_nothing_secret_is_on_a_disk_and_at_the_next_start_nothing_in_memory(
    caged, world, recovery, drcli
):
    project, give, change = caged
    hold(project, 600)
    env = {k: str(v) for k, v in world.items()}
    run = recovery(project, *give, *change, env=env, state_dir=world["DRCLI_STATE_DIR"])
    run.wait_for("task_started", task="Hold")
    memory = world["XDG_RUNTIME_DIR"]
    folders = list(memory.iterdir())
    run.process.kill()
    run.process.wait(timeout=60)
    assert folders
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    assert {
        p: singing(raw)
        for p, raw in kept_in(*world.values())
        if memory not in p.parents and singing(raw)
    } == {}
    hold(project, 0)
    playbook = project / "playbooks/network/routing.yml"
    playbook.write_text(playbook.read_text().replace("sleep 600", "true"))
    drcli(
        "resume",
        "--site",
        "room-a",
        "--replan",
        *give,
        *change,
        cwd=project,
        env=env,
        timeout=PATIENCE,
    )
    assert list(memory.iterdir()) == []
