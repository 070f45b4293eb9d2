"""One primary takes writes from the application network, one standby follows, nothing is lost."""

from __future__ import annotations

import secrets
import time

import pytest

from orchestrator.gate_reach import HostUnreachable

minimum_checks = 10

# As the server's own administrator, over its local socket.
PSQL = "timeout 10 psql -U postgres -h /run/postgresql -XAtqc %s"
CLIENT = "host=db1,db2 dbname=ledger user=ledger target_session_attrs=read-write connect_timeout=3"


@pytest.fixture
def sql(host):
    """Ask the server under test over its local socket; one value, or rows of `a|b`."""

    def ask(query, database="postgres"):
        answer = host.run(f"{PSQL} -d %s", query, database)
        assert answer.rc == 0, f"psql on this host said: {answer.stderr.strip()}"
        return answer.stdout.strip()

    return ask


@pytest.fixture
def is_primary(sql):
    return sql("SELECT NOT pg_is_in_recovery()") == "t"


@pytest.fixture
def peer(variables):
    (name,) = set(variables["groups"]["databases"]) - {variables["inventory_hostname"]}
    return name


@pytest.fixture
def standby(variables, is_primary, peer):
    """The name of the host that is not the primary."""
    return peer if is_primary else variables["inventory_hostname"]


@pytest.fixture
def primary(sql, is_primary, on, peer):
    """Ask the primary, whichever of the two it is; empty when it does not answer."""
    if is_primary:
        return sql
    return lambda query: on(peer).run(PSQL, query).stdout.strip()


@pytest.fixture
def alone(variables, sql):
    """The primary acknowledges without its standby, and a rule of the site file lets it."""
    return bool(variables.get("allow_async")) and sql("SHOW synchronous_standby_names") == ""


@pytest.fixture
def token(client, variables):
    """A row written now from the application network, through the routers, by a client's rights.

    Each server under test has a row of its own: they are looked at in the same moment.
    """
    new = secrets.token_hex(8)
    row = f"gate on {variables['inventory_hostname']}"
    upsert = (
        "INSERT INTO heartbeat VALUES (:'row', :'token')"
        " ON CONFLICT (name) DO UPDATE SET token = excluded.token RETURNING token"
    )
    command = "echo %s | timeout 15 psql -w -XAtq -v row=%s -v token=%s %s"
    written = client.run(command, upsert, row, new, CLIENT)
    assert written.rc != 124, "a write from the client hangs: commits wait for a standby"
    assert written.stdout.strip() == new, f"a write from the client said: {written.stderr.strip()}"
    return new


def test_the_service_runs(host):
    state = host.run("timeout 10 systemctl is-active postgresql@15-main").stdout.strip()
    assert state == "active", f"postgresql@15-main is {state}"


def test_it_listens_on_its_data_address_alone(host, variables, address_of):
    told = host.check_output("ss -Hltn sport = :5432").splitlines()
    listening = sorted(line.split()[3] for line in told)
    wanted = [f"{address_of(variables['inventory_hostname'])}:5432"]
    assert listening == wanted, f"PostgreSQL listens on {listening}, must on {wanted}"


def test_its_data_lie_on_the_volume_and_commits_are_durable(host, sql, variables):
    names = ("data_directory", "data_checksums", "fsync", "synchronous_commit", "full_page_writes")
    found = {name: sql(f"SHOW {name}") for name in names}
    wanted = dict.fromkeys(names, "on") | {"data_directory": variables["database_data_directory"]}
    assert found == wanted, f"settings are {found}"
    places = (variables["volumes_mount_point"], variables["database_data_directory"])
    numbers = host.check_output("timeout 10 stat --dereference --format %%d %s %s", *places).split()
    assert len(set(numbers)) == 1, f"{places[1]} does not lie on the filesystem of {places[0]}"


@pytest.mark.dark_peers_allowed
def test_exactly_one_host_is_the_primary(host, on, sql, variables, alone):
    mine = variables["inventory_hostname"]
    roles = {mine: sql("SELECT pg_is_in_recovery()")}
    for name in set(variables["groups"]["databases"]) - {mine}:
        try:
            told = on(name).run(f"{PSQL} 2>&1", "SELECT pg_is_in_recovery()")
        except HostUnreachable:
            if not alone:
                raise
        else:
            roles[name] = told.stdout.strip()
    primaries = [name for name, standby in roles.items() if standby == "f"]
    assert len(primaries) == 1, f"pg_is_in_recovery() says {roles}"
    assert alone or sorted(roles.values()) == ["f", "t"], f"pg_is_in_recovery() says {roles}"
    signal = host.file(f"{variables['database_data_directory']}/standby.signal").exists
    assert signal == (roles[mine] == "t"), "role and standby.signal differ"


def test_commits_wait_for_the_standby(sql, is_primary, standby, alone):
    if alone:
        waiting = sql("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
        assert waiting == "0", f"{waiting} commits still wait for {standby}, which is away"
    elif is_primary:
        seen = sql("SELECT application_name, state, sync_state FROM pg_stat_replication")
        wanted = f"{standby}|streaming|sync"
        assert wanted in seen.splitlines(), (
            f"every commit waits for {standby}: the primary sends to {seen or 'nobody'}"
        )
    else:
        seen = sql("SELECT status, slot_name FROM pg_stat_wal_receiver")
        assert seen.startswith("streaming|"), f"the standby receives: {seen or 'nothing'}"


def test_the_slot_keeps_what_the_standby_has_not_seen(primary, standby, alone):
    seen = primary("SELECT slot_name, active, wal_status FROM pg_replication_slots").splitlines()
    kept = [f"{standby}|t|{status}" for status in ("reserved", "extended")]
    away = any(slot.startswith(f"{standby}|") for slot in seen)  # lost by now, it is copied anew
    assert set(kept) & set(seen) or (alone and away), f"slots of the primary: {seen}, wanted {kept}"


def test_a_row_written_from_the_application_network_is_read_here(sql, token):
    seen, end = [], time.monotonic() + 5
    while token not in seen and time.monotonic() < end:
        seen = sql("SELECT token FROM heartbeat", "ledger").splitlines()
    assert token in seen, f"written on the primary: {token}; read here after 5 s: {seen}"


def test_the_standby_is_not_behind(primary, alone):
    lag = "SELECT max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) FROM pg_stat_replication"
    behind = primary(lag)
    if alone and not behind:
        return  # nobody follows: the rule allows it, and that host's own checks say it
    assert behind.isdigit(), "nobody replays the primary's log"
    assert int(behind) < 16 << 20, f"the standby is {int(behind)} bytes of log behind"


@pytest.mark.parametrize("database", ["ledger", "orthanc"])
def test_the_databases_of_the_applications_answer(client, variables, address_of, database):
    address = address_of(variables["inventory_hostname"])
    answer = client.run(
        "timeout 15 psql -w -XAtqc 'SELECT current_database()' %s",
        f"host={address} dbname={database} user={database} connect_timeout=3",
    )
    assert answer.stdout.strip() == database, f"from the client: {answer.stderr.strip()}"
