"""The routers route: they filter, forward, know each other, and share the gateways' addresses."""

from __future__ import annotations

import json
import re

import pytest

minimum_checks = 14

# Exits 0 when the kernel has the rules of the file and nothing else.
EXACTLY_THE_FILE = (
    "wanted=$(timeout 10 unshare --net sh -c"
    " 'nft --file /etc/nftables.conf && nft --stateless list ruleset')"
    ' && test -n "$wanted" && test "$(nft --stateless list ruleset)" = "$wanted"'
)


@pytest.fixture
def others(variables):
    return [
        name for name in variables["groups"]["routers"] if name != variables["inventory_hostname"]
    ]


@pytest.fixture
def gateways(variables):
    prefixes = variables["network_prefixes"]
    return {f"{prefixes[name]}.{variables['gateway_number']}" for name in variables["networks"]}


def addresses(router):
    shown = json.loads(router.check_output("ip -json -4 address show up"))
    return {f"{entry['ifname']} {found['local']}/{found['prefixlen']}"
            for entry in shown for found in entry["addr_info"]}  # fmt: skip


@pytest.mark.parametrize("service", ["frr", "keepalived"])
def test_its_services_run(host, service):
    state = host.run("timeout 10 systemctl is-active %s", service).stdout.strip()
    assert state == "active", f"{service} is {state}"


@pytest.mark.parametrize(
    ("service", "files"),
    [
        ("frr", "/etc/frr/frr.conf /etc/frr/daemons"),
        ("keepalived", "/etc/keepalived/keepalived.conf"),
    ],
)
def test_runs_with_the_configuration_on_disk(host, service, files):
    younger = host.run(f"find {files} -newer /run/systemd/units/invocation:{service}.service")
    assert younger.rc == 0, f"{service}'s configuration: {younger.stderr.strip()}"
    assert not younger.stdout, f"{service} was started before these were written: {younger.stdout}"


def test_has_an_address_on_every_network(host, variables):
    number = variables["host_number"]
    wanted = {f"{network} {variables['network_prefixes'][network]}.{number}/24"
              for network in variables["networks"]}  # fmt: skip
    wanted.add(f"lo {variables['loopback_prefix']}.{number}/32")
    assert wanted <= addresses(host), f"missing: {sorted(wanted - addresses(host))}"


def test_forwards_packets(host):
    assert host.check_output("sysctl --values net.ipv4.ip_forward") == "1", "forwarding is off"


def test_carries_on_what_the_other_router_carried(host):
    liberal = host.check_output("sysctl --values net.netfilter.nf_conntrack_tcp_be_liberal")
    assert liberal == "1", "connections that the other router carried meanwhile are cut for ever"


def test_filters_what_it_forwards(host):
    rules = host.check_output("nft --stateless list ruleset")
    assert rules.count("policy drop;") == 2, f"nftables: input and forward must drop:\n{rules}"
    assert host.run(EXACTLY_THE_FILE).rc == 0, f"nftables: not the rules of its file:\n{rules}"


def test_lets_each_service_of_the_site_through(host, variables, address_of):
    # File and kernel may agree on rules from before a service came, or moved.
    rules = host.run("nft --numeric --stateless list chain inet filter between_networks").stdout
    named = [set(re.findall(r"[\w.]+", line)) for line in rules.splitlines()]
    for service in variables["routing_services"]:
        servers = {address_of(name) for name in variables["groups"][service["group"]]}
        wanted = servers | {str(port) for port in service["ports"]}
        assert any(wanted <= line for line in named), f"no rule lets {service['name']} through"


def test_learned_the_other_routers_by_ospf(host, variables, others, on):
    routes = json.loads(host.check_output("ip -json -4 route show proto ospf"))
    for other in others:
        loopback = (
            f"{variables['loopback_prefix']}.{on(other).ansible.get_variables()['host_number']}"
        )
        assert loopback in {route["dst"] for route in routes}, f"no route to {other}: {routes}"


def test_hears_the_other_routers_on_every_network(host, variables, others, address_of):
    shown = host.run("timeout 10 vtysh -c 'show ip ospf neighbor json'")
    assert shown.rc == 0, f"FRR does not answer: {shown.stderr.strip()}"
    neighbours = [
        entry for found in json.loads(shown.stdout)["neighbors"].values() for entry in found
    ]
    heard = {entry["ifaceAddress"]: entry["nbrState"] for entry in neighbours}
    for other in others:
        for network in variables["networks"]:
            state = heard.get(address_of(other, network), "not heard")
            assert state.startswith("Full"), f"{other} on {network}: {state}"


def test_each_gateway_is_on_one_router_and_all_on_the_same(host, gateways, others, variables, on):
    held = {variables["inventory_hostname"]: addresses(host)}
    held |= {other: addresses(on(other)) for other in others}
    holders = {router: sorted(g for g in gateways if any(f" {g}/" in found for found in shown))
               for router, shown in held.items()}  # fmt: skip
    assert sorted(map(len, holders.values())) == [0] * len(others) + [len(gateways)], holders


def test_consumers_reach_every_gateway(client, gateways):
    pings = [f"timeout 5 ping -c 1 -W 1 -q {gateway}" for gateway in sorted(gateways)]
    said = client.run(" && ".join(pings))
    assert said.rc == 0, f"a gateway does not answer the client: {said.stdout}{said.stderr}"


def test_consumers_reach_it_by_what_it_announces(client, variables):
    loopback = f"{variables['loopback_prefix']}.{variables['host_number']}"
    said = client.run("timeout 5 ping -c 1 -W 1 -q %s", loopback)
    assert said.rc == 0, f"{loopback} does not answer the client: {said.stdout}{said.stderr}"
