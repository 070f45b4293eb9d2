"""The directory knows its accounts, over TLS and by its name, as seen from the client."""

from __future__ import annotations

import pytest

minimum_checks = 9


@pytest.fixture
def name(variables):
    return variables["directory_name"]


@pytest.fixture
def people(variables):
    return f"ou=people,{variables['directory_suffix']}"


@pytest.fixture
def user(people):
    return f"uid=user07,{people}"


@pytest.fixture
def ask(client, user):
    """Run one of the LDAP tools on the client as a user, who by default knows the password."""

    def run(tool, url, credential="-y /root/.ldap-password"):
        command = f"timeout 15 {tool} -x -o nettimeout=3 -D {user} {credential} {url}"
        return client.run(command + " || exit $(($? == 255 ? 1 : $?))")  # 255 is ssh's own

    return run


def test_slapd_runs(host):
    state = host.run("timeout 10 systemctl is-active slapd").stdout.strip()
    assert state == "active", f"slapd is {state}"


def test_its_data_is_in_its_place(host, variables):
    folder = variables["directory_data"]
    size = host.run("stat --format %%s %s/data.mdb", folder)
    assert size.rc == 0, f"slapd has no data on disk: {size.stderr.strip()}"
    assert int(size.stdout) > 0, f"{folder}/data.mdb is empty"


def test_the_name_leads_to_this_host(client, name, variables, address_of):
    found = client.run("timeout 10 getent ahostsv4 %s", name).stdout.split()[:1]
    expected = [address_of(variables["inventory_hostname"])]
    assert found == expected, f"the client takes {name} for {found}, it is {expected}"


def test_a_user_is_known_over_ldaps(ask, name, user):
    said = ask("ldapwhoami", f"-H ldaps://{name}")
    assert said.stdout.strip() == f"dn:{user}", f"rc {said.rc}: {said.stderr.strip()}"


def test_a_user_is_known_over_starttls(ask, name, user):
    said = ask("ldapwhoami", f"-ZZ -H ldap://{name}")
    assert said.stdout.strip() == f"dn:{user}", f"rc {said.rc}: {said.stderr.strip()}"


def test_a_wrong_password_is_refused(ask, name):
    said = ask("ldapwhoami", f"-H ldaps://{name}", credential="-w wrong")
    assert said.rc == 49, f"not refused (49) but {said.rc}: {said.stderr}{said.stdout}"


def test_a_password_in_clear_is_refused(ask, name):
    said = ask("ldapwhoami", f"-H ldap://{name}")
    assert said.rc == 13, f"not refused (13) but {said.rc}: {said.stderr}{said.stdout}"


def test_every_account_is_there(ask, name, people, variables):
    said = ask("ldapsearch -LLL", f"-H ldaps://{name} -b {people} '(objectClass=person)' uid")
    found = [line for line in said.stdout.splitlines() if line.startswith("uid: ")]
    expected = variables["directory_accounts"]
    assert len(found) >= expected, f"{len(found)} of {expected} accounts: {said.stderr.strip()}"


def test_the_certificate_holds_for_a_while(client, name, variables):
    days = variables["directory_certificate_margin"]
    shown = client.run(
        f"timeout 10 openssl s_client -connect {name}:636 -verify_hostname {name}"
        " -CAfile /etc/ssl/certs/hosting-a.pem < /dev/null"
        f" | openssl x509 -noout -enddate -checkend {days * 86400}"
    )
    errors = [line for line in shown.stderr.splitlines() if "verify error" in line]
    assert not errors, f"the site's CA does not vouch for {name}: {errors}"
    assert shown.rc == 0, f"not {days} days left: {shown.stdout.strip()} {shown.stderr[-200:]}"
