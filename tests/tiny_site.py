"""A site of three hosts for the lab's own tests: one server with a disk, one beside it, one client.

Its server keeps notes: one line each in a file on its disk, acknowledged when the line is there. A
file /etc/notes-never-sync makes it lie about that.
"""

from __future__ import annotations

import json
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SITE = "tiny"
SERVER = """\
import os, socketserver
class Notes(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            if line.startswith(b"?"):
                self.wfile.write(open("/srv/notes/log", "rb").read() + b"end\\n")
                continue
            with open("/srv/notes/log", "ab") as log:
                log.write(line)
                log.flush()
                if not os.path.exists("/etc/notes-never-sync"):
                    os.fsync(log.fileno())
            self.wfile.write(b"ok\\n")
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(("10.9.9.21", 7000), Notes).serve_forever()
"""
WRITER = """\
import json, socket, time, uuid
server = socket.create_connection(("10.9.9.21", 7000), timeout=5).makefile("rwb", 0)
while True:
    note = uuid.uuid4().hex
    server.write(note.encode() + b"\\n")
    if server.readline() == b"ok\\n":
        print(json.dumps({"kind": "note", "note": note}), flush=True)
    time.sleep(0.01)
"""
READER = """\
import json, socket, sys
server = socket.create_connection(("10.9.9.21", 7000), timeout=5).makefile("rwb", 0)
server.write(b"?\\n")
there = set(iter(lambda: server.readline().decode().strip(), "end"))
for line in sys.stdin:
    if json.loads(line)["note"] not in there:
        print(line.strip())
"""
NOTES_UNIT = """\
[Service]
ExecStart=/usr/bin/python3 /usr/local/bin/notes
[Install]
WantedBy=multi-user.target
"""
CLIENT_UNIT = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/ip address replace 10.9.9.91/24 dev data
[Install]
WantedBy=multi-user.target
"""


HELD = {"expect": "held", "reason": "srv1", "undo": "true"}
MENDED = {"expect": "recovered", "proof": "true"}
FAULTS = [
    {"name": name, "explains": "The server is broken.", "effect": "Nobody takes notes.",
     "component": "notes", "hosts": ["srv1"], **more}
    for name, more in {
        "unmounted": HELD | {"script": "systemctl stop notes; umount $notes",
                             "undo": "mount -t btrfs /dev/data0 $notes; systemctl start notes"},
        "stays-off": HELD | {"power": "stays-off"},
        "disk-out": HELD | {"disk": {"name": "data0", "do": "detach"}},
        "disk-blank": MENDED | {"disk": {"name": "data0", "do": "blank"}},
        "disk-noise": MENDED | {"disk": {"name": "data0", "do": "corrupt", "length": "1M"}},
        "late": HELD | {"boot_delay": 300},
        "other-key": HELD | {"host_key": "new"},
    }.items()
]  # fmt: skip


def make_tiny_site(project: Path, *, packages: list[str]) -> Path:
    """Write the project; `packages` are those of a site whose image is likely to be there."""
    lab = project / "inventories" / SITE / "lab"
    layer = project / "playbooks" / "storage"
    for folder in (lab / "provision", layer):
        folder.mkdir(parents=True)
    (project / "ansible.cfg").write_text((PROJECT / "ansible.cfg").read_text())
    _write(lab.parent / "site.yml", {"site": SITE, "layers": [
        {"name": "storage", "components": [{"name": "notes", "hosts": "servers"}]},
    ]})  # fmt: skip
    data = {"networks": ["data"]}
    _write(lab.parent / "hosts.yml", {"all": {"children": {
        "servers": {"hosts": {"srv1": {"host_number": 21, "lab_disks": {"data0": "200M"}, **data}}},
        "others": {"hosts": {"srv2": {"host_number": 22, "power_feed": "B", **data}}},
        "clients": {"hosts": {"client1": {"host_number": 91, "lab_outside": True, **data}}},
    }}})  # fmt: skip
    python = "/usr/bin/python3"
    _write(lab / "lab.yml", {
        "networks": ["data"],
        "packages": packages,
        "writers": [{"name": "notes", "host": "client1", "command": [python, "/root/writer"]}],
        "reader": {"name": "notes", "host": "client1", "command": [python, "/root/reader"]},
        "seed_writes": 5,
        "after_cut": [{"hosts": ["srv2"], "script": "touch /root/left-by-the-cut"}],
    })  # fmt: skip
    _write(lab / "faults.yml", {"prelude": "notes=/srv/notes", "faults": FAULTS})
    _write(lab / "provision" / "outside.yml", _play("clients", [
        _copy(WRITER, "/root/writer"),
        _copy(READER, "/root/reader"),
        _copy(CLIENT_UNIT, "/etc/systemd/system/client.service"),
        _command("systemctl enable --now client"),
    ]))  # fmt: skip
    _write(lab / "provision" / "notes.yml", _play("servers", [
        _copy(SERVER, "/usr/local/bin/notes"),
        _copy(NOTES_UNIT, "/etc/systemd/system/notes.service"),
        _command("mkfs.btrfs --quiet --force /dev/data0"),
        _command("mkdir --parents /srv/notes"),
    ]))  # fmt: skip
    _write(layer / "notes.yml", _play("servers", [
        _command("ip address replace 10.9.9.21/24 dev data"),
        _command("mount -t btrfs -o noatime /dev/data0 /srv/notes"),
        _command("systemctl start notes"),
    ]))  # fmt: skip
    return project


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1))  # JSON is YAML


def _play(hosts: str, tasks: list[object]) -> list[object]:
    return [{"hosts": hosts, "gather_facts": False, "tasks": tasks}]


def _copy(content: str, dest: str) -> object:
    return {"ansible.builtin.copy": {"content": content, "dest": dest, "mode": "0644"}}


def _command(line: str) -> object:
    return {"ansible.builtin.command": line}
