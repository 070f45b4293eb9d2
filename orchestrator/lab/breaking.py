"""Gives a lab a fault of its catalogue, or takes it back.

A script runs at once on a host that has power, and at its next boot, before SSH answers, on one
that has none. Damage to disks is done while the power is off, so a host that is on is cut for it
and booted again: whatever the verb, the fault is there when `give` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from orchestrator.command import command, narrowed
from orchestrator.errors import InputError
from orchestrator.lab import power, store
from orchestrator.lab.access import archive, host_keys
from orchestrator.lab.broken import read_broken, write_broken
from orchestrator.lab.definition import Definition, LabHost
from orchestrator.lab.faults import DiskDamage, LabFault
from orchestrator.lab.hosts import boot, running
from orchestrator.lab.instance import Instance
from orchestrator.lab.podman import execute, unpack
from orchestrator.lab.progress import Tell

SCRIPT_TIMEOUT = 120.0  # seconds
UNDO = ".undo"  # of a fault's name
NEW_HOST_KEY = """\
rm -f /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key.pub
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
"""
# A connection that was open before would still be trusted: another machine would not have it.
END_SSH = """\
if systemctl is-active --quiet ssh.service; then
  systemctl kill --signal=KILL ssh.service
  systemctl reset-failed ssh.service
  systemctl restart ssh.service
fi
"""
SLOW_SSH = "etc/systemd/system/ssh.service.d/lab-slow-boot.conf"
SSH_NOW = f"""\
rm -f /{SLOW_SSH}
systemctl daemon-reload
systemctl stop ssh.service
systemctl start --no-block ssh.service
"""


@dataclass(frozen=True, kw_only=True)
class Breaker:
    """What faults are given with: which lab, the prelude of its scripts, whom to tell."""

    definition: Definition
    instance: Instance
    prelude: str
    tell: Tell

    def give(self, fault: LabFault) -> tuple[str, ...]:
        """Break what the fault breaks; return a line on what was done to each host."""
        hosts = self._hosts(fault.hosts)
        broken = read_broken(self.instance).give(fault.name, fault.hosts)
        if fault.power:
            broken = broken.keep_off(fault.name, fault.hosts)
        write_broken(self.instance, broken)
        if fault.script is not None:
            return self._run(hosts, fault.name, fault.script)
        if fault.host_key:
            return self._run(hosts, fault.name, NEW_HOST_KEY + END_SSH)
        if fault.power:
            power.cut_hosts(self.definition, self.instance, hosts)
            return tuple(f"{host}: off, and stays off" for host in hosts)
        if fault.disk:
            damage = fault.disk
            return self._while_off(hosts, lambda host: self._damage(host, damage))
        seconds = fault.boot_delay or 0
        return self._while_off(hosts, lambda host: self._delay(host, seconds), late=True)

    def take_back(self, fault: LabFault) -> tuple[str, ...]:
        """Undo a fault; return a line on what was done to each host.

        Raises:
            InputError: the fault says no way back: a recovery repairs it.
        """
        if not fault.has_undo:
            where = narrowed(self.definition.site, lab=self.instance.name)
            raise InputError(
                f"the fault {fault.name} has no undo: a recovery repairs it",
                hint=f"{command('recover', *where)}, or drcli lab reset",
            )
        hosts = self._hosts(fault.hosts)
        broken = read_broken(self.instance).take_back(fault.name, fault.hosts)
        if fault.power:
            broken = broken.let_on(fault.hosts)
        write_broken(self.instance, broken)
        done: tuple[str, ...] = ()
        if fault.power:
            power.power_on(self.definition, self.instance, hosts, tell=self.tell)
            done = tuple(f"{host}: has power again" for host in hosts)
        elif fault.host_key:
            for host in hosts:
                unpack(self._container(host), archive(host_keys(self.instance, host)))
            done = self._run(hosts, fault.name, END_SSH)
        elif fault.boot_delay:
            done = self._run(hosts, fault.name, SSH_NOW)
        elif fault.disk and fault.disk.do == "detach":
            disk = fault.disk.name
            done = self._while_off(hosts, lambda host: self._put_back(host, disk))
        if fault.undo is not None:
            done += self._run(hosts, fault.name + UNDO, fault.undo)
        return done

    def _hosts(self, names: Sequence[str]) -> tuple[LabHost, ...]:
        return tuple(self.definition.host(name) for name in names)

    def _container(self, host: LabHost) -> str:
        return self.instance.container(host.name)

    def _run(self, hosts: Sequence[LabHost], name: str, script: str) -> tuple[str, ...]:
        """Run a script on each host now, or lay it down for the next boot of one that is off.

        There it takes the place of what was laid under that name before, and what runs at a boot
        runs by name: a fault, then the undo that was asked for after it.
        """
        on = running(self.definition, self.instance)
        whole = f"{self.prelude}\n{script}"
        done = []
        for host in hosts:
            if host in on:
                execute(self._container(host), whole, timeout=SCRIPT_TIMEOUT)
                done.append(f"{host}: done")
            else:
                later = {f"{power.POWER_EVENT}/{name}": (whole.encode(), 0o600)}
                if not name.endswith(UNDO):  # an undo that was asked for before it is none of it
                    later[f"{power.POWER_EVENT}/{name}{UNDO}"] = (b":", 0o600)
                unpack(self._container(host), archive(later))
                done.append(f"{host}: at its next boot, before SSH answers")
        return tuple(done)

    def _while_off(
        self, hosts: Sequence[LabHost], work: Callable[[LabHost], str], *, late: bool = False
    ) -> tuple[str, ...]:
        """Do it to hosts without power; those that had some get it back, and SSH unless `late`."""
        was_on = power.cut_hosts(self.definition, self.instance, hosts)
        done = tuple(work(host) for host in hosts)
        if late:
            boot(self.definition, self.instance, was_on)
        else:
            power.power_on(self.definition, self.instance, was_on, tell=self.tell)
        return done

    def _damage(self, host: LabHost, what: DiskDamage) -> str:
        store.take_out(self.definition, self.instance, host.name, what.name)
        path = store.disk_file(self.instance, host.name, what.name)
        if what.do == "detach":
            broken = read_broken(self.instance).take_out(host.name, what.name)
            write_broken(self.instance, broken)
            return f"{host}: disk {what.name} is out"
        if what.do == "blank":
            store.blank(path)
            said = "is blank, as a new one is"
        else:
            store.overwrite(path, offset=what.offset, length=what.length)
            said = f"reads noise: {what.length >> 10} KiB from {what.offset >> 10} KiB on"
        store.attach(self.definition, self.instance)
        return f"{host}: disk {what.name} {said}"

    def _put_back(self, host: LabHost, disk: str) -> str:
        write_broken(self.instance, read_broken(self.instance).put_in(host.name, disk))
        store.attach(self.definition, self.instance)
        return f"{host}: disk {disk} is in again"

    def _delay(self, host: LabHost, seconds: int) -> str:
        unit = f"""\
[Service]
TimeoutStartSec={seconds + 60}
ExecStartPre=
ExecStartPre=/bin/sleep {seconds}
ExecStartPost=/bin/rm -f /{SLOW_SSH}
"""
        unpack(self._container(host), archive({SLOW_SSH: (unit.encode(), 0o644)}))
        return f"{host}: it boots {seconds} s longer than others, until SSH answers"
