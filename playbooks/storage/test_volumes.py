"""The data volumes are the right filesystems, whole, mirrored, mended and writable."""

from __future__ import annotations

import json

import pytest

minimum_checks = 13
SHOW = "timeout 20 volumes-mirror show"


@pytest.fixture
def mount_point(host):
    return host.ansible.get_variables()["volumes_mount_point"]


@pytest.fixture
def devices(host):
    return host.ansible.get_variables()["volumes_devices"]


@pytest.fixture
def mirror(host, mount_point):
    """The kernel's own view of the filesystem that fstab names, by its UUID."""
    recorded = host.run("findmnt --fstab --noheadings --output SOURCE %s", mount_point)
    assert recorded.stdout.startswith("UUID="), f"fstab names no UUID for {mount_point}"
    uuid = recorded.stdout.strip().removeprefix("UUID=")
    tree = f"/sys/fs/btrfs/{uuid}"
    assert host.file(tree).is_directory, f"filesystem {uuid} is not mounted by this kernel"
    return tree


def test_the_recorded_filesystem_is_mounted(host, mount_point, mirror):
    mounted = host.run("findmnt --json --output FSTYPE,UUID,SOURCE %s", mount_point)
    assert mounted.rc == 0, f"nothing is mounted at {mount_point}"
    (found,) = json.loads(mounted.stdout)["filesystems"]
    assert found["fstype"] == "btrfs", f"{mount_point} is {found}, not a btrfs volume"
    assert mirror.endswith(found["uuid"]), f"{mount_point} is {found['uuid']}, not {mirror}"


def test_it_is_not_the_root_disk(host, mount_point):
    numbers = host.check_output("timeout 10 stat --format %%d / %s", mount_point).split()
    assert len(set(numbers)) == 2, f"{mount_point} lies on the root disk: data would go there"


def test_both_devices_are_members(host, mount_point, devices, mirror):
    state = json.loads(host.check_output(f"{SHOW} {mount_point} {' '.join(devices)}"))
    legs = {leg["device"]: f"{leg['state']} ({leg['what']})" for leg in state["legs"]}
    assert all(leg.startswith("member") for leg in legs.values()), f"legs of {mirror}: {legs}"


def test_no_device_is_missing(host, mount_point):
    shown = host.check_output("timeout 20 btrfs filesystem show %s", mount_point)
    assert "Total devices 2" in shown, f"not two devices: {shown}"
    assert "MISSING" not in shown, f"a device is missing: {shown}"


@pytest.mark.parametrize("kind", ["data", "metadata", "system"])
def test_everything_is_mirrored(host, mirror, kind):
    profiles = host.check_output(
        f"find {mirror}/allocation/{kind} -mindepth 1 -type d -printf '%f '"
    )
    assert profiles.split() == ["raid1"], f"{kind} is stored as {profiles.split()}"


def test_it_was_scrubbed_after_this_boot(host, mount_point):
    state = host.run("timeout 10 systemctl is-active volumes-scrub.service").stdout.strip()
    assert state == "active", f"volumes-scrub is {state}: not read through since this boot"
    errors = host.check_output("timeout 20 btrfs scrub status -R %s", mount_point)
    assert "uncorrectable_errors: 0" in errors, f"last scrub: {errors}"


@pytest.mark.usefixtures("mirror")  # else the root disk would be looked at
def test_every_file_has_checksums(host, mount_point):
    # Not by the scrub's own count: after a power cut it has blocks that no file refers to any more.
    shown = host.run("timeout 20 lsattr -R -a %s | awk 'NF == 2 && $1 ~ /C/'", mount_point)
    assert shown.rc == 0, f"lsattr: {shown.stderr}"
    assert not shown.stdout, f"damage to files without copy-on-write goes unseen: {shown.stdout}"


def test_no_errors_were_met_since_the_scrub(host, mount_point):
    stats = host.run("timeout 20 btrfs device stats --check %s", mount_point)
    met = [line for line in stats.stdout.splitlines() if not line.endswith(" 0")]
    assert stats.rc == 0, f"errors since the scrub: {met or stats.stderr}"


@pytest.mark.usefixtures("mirror")  # else the root disk would be written
def test_it_can_be_written(host, mount_point):
    file = f"{mount_point}/.gate-{host.backend.get_pytest_id().rsplit('/', maxsplit=1)[-1]}"
    wrote = host.run(
        f"echo gate | timeout 20 dd of={file} conv=fsync status=none && cat {file}; rm -f {file}"
    )
    assert wrote.stdout.strip() == "gate", f"a write to {mount_point} said: {wrote.stderr}"


@pytest.mark.usefixtures("mirror")  # else the root disk would be looked at
def test_there_is_room(host, mount_point):
    used = host.check_output("timeout 10 df --output=pcent %s", mount_point).split()[-1]
    assert int(used.rstrip("%")) <= 90, f"{mount_point} is {used} full"


def test_the_witness_is_kept(host):
    state = host.run("timeout 10 systemctl is-active volumes-witness.timer").stdout.strip()
    assert state == "active", f"volumes-witness.timer is {state}"
    show = "timeout 10 systemctl show --property=%s --value volumes-witness.service"
    # Not ExecMainExitTimestamp: that is empty while it runs, each quarter of a minute.
    assert host.check_output(show, "InactiveEnterTimestamp"), "the witness was not kept yet"
    result = host.check_output(show, "Result")
    assert result == "success", f"volumes-witness.service, which keeps it, ended with {result}"
