"""Makes a bare lab the site it copies: what a recovery must never make, once for each component.

inventories/SITE/lab/provision/COMPONENT.yml makes file systems, databases, accounts, keys; the
component's own recovery playbook follows, so that the next one finds it up. What is outside of the
hosting room comes first: provision/outside.yml. Then, where the lab is the whole site, come the
first data: lab/seed.yml, and the first acknowledged writes of each client.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from orchestrator.errors import RecoveryError
from orchestrator.lab.definition import Definition
from orchestrator.lab.instance import Instance
from orchestrator.lab.ledger import await_writes, writing
from orchestrator.lab.part import Layer
from orchestrator.lab.progress import Step, Tell

PLAYBOOK_TIMEOUT = 600.0
FIRST = "outside"  # the name of the playbook of what stands outside
PROBLEM = re.compile(r"^(fatal|ERROR|\[ERROR\]|failed:).*", re.MULTILINE)


def provision(
    definition: Definition, instance: Instance, layers: tuple[Layer, ...], *, tell: Tell
) -> None:
    """Make the site of bare hosts, and give it its first data.

    Raises:
        RecoveryError: a playbook failed, or a client could not write.
    """
    made = definition.own / "provision"
    plays = [(FIRST, [made / f"{FIRST}.yml"])]
    for layer in layers:
        for component in layer.components:
            own = definition.project / "playbooks" / layer.name / f"{component}.yml"
            plays.append((component, [made / f"{component}.yml", own]))
    if definition.layer is None:
        plays.append(("first data", [definition.own / "seed.yml"]))
    plays = [(name, there) for name, paths in plays if (there := [p for p in paths if p.is_file()])]
    for number, (name, paths) in enumerate(plays):
        tell(Step(stage="services", done=number, total=len(plays), note=name))
        play(definition, instance, *paths, log=f"{number:02}-{name.replace(' ', '-')}")
    tell(Step(stage="services", done=len(plays), total=len(plays)))
    if definition.file.writers and definition.file.seed_writes:
        with writing(definition, instance) as state:
            await_writes(state, definition.file.seed_writes, tell=tell)


def play(definition: Definition, instance: Instance, *playbooks: Path, log: str) -> None:
    """Run playbooks of the lab's making, one after another; the output is kept in logs/LOG.log.

    Raises:
        RecoveryError: one failed; the message has what went wrong first.
    """
    path = instance.folder / "logs" / f"{log}.log"
    named = " and ".join(map(str, playbooks))
    path.parent.mkdir(mode=0o700, exist_ok=True)
    tools = Path(sys.executable).parent
    command = [
        *("setpriv", "--pdeathsig", "TERM"),  # it ends with this process, however that ends
        str(tools / "ansible-playbook"),
        "-i", str(definition.inventory),
        "-i", str(instance.hosts_file),
        *map(str, playbooks),
    ]  # fmt: skip
    with path.open("wb") as output:
        try:
            done = subprocess.run(  # noqa: S603 -- an argument list, no shell
                command, cwd=definition.project, env=_environment(definition, tools),
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                timeout=PLAYBOOK_TIMEOUT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise RecoveryError(
                f"{named} did not end within {PLAYBOOK_TIMEOUT:.0f} s", hint=f"See {path}."
            ) from error
    if done.returncode:
        problem = PROBLEM.search(path.read_text(encoding="utf-8", errors="replace"))
        what = (
            problem.group()[:600] if problem else f"ansible-playbook ended with {done.returncode}"
        )
        raise RecoveryError(f"{named}: {what}", hint=f"See {path}; then drcli lab up again.")


def _environment(definition: Definition, tools: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{tools}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_CONFIG": str(definition.project / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
    }
