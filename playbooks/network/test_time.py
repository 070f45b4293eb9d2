"""Each timeserver gives the probe, through the routers, the controller's time to a second."""

from __future__ import annotations

import re
import time

import pytest

minimum_checks = 5
TOLERANCE = 1.0  # seconds


@pytest.fixture
def tracking(host):
    """What chronyd thinks of its own clock: reference, address, stratum, ..., leap status."""
    shown = host.run("chronyc -n -c tracking")
    assert shown.rc == 0, f"chronyd does not answer: {shown.stdout}{shown.stderr}"
    return shown.stdout.strip().split(",")


def test_chronyd_runs(host):
    state = host.run("systemctl is-active chrony").stdout.strip()
    assert state == "active", f"chrony is {state}"


def test_gives_the_time_of_the_controller(probe, variables, address_of):
    server = address_of(variables["inventory_hostname"])
    asked = probe.run(f"chronyd -Q -t 2 'server {server} iburst maxsamples 1'")
    ahead = re.search(r"wrong by (-?[\d.]+) seconds", asked.stdout + asked.stderr)
    assert ahead, f"{server} gives no time:\n{asked.stdout}{asked.stderr}"
    before = time.time()
    shown = float(probe.check_output("date +%s.%N"))
    after = time.time()
    # the probe's own clock was read between two readings of the controller's
    least, most = shown - after + float(ahead[1]), shown - before + float(ahead[1])
    apart = max(least, -most, 0.0)
    assert apart < TOLERANCE, f"{server} is {least:.2f} to {most:.2f} s ahead of the controller"


def test_trusts_its_time(tracking):
    assert tracking[-1] == "Normal", f"leap status: {tracking[-1]}"
    assert 1 <= int(tracking[2]) <= 10, f"stratum {tracking[2]}: nobody would believe it"


def test_hears_the_other_timeservers(host, variables, address_of):
    lines = [line.split(",") for line in host.run("chronyc -n -c sources").stdout.splitlines()]
    reach = {line[2]: line[5] for line in lines}
    for other in variables["groups"]["timeservers"]:
        if other != variables["inventory_hostname"]:
            assert reach.get(address_of(other), "0") != "0", f"{other} is not heard: {lines}"


def test_agrees_with_the_other_timeservers(host, variables, address_of):
    """Asked anew: of one that follows this host chronyd keeps a sample of long ago for ever."""

    def ahead(server):
        asked = host.run(f"chronyd -Q -t 2 'server {server} iburst maxsamples 1'")
        found = re.search(r"wrong by (-?[\d.]+) seconds", asked.stdout + asked.stderr)
        assert found, f"{server} gives no time:\n{asked.stdout}{asked.stderr}"
        return float(found[1])

    own = ahead("127.0.0.1")
    for other in variables["groups"]["timeservers"]:
        if other != variables["inventory_hostname"]:
            apart = ahead(address_of(other)) - own
            assert abs(apart) < TOLERANCE, f"{other} is {apart:+.2f} s from this one"
