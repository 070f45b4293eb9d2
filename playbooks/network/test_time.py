"""Both timeservers give every network, through the routers, the controller's time to a second."""

from __future__ import annotations

import re
import time

import pytest

minimum_checks = 8
TOLERANCE = 1.0  # seconds
ASK = "timeout 10 chronyd -Q -t 2 'server %s iburst maxsamples 1'"


def ahead(host, server):
    """Seconds that the time a server gives is ahead of the host's own clock."""
    asked = host.run(ASK, server)
    found = re.search(r"wrong by (-?[\d.]+) seconds", asked.stdout + asked.stderr)
    assert found, f"{server} gives no time:\n{asked.stdout}{asked.stderr}"
    return float(found[1])


@pytest.fixture
def tracking(host):
    """What chronyd thinks of its own clock: reference, address, stratum, ..., leap status."""
    shown = host.run("timeout 10 chronyc -n -c tracking")
    assert shown.rc == 0, f"chronyd does not answer: {shown.stdout}{shown.stderr}"
    return shown.stdout.strip().split(",")


@pytest.fixture
def others(variables):
    return [
        name
        for name in variables["groups"]["timeservers"]
        if name != variables["inventory_hostname"]
    ]


def test_chronyd_runs(host):
    state = host.run("timeout 10 systemctl is-active chrony").stdout.strip()
    assert state == "active", f"chrony is {state}"


@pytest.mark.parametrize("network", ["core", "storage", "application"])
def test_a_client_of_every_network_is_given_the_time_of_the_controller(on, variables, network):
    placed = {on(name).ansible.get_variables()["networks"][0]: name
              for name in variables["groups"]["clients"]}  # fmt: skip
    client = on(placed[network])
    server = f"{variables['loopback_prefix']}.{variables['host_number']}"
    given = ahead(client, server)
    before = time.time()
    shown = float(client.check_output("date +%s.%N"))
    after = time.time()
    # the client's own clock was read between two readings of the controller's
    least, most = shown - after + given, shown - before + given
    apart = max(least, -most, 0.0)
    assert apart < TOLERANCE, f"{server} is {least:.2f} to {most:.2f} s ahead of the controller"


def test_trusts_its_time(tracking):
    assert tracking[-1] == "Normal", f"leap status: {tracking[-1]}"
    assert 1 <= int(tracking[2]) <= 10, f"stratum {tracking[2]}: nobody would believe it"


def test_hears_the_other_timeserver(host, others, address_of):
    lines = [line.split(",") for line in host.run("chronyc -n -c sources").stdout.splitlines()]
    reach = {line[2]: line[5] for line in lines}
    for other in others:
        assert reach.get(address_of(other), "0") != "0", f"{other} is not heard: {lines}"


def test_agrees_with_the_other_timeserver(host, others, address_of):
    """Asked anew: of one that follows this host chronyd keeps a sample of long ago for ever."""
    own = ahead(host, "127.0.0.1")
    for other in others:
        apart = ahead(host, address_of(other)) - own
        assert abs(apart) < TOLERANCE, f"{other} is {apart:+.2f} s from this one"


def test_runs_with_the_configuration_on_disk(host):
    unit = "/run/systemd/units/invocation:chrony.service"
    younger = host.run(f"find /etc/chrony/chrony.conf -newer {unit}")
    assert younger.rc == 0, f"chrony's configuration: {younger.stderr.strip()}"
    assert not younger.stdout, "chronyd was started before its configuration was written"
