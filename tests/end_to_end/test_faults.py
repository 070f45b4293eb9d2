"""Two faults of each layer, out of the lab's catalogue: noticed where they are, mended or held.

`make faults` runs all of them (tests/reliability).
"""

from __future__ import annotations

import pytest
from faults_on_the_lab import read_site, try_fault

pytestmark = pytest.mark.lab

FAULTS = (
    "router-config-lost",
    "host-stays-off",
    "stale-lock",
    "two-primaries",
    "certificate-expired",
    "host-key-changed",
)


@pytest.fixture(scope="module")
def site(lab):
    """The plan and the catalogue."""
    return read_site(lab)


@pytest.mark.parametrize("name", FAULTS)
def test_fault(lab, site, name):
    row = try_fault(lab, site, name, look_below=False)
    assert not row.wrong, row


def test_each_layer_has_two_of_these_faults(site):
    layers = {c["name"]: c["layer"] for c in site.components}
    given = [layers[site.faults[name]["component"]] for name in FAULTS]
    assert sorted(given) == sorted([*set(layers.values())] * 2)
