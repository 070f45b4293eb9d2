"""Canaries in every place that a secret may come from: none sings in what drcli writes or shows."""

from __future__ import annotations

import json
import os
import stat
import threading
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import HOSTS
from vaults import vault

MARK = uuid.uuid4().hex[:8]  # of this process: others may be at the same test beside it
CANARY = f"canary-{MARK}"  # each canary begins so, and ends with where it sits
ENVIRONMENT = {"SITE_TOKEN": f"{CANARY}-environment"}
BECOME, VAULT_PASSWORD = f"{CANARY}-become", f"{CANARY}-vault-password"
VAULT_FILE = f"database_address: {CANARY}-vault-file\nlines: |\n  {CANARY}-vault-line\n  second\n"
EXTRA = {
    "db_password": f"{CANARY}-extra",
    "nested": {"api_key": [f"{CANARY}-extra-nested"]},
    "plain": f"{CANARY}-extra-plain",
}
INVENTORY = (
    HOSTS.replace("vars: {", f"vars: {{ansible_password: {CANARY}-ssh, ")
    .replace("{img1: }", "{img1: {ansible_become: true, ansible_become_user: operator}}")
    .replace("{r1: , r2: }", "{r1: }")
)
TASKS = """\
    - name: Show what is in the vault
      ansible.builtin.debug: {msg: "{{ database_address }} {{ pin }} {{ lines }} {{ in_role }}"}
    - name: Show the SSH password
      ansible.builtin.command: {argv: [cat], stdin: "it is {{ ansible_password }}"}
      changed_when: false
    - name: Show the extra variables
      ansible.builtin.debug: {msg: "{{ db_password }} {{ nested }} {{ plain }}"}
    - name: Keep this one quiet
      ansible.builtin.command: cat CAGE/quiet
      no_log: true
      changed_when: false
    - name: Keep a raw one quiet
      ansible.builtin.raw: "echo {{ lookup('file', 'CAGE/hushed') }}"
      no_log: true
      changed_when: false
    - name: Fail quietly, and go on
      ansible.builtin.command: sh -c "cat CAGE/quiet >&2; exit 3"
      no_log: true
      changed_when: false
      ignore_errors: true
    - name: Write it where the difference is shown
      ansible.builtin.copy:
        content: "address {{ database_address }}, pin {{ pin }}\\n"
        dest: "MARKS/written-{{ inventory_hostname }}"
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
      ansible.builtin.command: sleep 1
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
import os

minimum_checks = 1


def test_says_it(host):
    variables = host.ansible.get_variables()
    assert variables["database_address"] == "another", variables["pin"]


def test_prints_it(host):
    print(host.ansible.get_variables(), dict(os.environ))
    assert host.run("cat MARKS/written-*").stdout == ""


def test_raises_it(host):
    raise RuntimeError(host.ansible.get_variables()["ansible_password"])


def test_compares_it(host):
    assert str(host.ansible.get_variables()) == str(dict(os.environ))
"""
SUDO = """\
#!/bin/sh
while [ $# -gt 0 ]; do case $1 in
  -p) prompt=$2; shift 2;;
  -u) shift 2;;
  -*) shift;;
  *) break;;
esac; done
printf %s "$prompt" >&2
IFS= read -r given
[ "$given" = "BECOME" ] && exec "$@"
echo "Sorry, try again: $given" >&2
exit 1
"""
BECOMES = """\
- hosts: imaging
  gather_facts: false
  tasks:
    - name: Become somebody
      ansible.builtin.raw: echo up
    - name: Fail as somebody
      ansible.builtin.raw: "echo no; exit 4"
"""


@pytest.fixture
def caged(make_project, tmp_path):
    """A project full of canaries, and the words that give drcli what opens it."""
    routing = {"name": "routing", "hosts": "routers", "settle": "0s"}
    project = make_project(
        {"network": [routing, {"name": "imaging", "hosts": "imaging", "settle": "0s"}]},
        hosts=INVENTORY,
    )
    cage = tmp_path / "cage"  # what the canaries come from: not looked through
    cage.mkdir()
    for name, text in (
        ("vault", VAULT_PASSWORD),
        ("become", BECOME),
        ("extra.json", json.dumps(EXTRA)),
        ("quiet", f"{CANARY}-no-log"),
        ("hushed", f"hushed-{MARK}"),  # on the host it is an argument: not looked for there
    ):
        (cage / name).write_text(text)
    (cage / "bin").mkdir()
    (cage / "bin/sudo").write_text(SUDO.replace("BECOME", BECOME))
    (cage / "bin/sudo").chmod(0o755)
    variables = project / "inventories/room-a/group_vars/all"
    variables.mkdir(parents=True)
    (variables / "whole.yml").write_text(vault(cage / "vault", "encrypt", text=VAULT_FILE))
    pin = vault(
        cage / "vault", "encrypt_string", "--stdin-name", "pin", text=f"{CANARY}-vault-value"
    )
    (variables / "part.yml").write_text(pin)
    role = vault(cage / "vault", "encrypt", text=f"in_role: {CANARY}-of-a-role\n")
    (project / "playbooks/network/secret.yml").write_text(role)
    (project / "ansible.cfg").write_text(
        "[defaults]\nverbosity = 3\nfilter_plugins = filters\n[diff]\nalways = true\n"
    )
    (project / "filters").mkdir()
    (project / "filters/explode.py").write_text(EXPLODE)
    head = "- hosts: routers\n  gather_facts: false\n  vars_files: [secret.yml]\n  tasks:\n"
    tasks = TASKS.replace("CAGE", str(cage)).replace("MARKS", str(project / "marks"))
    gate = GATE.replace("MARKS", str(project / "marks"))
    (project / "playbooks/network/routing.yml").write_text(head + tasks)
    (project / "playbooks/network/imaging.yml").write_text(BECOMES)
    for name in ("routing", "imaging"):
        (project / f"playbooks/network/test_{name}.py").write_text(gate)
    give = ["--vault-password-file", cage / "vault", "-e", f"@{cage}/extra.json"]
    give += ["--become-password-file", cage / "become"]
    return project, give, cage


