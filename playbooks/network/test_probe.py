"""The probe reaches every network through the routers, and nothing that they keep from it."""

from __future__ import annotations

import pytest

minimum_checks = 8

# Prints the addresses whose SSH answers, all tried at once.
WHOSE_SSH_ANSWERS = """
for address in {}; do
    (timeout 1 bash -c 'echo >/dev/tcp/'$address'/22' && echo $address) &
done; wait
"""


@pytest.fixture
def routers(variables):
    return variables["groups"]["routers"]


def test_has_its_address(host, variables, address_of):
    wanted = address_of(variables["inventory_hostname"])
    shown = host.check_output("ip -4 -oneline address show up")
    assert f" {wanted}/24 " in shown, f"{wanted} is not up:\n{shown}"


def test_sends_everything_else_to_the_gateway(host, variables, address_of):
    gateway = (
        f"{variables['network_prefixes'][variables['networks'][0]]}.{variables['gateway_number']}"
    )
    route = host.run(f"ip route get {address_of(variables['groups']['nameservers'][0])}")
    assert f"via {gateway} " in route.stdout, route.stdout or route.stderr


@pytest.mark.parametrize("network", ["core", "storage", "application"])
def test_reaches_the_gateway_of(host, variables, network):
    gateway = f"{variables['network_prefixes'][network]}.{variables['gateway_number']}"
    ping = host.run(f"ping -c 1 -W 1 {gateway}")
    assert ping.rc == 0, f"{gateway} does not answer:\n{ping.stdout}{ping.stderr}"


def test_reaches_every_router_by_what_they_learned(host, routers, on):
    for router in routers:
        known = on(router).ansible.get_variables()
        loopback = f"{known['loopback_prefix']}.{known['host_number']}"
        ping = host.run(f"ping -c 1 -W 1 {loopback}")
        assert ping.rc == 0, f"{router}, {loopback}, does not answer:\n{ping.stdout}{ping.stderr}"


def test_is_kept_from_what_it_needs_not(host, routers, variables, address_of):
    others = [address_of(router, variables["networks"][0]) for router in routers]
    others += [address_of(name) for name in variables["groups"]["nameservers"]]
    tried = host.run("bash -c %s", WHOSE_SSH_ANSWERS.format(" ".join(others)))
    assert not tried.stdout, f"SSH answers through the data networks: {tried.stdout.split()}"


def test_knows_whom_to_ask_for_names(host, variables):
    text = host.file("/etc/resolv.conf").content_string
    asked = [line.split()[1] for line in text.splitlines() if line.startswith("nameserver ")]
    assert asked == variables["nameserver_addresses"], text
    assert f"search {variables['site_domain']}\n" in text, text
