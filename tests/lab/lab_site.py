"""A small site without services, and the real command on its lab."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from orchestrator.lab.definition import LAB_ROOT, load_lab

SITE = "tiny-lab"
HOSTS = """\
all:
  hosts:
    one: {ansible_host: 10.78.0.11, power_feed: A, networks: [left, right]}
    two: {ansible_host: 10.78.0.12, power_feed: B, networks: [left], lab_disks: {data0: 16M}}
  vars:
    lab_image: plain
    ansible_user: root
    ansible_ssh_private_key_file: /var/lib/drcli/lab/tiny-lab/id_ed25519
    ansible_ssh_common_args: -o UserKnownHostsFile=/var/lib/drcli/lab/tiny-lab/known_hosts
"""
LAB = """\
management_network: 10.78.0.0/24
networks: [left, right]
base_packages: {packages}
images: {{plain: []}}
writers:
  - name: rows
    host: one
    command:
      - >-
        i=0; while sleep 0.02; do i=$((i+1)); echo '{{"kind": "row", "id":' $i}}; done
reader: {{name: rows, host: one, command: ["grep -c nothing >&2 || true"]}}
after_cut: [left-behind]
"""
FAULTS = """\
faults:
  - name: left-behind
    explains: Something that a power event leaves on a host.
    component: none
    expect: recovered
    hosts: [one]
    script: echo left > /root/left-behind
  - {name: stays-off, explains: A host that does not come back at all., component: none,
     expect: held, hosts: [two], power: stays-off}
  - {name: new-key, explains: A host that shows another SSH key., component: none,
     expect: held, hosts: [two], host_key: new}
  - {name: slow, explains: A host whose SSH answers much later., component: none,
     expect: held, hosts: [two], boot_delay: 100}
  - {name: noise, explains: A disk that reads noise in one place., component: none,
     expect: recovered, hosts: [two], disk: {name: data0, do: corrupt, offset: 1M, length: 64K}}
  - {name: no-disk, explains: A disk that is not there any more., component: none,
     expect: held, hosts: [two], disk: {name: data0, do: detach}}
"""


@dataclass(frozen=True)
class Site:
    """The small site: its project, and the real command run in it."""

    project: Path

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        drcli = str(Path(sys.executable).with_name("drcli"))
        return subprocess.run(
            [drcli, "lab", *words, "--site", SITE],
            cwd=self.project,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )

    def must(self, *words: str) -> str:
        done = self(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    @property
    def lab(self):
        return load_lab(self.project, SITE)

    def inside(self, host: str, script: str) -> str:
        return printed("podman", "exec", f"drcli-{SITE}-{host}", "sh", "-c", script)

    def ssh(self, host: str, script: str = "true") -> subprocess.CompletedProcess[str]:
        folder = LAB_ROOT / SITE
        return subprocess.run(
            ["ssh", "-i", folder / "id_ed25519", "-o", f"UserKnownHostsFile={folder}/known_hosts",
             "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "ConnectTimeout=5",
             f"root@{self.lab.host(host).address}", script],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )  # fmt: skip


def printed(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
