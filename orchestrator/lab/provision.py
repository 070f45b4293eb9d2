"""Makes a bare lab the site it copies: what a recovery must never make, once for each component.

inventories/SITE/lab/provision/COMPONENT.yml makes filesystems, databases, accounts, keys; the
component's own recovery playbook follows, so that the next one finds it up. What is done is
remembered, so that a broken-off `lab up` goes on where it stopped.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestrator.errors import RecoveryError
from orchestrator.lab.definition import Lab
from orchestrator.lab.ledger import await_writes, writing
from orchestrator.lab.progress import Step, Tell
from orchestrator.plan import Component

PLAYBOOK_TIMEOUT = 1200.0
PROBLEM = re.compile(r"^(fatal|ERROR|\[ERROR\]|failed:).*", re.MULTILINE)


class Provisioned(BaseModel):
    """What of a lab has been made; kept in its folder."""

    model_config = ConfigDict(frozen=True)

    components: tuple[str, ...] = ()
    seeded: bool = False
    verified: bool = False


def _path(lab: Lab) -> Path:
    return lab.folder / "provisioned.json"


def read_provisioned(lab: Lab) -> Provisioned:
    """What has been made; nothing in a bare lab."""
    try:
        return Provisioned.model_validate_json(_path(lab).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Provisioned()


def write_provisioned(lab: Lab, done: Provisioned) -> None:
    """Keep it, whole or not at all."""
    fresh = _path(lab).with_suffix(".new")
    fresh.write_text(done.model_dump_json(), encoding="utf-8")
    fresh.replace(_path(lab))


def forget(lab: Lab, components: Sequence[Component], hosts: frozenset[str]) -> None:
    """Let the components that have one of these hosts be made again."""
    done = read_provisioned(lab)
    again = {c.name for c in components if hosts & set(c.hosts)}
    left = tuple(name for name in done.components if name not in again)
    write_provisioned(lab, done.model_copy(update={"components": left, "verified": False}))


def provision(lab: Lab, components: Sequence[Component], *, tell: Tell) -> bool:
    """Make what is missing of these components, in this order; True when there was anything to do.

    Every component's recovery playbook runs as well, also of those made before: what is made next
    stands on them, and they may be dark.

    Raises:
        RecoveryError: a playbook failed, or a client could not write; `lab up` goes on from there.
    """
    done = read_provisioned(lab)
    if done.seeded and set(done.components) >= {c.name for c in components}:
        return False
    stage = "services"
    tell(Step(stage=stage, total=len(components)))
    for number, component in enumerate(components):
        tell(Step(stage=stage, done=number, total=len(components), note=component.name))
        made = lab.own / "provision" / f"{component.name}.yml"
        if component.name not in done.components and made.is_file():
            play(lab, made, name=f"provision-{component.name}")
        play(lab, component.playbook, name=f"recover-{component.name}")
        if component.name not in done.components:
            done = done.model_copy(update={"components": (*done.components, component.name)})
            write_provisioned(lab, done)
    tell(Step(stage=stage, done=len(components), total=len(components)))
    if not done.seeded:
        seed(lab, tell=tell)
        write_provisioned(lab, done.model_copy(update={"seeded": True}))
    return True


def seed(lab: Lab, *, tell: Tell) -> None:
    """Give the site its first data: seed.yml, then each client's first acknowledged writes."""
    if (lab.own / "seed.yml").is_file():
        play(lab, lab.own / "seed.yml", name="seed")
    if not lab.file.writers or not lab.file.seed_writes:
        return
    with writing(lab) as state:
        if not await_writes(state, lab.file.seed_writes, tell=tell):
            said = "; ".join(f"{name}: {why}" for name, why in state.ended.items())
            raise RecoveryError(
                f"the site took too few first writes ({state.counts}): {said or 'too slow'}",
                hint=f"drcli verify --site {lab.site}; then drcli lab up again",
            )


def play(lab: Lab, playbook: Path, *, name: str) -> None:
    """Run one playbook of the lab's making to its end; its output is kept in logs/NAME.log.

    Raises:
        RecoveryError: it failed; the message has what went wrong first.
    """
    log = lab.folder / "logs" / f"{name}.log"
    log.parent.mkdir(mode=0o700, exist_ok=True)
    tools = Path(sys.executable).parent
    command = [str(tools / "ansible-playbook"), "-i", str(lab.inventory), str(playbook)]
    with log.open("wb") as output:
        try:
            done = subprocess.run(  # noqa: S603 -- an argument list, no shell
                command, cwd=lab.project, env=_environment(lab, tools), stdin=subprocess.DEVNULL,
                stdout=output, stderr=subprocess.STDOUT, timeout=PLAYBOOK_TIMEOUT, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise RecoveryError(
                f"{playbook.name} did not end within {PLAYBOOK_TIMEOUT:.0f} s", hint=f"See {log}."
            ) from error
    if done.returncode:
        problem = PROBLEM.search(log.read_text(encoding="utf-8", errors="replace"))
        what = (
            problem.group()[:600] if problem else f"ansible-playbook ended with {done.returncode}"
        )
        raise RecoveryError(f"{playbook}: {what}", hint=f"See {log}; then drcli lab up again.")


def _environment(lab: Lab, tools: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{tools}:{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_CONFIG": str(lab.project / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
    }
