"""What makes a container a host of the lab: its own key, and the keys of the whole lab."""

from __future__ import annotations

import io
import subprocess
import tarfile
from types import SimpleNamespace

import pytest

from orchestrator.lab.access import identity


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "host_keys").mkdir()
    for name in ("id_ed25519", "host_keys/db1", "host_keys/bk1"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", tmp_path / name]
        subprocess.run(words, check=True)
    return SimpleNamespace(folder=tmp_path)


def files_of(instance, name):
    with tarfile.open(fileobj=io.BytesIO(identity(instance, SimpleNamespace(name=name)))) as tar:
        return {member.name: (tar.extractfile(member).read(), member.mode) for member in tar}


def known(address, tmp_path, files):
    """The key types and keys that a host accepts of an address."""
    path = tmp_path / "known"
    path.write_bytes(files["etc/ssh/ssh_known_hosts"][0])
    words = ["ssh-keygen", "-F", address, "-f", path]
    found = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return {tuple(line.split()[1:3]) for line in found.splitlines() if not line.startswith("#")}


def test_each_host_knows_the_keys_of_the_whole_lab_whatever_their_addresses(instance, tmp_path):
    wanted = {
        tuple((tmp_path / "host_keys" / f"{name}.pub").read_text().split()[:2])
        for name in ("db1", "bk1")
    }
    for name in ("db1", "bk1"):
        assert known("10.77.2.41", tmp_path, files_of(instance, name)) == wanted


def test_a_host_has_its_own_key_for_itself_alone(instance, tmp_path):
    files = files_of(instance, "db1")
    key, mode = files["etc/ssh/ssh_host_ed25519_key"]
    assert key == (tmp_path / "host_keys" / "db1").read_bytes()
    assert mode == 0o600
    other = (tmp_path / "host_keys" / "bk1").read_bytes()
    assert other not in {content for content, _ in files.values()}
    assert files["etc/hostname"][0] == b"db1\n"
