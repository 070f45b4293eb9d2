"""Each nameserver answers the client, through the routers: the site's names, and no others."""

from __future__ import annotations

import functools
import re

import pytest

minimum_checks = 7


@pytest.fixture(scope="module")
def asked(client):
    """Ask a nameserver from the client; one that once gave no answer is not waited for again."""
    silent = {}

    def ask(server, query):
        if server not in silent:
            answer = client.run(f"timeout 10 dig @{server} +tries=1 +time=1 {query}")
            if answer.rc == 0:
                return answer.stdout
            silent[server] = answer.stdout.strip() or answer.stderr.strip()
        return pytest.fail(f"{server} does not answer the client: {silent[server]}")

    return ask


@pytest.fixture
def dig(asked, variables, address_of):
    """Ask the nameserver under test: `dig("+short ns1.hosting-a.internal")`."""
    server = address_of(variables["inventory_hostname"])
    asked(server, f"{variables['site_domain']} SOA")
    return functools.partial(asked, server)


@pytest.fixture
def names(variables, on, address_of):
    """Name -> address of every host that stands on a data network."""
    hosts = [name for name in variables["groups"]["all"]
             if "networks" in on(name).ansible.get_variables()]  # fmt: skip
    return {f"{name}.{variables['site_domain']}": address_of(name) for name in hosts}


def status(answer):
    found = re.search(r"status: (\w+)", answer)
    return found.group(1) if found else f"no answer: {answer.strip()[-200:]}"


def test_unbound_runs(host):
    state = host.run("timeout 10 systemctl is-active unbound").stdout.strip()
    assert state == "active", f"unbound is {state}"


def test_knows_every_host(dig, names):
    answer = dig("+noall +answer " + " ".join(names))
    told = {line.split()[0].rstrip("."): line.split()[4]
            for line in answer.splitlines() if " A" in line.replace("\t", " ")}  # fmt: skip
    wrong = {name: told.get(name) for name in names if told.get(name) != names[name]}
    assert not wrong, f"told {wrong}, must be {names}; {answer.strip()[-200:]}"


def test_knows_every_service_name(dig, variables, address_of):
    for alias, hosts in variables["dns_aliases"].items():
        told = dig(f"+short {alias}.{variables['site_domain']}").split()
        assert sorted(told) == sorted(map(address_of, hosts)), f"{alias} is {told}"


def test_knows_the_names_of_addresses(dig, names):
    asked = list(names.items())
    told = dig("+short " + " ".join(f"-x {address}" for _, address in asked)).split()
    assert told == [f"{name}." for name, _ in asked], told


def test_answers_over_tcp(dig, variables, names):
    name = f"{variables['inventory_hostname']}.{variables['site_domain']}"
    told = dig(f"+tcp +short {name}").strip()
    assert told == names[name], told


def test_says_that_an_unknown_name_does_not_exist(dig, variables):
    answer = dig(f"no-such-host.{variables['site_domain']}")
    assert status(answer) == "NXDOMAIN", status(answer)


def test_refuses_names_outside_at_once(dig):
    answer = dig("www.example.org")
    assert status(answer) == "REFUSED", status(answer)
    took = int(re.search(r"Query time: (\d+) msec", answer).group(1))
    assert took < 500, f"it took {took} ms to refuse: it asked somebody first"


def test_consumers_find_a_host_by_its_short_name(client, address_of):
    found = client.run("timeout 10 getent ahostsv4 ldap1").stdout
    assert address_of("ldap1") in found.split(), f"ldap1 is {found or 'not found'}"
