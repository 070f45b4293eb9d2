"""The servers that the benchmarks verify: ten containers of a lab, at more addresses on demand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.command import run
from benchmarks.world import DRCLI, fresh_home
from orchestrator.lab.definition import Lab, lab_folder, load_lab
from orchestrator.lab.podman import execute

SITE = "bench"
PROJECT = Path(__file__).with_name("site")
EACH = 20  # more addresses of each container: 200 hosts from ten
_FIRST = 21  # the last part of the first of them
_SSH = 22
GATE = Path("playbooks/servers/test_base.py")
HOSTS = Path("inventories") / SITE / "hosts.yml"


class CannotRun(Exception):  # noqa: N818 -- a fact of this machine, no mistake
    """A benchmark cannot run on this machine; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Servers:
    """A project whose site `bench` has these servers, and where their SSH is reached."""

    project: Path
    endpoints: frozenset[tuple[str, int]]


def require_lab() -> None:
    """Refuse where no lab can be made.

    Raises:
        CannotRun: no root, or no podman.
    """
    if os.geteuid() != 0:
        raise CannotRun("the lab needs root")
    if not shutil.which("podman"):
        raise CannotRun("podman is not installed")


@contextmanager
def ten_servers() -> Iterator[Lab]:
    """The lab of site bench, up and recovered; taken down at last, its images stay cached."""
    require_lab()
    with fresh_home() as env:
        try:
            run([DRCLI, "lab", "up", "--site", SITE, "--bare"], cwd=PROJECT, env=env)
            with fresh_home() as another:  # its connections must not outlast it
                run([DRCLI, "recover", "--site", SITE], cwd=PROJECT, env=another)
            yield load_lab(PROJECT, SITE)
        finally:
            run([DRCLI, "lab", "down", "--site", SITE], cwd=PROJECT, env=env)


@contextmanager
def as_they_are(lab: Lab) -> Iterator[Servers]:
    """The ten servers at their own addresses."""
    hosts = {host.name: (host.address, _SSH) for host in lab.hosts}
    with _project(lab, hosts, lab.folder / "known_hosts") as servers:
        yield servers


@contextmanager
def delayed(lab: Lab, *, milliseconds: float) -> Iterator[Servers]:
    """The ten servers, each byte under way so long, each way."""
    targets = [f"{host.address}:{_SSH}" for host in lab.hosts]
    proxy = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.delay_proxy", f"{milliseconds:g}", *targets],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        ports = json.loads(proxy.stdout.readline()) if proxy.stdout else []
        hosts = {h.name: ("127.0.0.1", port) for h, port in zip(lab.hosts, ports, strict=True)}
        with tempfile.NamedTemporaryFile("w", prefix="drcli-known-", encoding="ascii") as known:
            keys = _keys(lab)
            for host, port in zip(lab.hosts, ports, strict=True):
                known.write(f"[127.0.0.1]:{port} {keys[host.address]}\n")
            known.flush()
            with _project(lab, hosts, Path(known.name)) as servers:
                yield servers
    finally:
        proxy.terminate()
        proxy.wait()


@contextmanager
def many(lab: Lab) -> Iterator[Servers]:
    """Two hundred hosts: twenty addresses on each of the ten servers, their SSH ready for it."""
    keys = _keys(lab)
    hosts: dict[str, tuple[str, int]] = {}
    network = lab.file.management_network
    with tempfile.NamedTemporaryFile("w", prefix="drcli-known-", encoding="ascii") as known:
        for number, host in enumerate(lab.hosts):
            first = _FIRST + number * EACH
            addresses = [str(network.network_address + first + more) for more in range(EACH)]
            hosts |= {f"{host.name}-{a.rpartition('.')[2]}": (a, _SSH) for a in addresses}
            known.writelines(f"{address} {keys[host.address]}\n" for address in addresses)
            execute(lab.container(host), _become(addresses, network.prefixlen))
        known.flush()
        try:
            with _project(lab, hosts, Path(known.name)) as servers:
                yield servers
        finally:
            for host in lab.hosts:
                with suppress(Exception):
                    execute(lab.container(host), _UNDO)


_UNDO = """
rm -f /etc/ssh/sshd_config.d/many.conf
systemctl reload ssh
ip address flush dev eth0 secondary
"""


def _become(addresses: list[str], prefix: int) -> str:
    """A script that gives a server more addresses; its sshd then takes as many logins at once.

    By default it drops some of more than ten: real hosts have an sshd each.
    """
    lines = [f"ip address replace {address}/{prefix} dev eth0" for address in addresses]
    lines.append("echo MaxStartups 200 > /etc/ssh/sshd_config.d/many.conf")
    lines.append("systemctl reload ssh")
    return "\n".join(lines)


def _keys(lab: Lab) -> dict[str, str]:
    """The public host key at each address."""
    text = (lab_folder(lab.site) / "known_hosts").read_text(encoding="ascii")
    return {address: key for address, _, key in (line.partition(" ") for line in text.splitlines())}


@contextmanager
def _project(lab: Lab, hosts: dict[str, tuple[str, int]], known_hosts: Path) -> Iterator[Servers]:
    """A copy of the project with these hosts: name -> (address, port)."""
    with tempfile.TemporaryDirectory(prefix="drcli-b-site-") as folder:
        project = Path(folder) / "site"
        shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        inventory = {
            "all": {
                "children": {
                    "servers": {
                        "hosts": {
                            name: {"ansible_host": address, "ansible_port": port}
                            for name, (address, port) in hosts.items()
                        }
                    }
                }
            }
        }
        (project / HOSTS).write_text(json.dumps(inventory, indent=1), encoding="utf-8")
        common = f"-o UserKnownHostsFile={known_hosts} -o StrictHostKeyChecking=yes"
        variables = {
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(lab.folder / "id_ed25519"),
            "ansible_ssh_common_args": common,
        }
        path = project / HOSTS.parent / "group_vars" / "all.yml"
        path.write_text(json.dumps(variables, indent=1), encoding="utf-8")
        yield Servers(project=project, endpoints=frozenset(hosts.values()))
