"""Gives a lab a fault of its catalogue, or takes it back.

A script runs at once on a host that has power, and at its next boot, before SSH answers, on one
that has none. Damage to disks is done while the power is off, so a host that is on is cut for it
and booted again: whatever the verb, the fault is there when `give` returns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orchestrator.errors import InputError
from orchestrator.lab import disks, power
from orchestrator.lab.definition import Lab, LabHost
from orchestrator.lab.faults import DiskDamage, LabFault
from orchestrator.lab.keys import archive, host_keys
from orchestrator.lab.lasting import read_lasting, write_lasting
from orchestrator.lab.podman import execute, unpack
from orchestrator.lab.progress import Tell

POWER_EVENT = "var/lib/lab/power-event"
NEW_HOST_KEY = """\
rm -f /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key.pub
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key
# A connection that was open before would still be trusted: another machine would not have it.
if systemctl is-active --quiet ssh.service; then
  loginctl --no-legend list-sessions | while read -r id _; do loginctl terminate-session "$id"; done
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


def give(lab: Lab, fault: LabFault, *, tell: Tell) -> tuple[str, ...]:
    """Break what the fault breaks; return a line on what was done to each host."""
    hosts = tuple(lab.host(name) for name in fault.hosts)
    match fault:
        case LabFault(script=str() as script):
            return _run_script(lab, hosts, fault.name, script)
        case LabFault(host_key="new"):
            return _run_script(lab, hosts, fault.name, NEW_HOST_KEY)
        case LabFault(power="stays-off"):
            return _keep_off(lab, hosts, fault.name)
        case LabFault(disk=DiskDamage() as disk):
            return _while_off(lab, hosts, lambda host: damage(lab, host, disk), tell=tell)
        case LabFault(boot_delay=int() as seconds):
            return _while_off(
                lab, hosts, lambda host: _delay(lab, host, seconds), tell=tell, late=True
            )
        case _:
            raise AssertionError(fault)


def leave_behind(lab: Lab, faults: Sequence[LabFault], dark: Sequence[LabHost]) -> tuple[str, ...]:
    """Do what a power event does to hosts that have just gone dark; return a line for each."""
    names = {host.name for host in dark}
    done: list[str] = []
    for fault in faults:
        hosts = tuple(host for host in dark if host.name in set(fault.hosts) & names)
        if fault.script is not None:
            done += _run_script(lab, hosts, fault.name, fault.script)
        elif fault.disk is not None:
            done += [damage(lab, host, fault.disk) for host in hosts]
        elif fault.boot_delay is not None:
            done += [_delay(lab, host, fault.boot_delay) for host in hosts]
        else:
            raise AssertionError(fault)  # faults_after_cut refuses it
    return tuple(done)


def take_back(lab: Lab, fault: LabFault, *, tell: Tell) -> tuple[str, ...]:
    """Undo a fault that no recovery may repair; return a line on what was done to each host.

    Raises:
        InputError: the fault says no way back: a recovery repairs it.
    """
    hosts = tuple(lab.host(name) for name in fault.hosts)
    done: tuple[str, ...] = ()
    match fault:
        case LabFault(power="stays-off"):
            done = _let_on(lab, hosts, tell=tell)
        case LabFault(host_key="new"):
            done = tuple(_give_keys_back(lab, host) for host in hosts)
        case LabFault(boot_delay=int()):
            done = _run_script(lab, hosts, f"undo-{fault.name}", SSH_NOW)
        case LabFault(disk=DiskDamage(do="detach", name=disk)):
            done = _while_off(lab, hosts, lambda host: _put_back(lab, host, disk), tell=tell)
        case _ if fault.undo is None:
            raise InputError(
                f"fault {fault.name} has no undo: a recovery repairs it",
                hint=f"drcli recover --site {lab.site}",
            )
    if fault.undo is not None:
        done += _run_script(lab, hosts, f"undo-{fault.name}", fault.undo)
    return done


def damage(lab: Lab, host: LabHost, what: DiskDamage) -> str:
    """Do it to a disk of a host whose power is off."""
    path = disks.disk_file(lab, host, what.name)
    match what.do:
        case "blank":
            disks.blank(path)
            return f"{host.name}: disk {what.name} is blank, as a new one is"
        case "corrupt":
            disks.overwrite(path, offset=what.offset, length=what.length)
            size = f"{what.length >> 10} KiB from {what.offset >> 10} KiB on"
            return f"{host.name}: disk {what.name} reads noise: {size}"
        case "detach":
            disks.detach(lab, host, what.name)
            write_lasting(lab, read_lasting(lab).take_out(host.name, what.name))
            return f"{host.name}: disk {what.name} is out"


def _run_script(lab: Lab, hosts: Sequence[LabHost], name: str, script: str) -> tuple[str, ...]:
    on = power.running(lab)
    done = []
    for host in hosts:
        if host.name in on:
            execute(lab.container(host), script)
            done.append(f"{host.name}: done")
        else:
            unpack(
                lab.container(host), archive({f"{POWER_EVENT}/{name}": (script.encode(), 0o700)})
            )
            done.append(f"{host.name}: at its next boot, before SSH answers")
    return tuple(done)


def _keep_off(lab: Lab, hosts: Sequence[LabHost], name: str) -> tuple[str, ...]:
    lasting = read_lasting(lab)
    for host in hosts:
        lasting = lasting.keep_off(host.name, name)
    write_lasting(lab, lasting)
    power.cut(lab, hosts)
    return tuple(f"{host.name}: off, and stays off" for host in hosts)


def _let_on(lab: Lab, hosts: Sequence[LabHost], *, tell: Tell) -> tuple[str, ...]:
    lasting = read_lasting(lab)
    for host in hosts:
        lasting = lasting.let_on(host.name)
    write_lasting(lab, lasting)
    power.power_on(lab, hosts, tell=tell)
    return tuple(f"{host.name}: has power again" for host in hosts)


def _while_off(
    lab: Lab,
    hosts: Sequence[LabHost],
    work: Callable[[LabHost], str],
    *,
    tell: Tell,
    late: bool = False,
) -> tuple[str, ...]:
    was_on = power.cut(lab, hosts)
    done = tuple(work(host) for host in hosts)
    not_waited = frozenset(host.name for host in hosts) if late else frozenset()
    power.power_on(lab, was_on, tell=tell, late=not_waited)
    return done


def _delay(lab: Lab, host: LabHost, seconds: int) -> str:
    unit = f"""\
[Service]
TimeoutStartSec={seconds + 60}
ExecStartPre=
ExecStartPre=/bin/sleep {seconds}
ExecStartPost=/bin/rm -f /{SLOW_SSH}
"""
    unpack(lab.container(host), archive({SLOW_SSH: (unit.encode(), 0o644)}))
    return f"{host.name}: its next boot takes {seconds} s longer until SSH answers"


def _give_keys_back(lab: Lab, host: LabHost) -> str:
    unpack(lab.container(host), host_keys(lab, host))
    if host.name in power.running(lab):
        execute(lab.container(host), "systemctl try-restart ssh.service\n")
    return f"{host.name}: has the keys again that known_hosts has"


def _put_back(lab: Lab, host: LabHost, disk: str) -> str:
    write_lasting(lab, read_lasting(lab).put_in(host.name, disk))
    return f"{host.name}: disk {disk} is in again"