@pytest.fixture
def world(tmp_path, caged):
    """Where this test's drcli may write: its home, its temporary files, its state."""
    places = {
        "HOME": tmp_path / "home",
        "TMPDIR": tmp_path / "tmp",
        "DRCLI_STATE_DIR": tmp_path / "state",
    }
    for place in places.values():
        place.mkdir(exist_ok=True, mode=0o700)
    return places


@pytest.fixture
def call(world, caged, drcli):
    """Run drcli there."""
    project, _, cage = caged
    env = {**ENVIRONMENT, **{k: str(v) for k, v in world.items()}}
    env["PATH"] = f"{cage}/bin:{os.environ['PATH']}"
    return lambda *words: drcli(*words, cwd=project, env=env)


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
                    self.seen.update(
                        setting
                        for setting in (entry / "environ").read_bytes().split(b"\0")
                        if CANARY.encode() in setting and not setting.startswith(b"SITE_TOKEN=")
                    )


def singing(data):
    """What of these bytes is a canary."""
    raw = data.encode() if isinstance(data, str) else data
    words = [word for word in (CANARY.encode(), f"hushed-{MARK}".encode()) if word in raw]
    return [raw[max(raw.find(word) - 100, 0) :][:200] for word in words]


def kept_in(*folders):
    for folder in folders:
        for path in folder.rglob("*"):
            with suppress(OSError):
                if path.is_file():
                    yield path, path.read_bytes()


@pytest.fixture
def open_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_umask")
def test_no_canary_is_in_what_is_written_shown_or_listed(caged, world, call, tmp_path):
    _, give, _ = caged
    junit = tmp_path / "home/gates.xml"
    at = ["--site", "room-a"]
    with Watched() as watched:
        heard = {
            "recover": call("recover", *at, *give, "--diff"),
            "recover --json": call("recover", *at, "--json", *give, "--check", "--diff"),
            "verify": call("verify", *at, *give, "--junit", junit),
            "verify --json": call("verify", *at, *give, "--json"),
            "wrong": call("recover", *at, "--vault-password-file", give[-1]),
        }
    for view in ("show", "status", "runs", "plan"):
        site = [*at, *give[:2]] if view == "plan" else []
        heard[view] = call(view, *site)
        heard[f"{view} --json"] = call(view, "--json", *site)
    first = call("show", heard["runs"].stdout.splitlines()[1].split()[0])
    heard["show the first"] = first
    codes = {name: done.returncode for name, done in heard.items()}
    expected = {"recover": 1, "recover --json": 1, "verify": 1, "verify --json": 1, "wrong": 2}
    assert codes == {name: expected.get(name, 0) for name in codes}, heard
    assert "Fail with it" in first.stdout
    assert "difference by task Write it where the difference is shown" in first.stdout
    assert "Fail as somebody on img1: failed" in first.stdout
    assert "test_says_it" in junit.read_text()
    assert "unreachable" not in junit.read_text()
    found = {name: singing(done.stdout + done.stderr) for name, done in heard.items()} | {
        str(path): singing(raw) for path, raw in kept_in(*world.values(), Path("/dev/shm"))
    }
    assert any(name.endswith(".jsonl") for name in found)
    assert any(name.endswith("journal.db") for name in found)
    assert {name: what for name, what in found.items() if what} == {}
    assert any(b"ansible-playbook" in words for words in watched.seen)
    assert [words for words in watched.seen if CANARY.encode() in words] == []
    # What is kept is for its owner alone, whatever the umask.
    state = world["DRCLI_STATE_DIR"]
    modes = {p: stat.S_IMODE(p.stat().st_mode) for p in [state, *state.rglob("*")]}
    assert len(modes) > 5
    assert {str(p): oct(m) for p, m in modes.items() if m & 0o077} == {}
