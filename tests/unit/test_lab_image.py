"""The image is named by the hash of what it is made of, and nothing in it starts by itself."""

import shutil
from pathlib import Path

import pytest

from orchestrator.lab import image
from orchestrator.lab.definition import LabFile
from orchestrator.lab.image import bootstrap_command, image_name


def test_the_same_definition_has_the_same_name_whatever_the_order_of_its_packages():
    one, two = LabFile(packages=("a1", "b1")), LabFile(packages=("b1", "a1"))
    assert image_name(one) == image_name(two)
    assert image_name(one).startswith("localhost/drcli-lab/host:")


@pytest.mark.parametrize("other", [LabFile(packages=("a1", "b1")), LabFile(suite="trixie")])
def test_another_definition_has_another_name(other):
    assert image_name(LabFile(packages=("a1",))) != image_name(other)


def test_a_changed_file_of_its_own_makes_another_image(tmp_path, monkeypatch):
    before = image_name(LabFile())
    (tmp_path / "etc").mkdir()
    monkeypatch.setattr(image, "ROOTFS", tmp_path)
    assert image_name(LabFile()) != before


def test_where_the_checkout_lies_makes_no_other_image(tmp_path, monkeypatch):
    copy = tmp_path / "rootfs"
    shutil.copytree(image.ROOTFS, copy)
    before = image_name(LabFile())
    monkeypatch.setattr(image, "ROOTFS", copy)
    assert image_name(LabFile()) == before


def test_it_is_made_from_the_configured_mirror(monkeypatch):
    line = "deb http://mirror.internal/debian bookworm main"
    monkeypatch.setattr(image, "mirror_of", lambda _: (line,))
    command = bootstrap_command(LabFile(packages=("slapd",)), Path("/x/root.tar"))
    assert command[-3:] == ["bookworm", "/x/root.tar", line]
    assert any(word.startswith("--include=") and "slapd" in word for word in command)


def test_links_of_sysv_go_before_the_presets_and_no_key_is_baked_in():
    hooks = " ".join(image._hooks())
    order = [hooks.index(step) for step in ("update-rc.d", "preset-all", "mask", "ssh_host_")]
    assert order == sorted(order)
