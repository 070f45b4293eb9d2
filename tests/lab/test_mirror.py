"""The tool of the volumes role on real mirrors: two loop devices of this machine each."""

from __future__ import annotations

import os
import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

import pytest
from on_the_lab import PROJECT

pytestmark = pytest.mark.lab

SIZE = 1 << 30  # bytes of each device


def load():
    path = PROJECT / "playbooks/roles/volumes/files/volumes-mirror"
    loader = SourceFileLoader("volumes_mirror", str(path))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


tool = load()


def run(*argv):
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


class Mirror:
    """A mirrored filesystem on two devices, `legs`."""

    def __init__(self, folder):
        self._files = [folder / "data0", folder / "data1"]
        self.legs = []
        self.at = folder / "mounted"
        self.at.mkdir()
        for file in self._files:
            with file.open("wb") as disk:
                disk.truncate(SIZE)
            self.legs.append(run("losetup", "--find", "--show", str(file)))
        run("mkfs.btrfs", "-q", "-d", "raid1", "-m", "raid1", *self.legs)
        self.uuid = run("blkid", "-p", "-s", "UUID", "-o", "value", self.legs[0])
        self.mount()

    def mount(self, options="noatime"):
        run("mount", "-o", options, self.legs[0], str(self.at))

    def unmount(self):
        run("umount", str(self.at))

    def leg(self, number):
        return tool.leg(self.legs[number], self.uuid)

    def fill(self):
        """Write until nothing more can be written: now every byte belongs to a chunk."""
        filler = ["dd", "if=/dev/urandom", f"of={self.at}/much", "bs=1M", "conv=fsync"]
        ended = subprocess.run(filler, check=False, capture_output=True, text=True)
        assert "No space left" in ended.stderr

    def give_a_blank_disk(self):
        """What stands in place of the second leg is as new; the mirror is mounted without it."""
        self.unmount()
        run("losetup", "--detach", self.legs[1])
        os.truncate(self._files[1], 0)
        os.truncate(self._files[1], SIZE)
        run("losetup", self.legs[1], str(self._files[1]))
        run("btrfs", "device", "scan", "--forget")
        run("btrfs", "device", "scan", self.legs[0])
        self.mount("noatime,degraded")

    def remove(self):
        if os.path.ismount(self.at):
            self.unmount()
        for device in self.legs:
            run("losetup", "--detach", device)


@pytest.fixture
def mirror(tmp_path):
    mirror = Mirror(tmp_path)
    yield mirror
    mirror.remove()


@pytest.fixture
def once_full(mirror):
    """A mirror that was full once, holds little now, and lost a leg: no chunk can be made in it."""
    (mirror.at / "kept").write_bytes(b"kept" * 1_000_000)
    mirror.fill()
    (mirror.at / "much").unlink()
    run("sync", "--file-system", str(mirror.at))
    mirror.give_a_blank_disk()
    return mirror


def test_a_new_disk_takes_the_place_of_a_lost_one(mirror):
    (mirror.at / "kept").write_bytes(b"kept" * 1_000_000)
    mirror.give_a_blank_disk()
    assert mirror.leg(1)["state"] == "blank"
    assert tool.replace(str(mirror.at), mirror.legs[1]) == 0
    assert tool.missing(str(mirror.at)) == []
    assert mirror.leg(1)["state"] == "member"


def test_also_in_a_mirror_that_was_full_once(once_full):
    # Linux copies a chunk when it may make another for what is written meanwhile: no room, no copy.
    assert tool.replace(str(once_full.at), once_full.legs[1]) == 0
    assert tool.missing(str(once_full.at)) == []
    assert (once_full.at / "kept").read_bytes() == b"kept" * 1_000_000


def test_a_disk_that_a_replacement_failed_on_is_blank_still(once_full):
    command = ["btrfs", "replace", "start", "-B", "2", once_full.legs[1], str(once_full.at)]
    failed = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "No space left" in failed.stderr
    assert once_full.leg(1)["state"] == "blank"
    assert tool.leg(once_full.legs[1], "another-filesystem")["state"] == "foreign"


def test_a_leg_that_was_taken_out_is_not_blank(mirror):
    # It may hold the only copy of what a person wants back.
    run("btrfs", "balance", "start", "-f", "-dconvert=single", "-mconvert=single", str(mirror.at))
    run("btrfs", "device", "remove", mirror.legs[1], str(mirror.at))
    assert mirror.leg(1)["state"] == "foreign"
