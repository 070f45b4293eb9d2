"""A lab of its own, small and without services: nobody else's is touched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from lab_site import FAULTS, HOSTS, LAB, SITE, Site
from ruamel.yaml import YAML

from orchestrator.lab import build

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The small site, with no lab yet; whatever a test leaves is removed in the end."""
    if os.geteuid() != 0 or not shutil.which("podman"):
        pytest.fail("the lab needs root and podman: run `make setup` as root, or `-m 'not lab'`")
    project = tmp_path_factory.mktemp("project")
    folder = project / "inventories" / SITE
    (folder / "lab").mkdir(parents=True)
    (folder / "site.yml").write_text(f"site: {SITE}\n")
    (folder / "hosts.yml").write_text(HOSTS)
    # The same packages as hosting-a has: one base image serves both.
    real = YAML(typ="safe").load(PROJECT / "inventories/hosting-a/lab/lab.yml")
    (folder / "lab" / "lab.yml").write_text(LAB.format(packages=list(real["base_packages"])))
    (folder / "lab" / "faults.yml").write_text(FAULTS)
    yield Site(project)
    build.take_down(SITE, images=False, tell=lambda _: None)


@pytest.fixture
def up(site):
    """The small lab, complete and with power."""
    if not all(host.ssh for host in build.status(site.lab)):
        site.must("up", "--bare")
    return site
