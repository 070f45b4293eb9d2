"""Recovery by one, two and four workers of a Dask cluster, of a site whose playbooks mostly wait.

All run on this machine, so only waiting can be shared out: work of the processor would say how many
cores it has.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from benchmarks import measure, questions
from benchmarks.bench import Bench
from benchmarks.command import CommandFailed, run
from benchmarks.measure import Sample, Take, sample
from benchmarks.outputs import drcli_recovery_work
from benchmarks.results import Row, answer
from benchmarks.servers import CannotRun
from benchmarks.world import DRCLI, TOOLS, fresh_home

COMPONENTS = 8
WAITS = 10  # seconds that each playbook waits
SITE = "waiting"
PATIENCE = 60.0  # seconds until a scheduler or a worker must be ready
_PLAYBOOK = """\
- name: Bring {name} back
  hosts: {name}
  gather_facts: false
  tasks:
    - name: Wait, as for a large machine that boots
      ansible.builtin.wait_for:
        timeout: {waits}
    - name: Leave a mark
      ansible.builtin.copy:
        content: up
        dest: "{marks}/{name}"
        mode: "0600"
"""
_GATE = '''"""Gate of {name}."""

minimum_checks = 1


def test_mark(host):
    assert host.file("{marks}/{name}").exists
'''


def scaling(bench: Bench) -> Iterator[Row]:
    """Time with one worker over that with more, for each worker."""
    if find_spec("distributed") is None:
        raise CannotRun("the extra `cluster` (Dask) is not installed")
    with tempfile.TemporaryDirectory(prefix="drcli-b-") as folder, fresh_home() as env:
        project = _write_site(Path(folder))
        takes = [_side(project, count, env) for count in (1, *questions.WORKERS)]
        found = measure.alternate(takes, rounds=bench.rounds, tell=bench.tell)
    for count, question in questions.WORKERS.items():
        pairs = zip(found[_name(1)], found[_name(count)], strict=True)
        yield answer(
            question,
            measure.spread([one.seconds / (count * more.seconds) for one, more in pairs]),
            samples={name: found[name] for name in (_name(1), _name(count))},
        )


def _name(count: int) -> str:
    return f"{count} workers" if count > 1 else "1 worker"


def _side(project: Path, count: int, env: Mapping[str, str]) -> Take:
    """A recovery with so many workers, each of which does one thing at a time."""

    def take() -> Mapping[str, Sample]:
        for mark in (project / "marks").iterdir():
            mark.unlink()
        with ExitStack() as stack:
            words = ["scheduler", "--listen", "tcp://127.0.0.1:0"]
            said = stack.enter_context(_ready(words, "scheduler at", project, env))
            url = said.split()[-1]
            for number in range(count):
                words = ["worker", "--site", SITE, "--scheduler", url, "--slots", "1"]
                words += ["--project", str(project), "--state-dir", f"{env['HOME']}/w{number}"]
                stack.enter_context(_ready(words, "slots at", project, env))
            command: list[str | Path] = [
                DRCLI,
                "recover",
                "--site",
                SITE,
                "--json",
                "--max-parallel",
                "64",
            ]
            ended = run(command, cwd=project, env={**env, "DRCLI_CLUSTER": url})
        return {_name(count): sample(ended, drcli_recovery_work(ended.out))}

    return take


@contextmanager
def _ready(words: Sequence[str], sign: str, cwd: Path, env: Mapping[str, str]) -> Iterator[str]:
    """A drcli that serves in the background, once it has said so; the line in which it did."""
    process = subprocess.Popen([DRCLI, *words], cwd=cwd, env=env, stderr=subprocess.PIPE, text=True)
    silence = threading.Timer(PATIENCE, process.kill)
    silence.start()
    try:
        lines: Iterable[str] = process.stderr or []
        found = next((line for line in lines if sign in line), "")
        silence.cancel()
        if not found:
            raise CommandFailed(f"drcli {words[0]} did not come up")
        # What it says later must not fill the pipe.
        threading.Thread(target=lambda: list(lines), daemon=True).start()
        yield found
    finally:
        silence.cancel()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def _write_site(project: Path) -> Path:
    """A site of one layer: every component can be recovered beside every other."""
    marks, folder = project / "marks", project / "playbooks" / "layer"
    inventory = project / "inventories" / SITE
    for path in (marks, folder, inventory):
        path.mkdir(parents=True)
    names = [f"c{number}" for number in range(COMPONENTS)]
    for name in names:
        words = {"name": name, "marks": marks, "waits": WAITS}
        (folder / f"{name}.yml").write_text(_PLAYBOOK.format(**words), encoding="utf-8")
        (folder / f"test_{name}.py").write_text(_GATE.format(**words), encoding="utf-8")
    local = {"ansible_connection": "local", "ansible_python_interpreter": str(TOOLS / "python")}
    groups = {name: {"hosts": {f"{name}-host": None}} for name in names}
    hosts = {"all": {"vars": local, "children": groups}}
    components = [{"name": name, "hosts": name} for name in names]
    site = {"site": SITE, "layers": [{"name": "layer", "components": components}]}
    (inventory / "hosts.yml").write_text(json.dumps(hosts, indent=1), encoding="utf-8")
    (inventory / "site.yml").write_text(json.dumps(site, indent=1), encoding="utf-8")
    return project
