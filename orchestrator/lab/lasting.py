"""Faults that last until they are undone: hosts that stay off, disks that are out, late SSH."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orchestrator.lab.definition import Lab


class Lasting(BaseModel):
    """What power coming back does not bring back; kept in the lab's folder.

    `off` maps a host to the fault that keeps it off, `out` a host to its disks that are out.
    """

    model_config = ConfigDict(frozen=True)

    off: dict[str, str] = {}
    out: dict[str, tuple[str, ...]] = {}

    def keep_off(self, host: str, fault: str) -> Lasting:
        """With this host staying off."""
        return self.model_copy(update={"off": {**self.off, host: fault}})

    def let_on(self, host: str) -> Lasting:
        """With nothing keeping this host off."""
        return self.model_copy(update={"off": {h: f for h, f in self.off.items() if h != host}})

    def take_out(self, host: str, disk: str) -> Lasting:
        """With this disk out."""
        out = tuple(dict.fromkeys([*self.out.get(host, ()), disk]))
        return self.model_copy(update={"out": {**self.out, host: out}})

    def put_in(self, host: str, disk: str) -> Lasting:
        """With this disk in again."""
        left = tuple(d for d in self.out.get(host, ()) if d != disk)
        return self.model_copy(update={"out": {**self.out, host: left}})


def _path(lab: Lab) -> Path:
    return lab.folder / "lasting.json"


def read_lasting(lab: Lab) -> Lasting:
    """What lasts in a lab; nothing when it was never given such a fault."""
    try:
        return Lasting.model_validate_json(_path(lab).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Lasting()


def write_lasting(lab: Lab, lasting: Lasting) -> None:
    """Keep it, whole or not at all."""
    fresh = _path(lab).with_suffix(".new")
    fresh.write_text(lasting.model_dump_json(), encoding="utf-8")
    fresh.replace(_path(lab))
