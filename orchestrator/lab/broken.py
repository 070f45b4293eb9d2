"""What is broken in a lab until it is undone: faults, hosts that stay off, disks that are out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestrator.lab.instance import Instance


class Broken(BaseModel):
    """Kept in the lab's folder.

    `given` maps a fault to the hosts it was put on, `off` a host to the fault that keeps it off,
    `out` a host to its disks that are out.
    """

    model_config = ConfigDict(frozen=True)

    given: Mapping[str, tuple[str, ...]] = {}
    off: Mapping[str, str] = {}
    out: Mapping[str, tuple[str, ...]] = {}

    def give(self, fault: str, hosts: Iterable[str]) -> Broken:
        """With this fault on these hosts, too."""
        there = (*self.given.get(fault, ()), *hosts)
        return self._with(given={**self.given, fault: tuple(dict.fromkeys(there))})

    def take_back(self, fault: str, hosts: Iterable[str]) -> Broken:
        """Without this fault on these hosts."""
        left = tuple(host for host in self.given.get(fault, ()) if host not in set(hosts))
        rest = {name: on for name, on in self.given.items() if name != fault}
        return self._with(given={**rest, fault: left} if left else rest)

    def keep_off(self, fault: str, hosts: Iterable[str]) -> Broken:
        """With these hosts staying off."""
        return self._with(off={**self.off, **dict.fromkeys(hosts, fault)})

    def let_on(self, hosts: Iterable[str]) -> Broken:
        """With nothing keeping these hosts off."""
        mended = set(hosts)
        return self._with(off={host: why for host, why in self.off.items() if host not in mended})

    def take_out(self, host: str, disk: str) -> Broken:
        """With this disk out."""
        return self._with(out={**self.out, host: (*self.out.get(host, ()), disk)})

    def put_in(self, host: str, disk: str) -> Broken:
        """With this disk in again."""
        left = tuple(name for name in self.out.get(host, ()) if name != disk)
        return self._with(out={**self.out, host: left})

    def _with(self, **update: object) -> Broken:
        return self.model_copy(update=update)


def read_broken(instance: Instance) -> Broken:
    """What is broken in a lab; nothing when it was never given a fault."""
    try:
        return Broken.model_validate_json(_path(instance).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Broken()


def write_broken(instance: Instance, broken: Broken) -> None:
    """Keep it, whole or not at all."""
    fresh = _path(instance).with_suffix(".new")
    fresh.write_text(broken.model_dump_json(), encoding="utf-8")
    fresh.replace(_path(instance))


def forget_broken(instance: Instance) -> None:
    """Nothing is broken any more: all hosts and disks are about to be made anew."""
    _path(instance).unlink(missing_ok=True)


def _path(instance: Instance) -> Path:
    return instance.folder / "broken.json"
