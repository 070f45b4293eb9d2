"""The fast way of Ansible's tasks: Mitogen, where a person asks for it and all fits.

Mitogen keeps one Python a host for the length of a playbook, instead of starting one for each task.
It takes the place of Ansible's own strategy, which ansible-core will not allow for ever: nothing
depends on it, and without it all works as well and only slower. It is used only where a person asks
for it.
"""

from __future__ import annotations

import configparser
import importlib.util
import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

SWITCH = "DRCLI_FAST"  # =1 in the environment asks for it
TRIED = ((2, 19), (2, 21))  # the first and the last series of ansible-core that it was tried with
OLDEST = (0, 3, 54)  # what it was tried with
MODULES = (
    "ansible_mitogen.connection",
    "ansible_mitogen.mixins",
    "ansible_mitogen.planner",
    "ansible_mitogen.services",
    "ansible_mitogen.strategy",
    "mitogen.fork",
    "mitogen.minify",
    "mitogen.ssh",
    "mitogen.sudo",
)
# A host that went away is missed as soon as by Ansible's own connection (ansible.cfg). Each module
# has a process of its own: one that hangs past its task's `timeout` would hold all after it.
VARIABLES = {
    "mitogen_ssh_keepalive_interval": 5,
    "mitogen_ssh_keepalive_count": 2,
    "mitogen_task_isolation": "fork",
}


@dataclass(frozen=True, kw_only=True)
class FastWay:
    """Whether Mitogen can be used; `why_not` is empty when nobody would expect it to be."""

    usable: bool = False
    why_not: str = ""


def fast_way(config: Path | None = None) -> FastWay:
    """Whether Mitogen is here, wanted, and of a version that was tried with this ansible-core.

    `config` is the ansible.cfg of the project, where there is one yet.
    """
    if os.environ.get(SWITCH) != "1":
        return FastWay()
    try:
        mitogen, ansible = version("mitogen"), version("ansible-core")
    except PackageNotFoundError:
        return FastWay(
            why_not=f"{SWITCH}=1, and Mitogen is not installed (pip install 'drcli[fast]'): "
            "playbooks run without it, only slower"
        )
    if not TRIED[0] <= _numbers(ansible)[:2] <= TRIED[1]:
        fits = f"{_dotted(TRIED[0])} to {_dotted(TRIED[1])}"
        return FastWay(
            why_not=f"Mitogen was tried with ansible-core {fits}, not with {ansible}: "
            "playbooks run without it, only slower"
        )
    if _numbers(mitogen) < OLDEST:
        return FastWay(
            why_not=f"Mitogen {mitogen} is older than {_dotted(OLDEST)}: playbooks run without it, "
            "only slower"
        )
    if config and (strategy := _strategy(config)):
        return FastWay(
            why_not=f"{config} chooses the strategy {strategy}: playbooks run with it and without "
            "Mitogen, only slower"
        )
    return FastWay(usable=True)


def settings(config: Path) -> dict[str, str]:
    """What Ansible's environment says to go the fast way; nothing where ansible.cfg chooses one."""
    found = importlib.util.find_spec("ansible_mitogen")
    if _strategy(config) or not (found and found.origin):
        return {}
    return {
        "ANSIBLE_STRATEGY": "mitogen_linear",
        "ANSIBLE_STRATEGY_PLUGINS": str(Path(found.origin).parent / "plugins/strategy"),
    }


def _strategy(config: Path) -> str:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(config)
    return parser.get("defaults", "strategy", fallback="")


def _numbers(text: str) -> tuple[int, ...]:
    parts = text.split(".")
    return tuple(int(part) for part in parts if part.isdigit())


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
