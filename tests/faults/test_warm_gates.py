"""Gates are forked from a warm process, in parts: nothing leaks, counts twice, or lives on."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from threading import Event as Flag

import pytest
from pausing import pause
from small_site import SmallSite

from orchestrator.attempt import processes_of
from orchestrator.events import CheckFinished, CheckOutcome, GateCollected, GatePurpose
from orchestrator.gate import PARTS, TestinfraGates

PATIENCE = 60.0
PASSING = "def test_a(host):\n    assert host.run('true').rc == 0\n"
MANY = tuple(f"h{n}" for n in range(1, 26))


@pytest.fixture
def site(tmp_path):
    site = SmallSite(tmp_path)
    with site.gates:
        yield site


@pytest.fixture
def large(site):
    """The site with many hosts, all of them this machine."""
    hosts = "".join(f"        {name}: {{ansible_connection: local}}\n" for name in MANY)
    site.inventory.write_text(f"all:\n  children:\n    servers:\n      hosts:\n{hosts}")
    return site


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def noting(site, name="pids"):
    """A gate that notes the process it runs in, and that one's parent; then goes on as told."""
    path = site.project / name
    return path, f"import os\nopen({str(path)!r}, 'w').write(f'{{os.getpid()}} {{os.getppid()}}')\n"


# What one gate does is not there for the next


def test_each_gate_is_forked_from_the_same_warm_process(site):
    path, note = noting(site)
    seen = []
    for _ in range(2):
        assert site.check(note + PASSING).green
        seen.append(path.read_text().split())
    assert seen[0][1] == seen[1][1]
    assert seen[0][0] != seen[1][0]


def test_a_cache_in_a_module_does_not_outlive_its_gate(site):
    site.write("cached.py", "facts = {}\n")
    gate = f"""\
import sys
sys.path.insert(0, {str(site.project)!r})
import cached
facts = {{}}
def test_a(host):
    assert not cached.facts and not facts and "drcli_x" not in sys.modules
    cached.facts["a"] = facts["a"] = 1
    sys.modules["drcli_x"] = cached
"""
    assert [site.check(gate, hosts=("h1",)).green for _ in range(3)] == [True] * 3


def test_a_testinfra_that_a_gate_has_patched_does_not_outlive_it(site):
    patch = """\
import testinfra.backend.local, testinfra.modules.file
def test_a(host):
    testinfra.backend.local.LocalBackend.run = lambda *_, **__: 1 / 0
    testinfra.modules.file.File.exists = True
"""
    assert site.check(patch).green
    assert site.check(PASSING).green
    absent = "def test_a(host): assert host.file('/no/such/file').exists\n"
    assert not site.check(absent).green


def test_environment_folder_and_signals_of_a_gate_do_not_outlive_it(site):
    gate = """\
import os, signal
def test_a(host):
    assert "LEFT" not in os.environ and os.getcwd() != "/tmp"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    os.environ["LEFT"] = "1"
    os.chdir("/tmp")
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
    assert [site.check(gate, hosts=("h1",)).green for _ in range(2)] == [True] * 2


def test_a_gate_that_was_edited_is_read_anew_though_it_looks_the_same(site):
    path = site.write("test_web.py", "")
    for expected, code in ((True, "0"), (False, "1"), (True, "0")):
        gate = f"def test_a(host):\n    assert host.run('exit {code}').rc == 0\n"
        write = site.write

        def same_age(name, text, write=write):
            write(name, text)
            os.utime(path, (1_000_000_000, 1_000_000_000))
            return path

        site.write = same_age
        assert site.check(gate).green is expected
        site.write = write


def test_a_gate_sees_the_environment_of_its_own_attempt_alone(site, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    monkeypatch.setenv("SOME_PASSWORD", "canary")
    gate = f"""\
import os
def test_a(host):
    own = open("/proc/self/environ").read() + str(os.environ) + host.run("env").stdout
    assert "canary" not in own and "PYTEST_ADDOPTS" not in own
    assert own.count("{site.run}/web-verify/") == 3
"""
    assert site.check(gate, hosts=("h1",)).reasons == ()


# The warm process dies


def test_the_warm_process_is_killed_between_two_gates(site):
    path, note = noting(site)
    assert site.check(note + PASSING).green
    server = int(path.read_text().split()[1])
    os.kill(server, signal.SIGKILL)
    assert site.check(note + PASSING).green
    assert int(path.read_text().split()[1]) != server


def test_the_warm_process_is_killed_in_the_middle_of_a_gate(site):
    path, note = noting(site)

    def kill(event):
        if isinstance(event, CheckFinished):
            os.kill(int(path.read_text().split()[1]), signal.SIGKILL)

    gate = note + PASSING + "def test_b(host):\n    host.run('sleep 600')\n"
    result = site.check(gate, hosts=("h1",), tell=kill, timeout=PATIENCE)
    assert not result.green
    assert result.reasons[0] == "the process that gates run in was killed in the middle of it"
    assert site.left() == ()
    assert site.check(PASSING).green


@pytest.mark.parametrize("who", ["first", "other"])
def test_a_part_of_a_gate_is_killed(site, who):
    condition = "==" if who == "first" else "!="
    gate = f"""\
import os, signal
server = os.getppid()
def test_a(host):
    if os.getppid() {condition} server:
        os.kill(os.getpid(), signal.SIGKILL)
"""
    result = site.check(gate)
    assert not result.green
    assert "code -9" in "; ".join(result.reasons)
    assert site.left() == ()


def test_a_part_that_leaves_with_success_before_its_end(site):
    gate = "import os\nserver = os.getppid()\ndef test_a(host): pass\n"
    gate += "def test_b(host):\n    if os.getppid() != server: os._exit(0)\n"
    result = site.check(gate)
    assert not result.green
    assert any("pytest ended with code 0" in reason for reason in result.reasons)


def test_a_frozen_warm_process_is_given_up(site, monkeypatch):
    monkeypatch.setattr("orchestrator.gate_process.PATIENCE", 1.0)
    path, note = noting(site)
    assert site.check(note + PASSING).green
    pause(int(path.read_text().split()[1]))
    assert site.check(note + PASSING).green


def test_a_warm_process_that_loads_slowly_is_not_taken_for_a_frozen_one(site, monkeypatch):
    monkeypatch.setattr("orchestrator.gate_process.PATIENCE", 0.5)
    mark = f"gate-server/{os.getpid()}/"
    before = {found.pid for found in processes_of(mark)}
    site.gates.prepare(site.run, site.project, site.inventory)
    until(lambda: {found.pid for found in processes_of(mark)} - before)
    (server,) = {found.pid for found in processes_of(mark)} - before
    pause(server)  # as on a machine that has just come back and has cold disks
    threading.Timer(3, os.kill, (server, signal.SIGCONT)).start()
    path, note = noting(site)
    assert site.check(note + PASSING).green
    assert path.read_text().split()[1] == str(server)


# Nothing lives on


def test_the_process_of_a_gate_and_what_it_started_are_found_by_its_mark(site):
    seen = []

    def look(event):
        if isinstance(event, CheckFinished):
            seen.extend(p.command for p in processes_of(f"{site.run}/web-verify/"))
            stop.set()

    stop = Flag()
    gate = """\
import subprocess, sys
def test_a(host):
    subprocess.Popen(["sleep", "600"])
    subprocess.Popen(["sleep", "601"], env={}, start_new_session=True)
def test_b(host): host.run("sleep 600")
"""
    assert not site.check(gate, hosts=("h1",), tell=look, stop=stop).green
    assert seen.count("sleep") >= 2
    assert any("python" in command for command in seen)
    assert site.left() == ()


def test_the_end_of_one_gate_leaves_another_alone(site):
    slow = SmallSite.__new__(SmallSite)
    slow.__dict__ = {**site.__dict__, "project": site.project, "run": f"{site.run}-slow"}
    results = {}
    go = site.project / "go"

    def wait():
        gate = f"import os, time\ndef test_a(host):\n    while not os.path.exists({str(go)!r}):\n"
        results["slow"] = slow.check(gate + "        time.sleep(0.05)\n", timeout=PATIENCE)

    original = slow.write
    slow.write = lambda name, text: original(name.replace("web", "slow"), text)
    thread = threading.Thread(target=wait)
    thread.start()
    try:
        until(lambda: processes_of(f"{slow.run}/"))
        results["quick"] = site.check(PASSING)
        results["cut"] = site.check("import time\ndef test_a(host): time.sleep(600)\n", timeout=1)
        assert processes_of(f"{slow.run}/")
    finally:
        go.touch()
        thread.join(PATIENCE)
    assert {name: result.green for name, result in results.items()} == {
        "quick": True,
        "cut": False,
        "slow": True,
    }


def test_the_warm_process_ends_with_the_gates(tmp_path):
    site = SmallSite(tmp_path)
    path, note = noting(site)
    with site.gates:
        assert site.check(note + PASSING).green
        server = Path("/proc") / path.read_text().split()[1]
        assert server.exists()
    assert not server.exists()


def test_preparing_can_be_broken_off(site):
    site.inventory.write_text("#!/bin/sh\nsleep 600\n")
    site.inventory.chmod(0o755)
    begun_at = time.monotonic()
    with TestinfraGates() as gates:
        gates.prepare(site.run, site.project, site.inventory)
        until(site.left)
    assert time.monotonic() - begun_at < 300
    assert site.left() == ()


# Parts


def test_every_check_is_run_once_on_every_host_and_hosts_share_few_processes(large):
    gate = f"""\
import os
def test_a(host):
    name = host.ansible.get_variables()["inventory_hostname"]
    open(f"{large.project}/{{name}}", "a").write(f"{{os.getpid()}} ")
test_b = test_a
def test_alone():
    open("{large.project}/alone", "a").write("x")
"""
    result = large.check(gate, hosts=MANY)
    assert result.reasons == ()
    assert len(result.checks) == len({(c.check, c.host) for c in result.checks}) == 51
    assert (large.project / "alone").read_text() == "x"
    pids = [(large.project / name).read_text().split() for name in MANY]
    assert all(len(one) == 2 and len(set(one)) == 1 for one in pids)
    assert 1 < len({one[0] for one in pids}) <= PARTS < len(MANY)
    assert large.told[0] == GateCollected(component="web", checks=51)


def test_one_bad_host_in_another_part_is_red(large):
    gate = """\
def test_a(host): assert host.ansible.get_variables()["inventory_hostname"] != "h7"
"""
    result = large.check(gate, hosts=MANY)
    assert not result.green
    assert len(result.checks) == len(MANY)
    assert [c.host for c in result.checks if c.outcome is not CheckOutcome.PASSED] == ["h7"]


def test_fixtures_that_look_at_other_hosts_work_in_every_part(large):
    (large.project / "conftest.py").write_text(
        (Path(__file__).parents[2] / "playbooks/conftest.py").read_text()
    )
    gate = """\
import pytest
@pytest.fixture(scope="module")
def first(on): return on("h1")
def test_a(host, on, first, variables):
    assert first.run("true").rc == on("h9").run("true").rc == 0
    assert variables["inventory_hostname"] in variables["groups"]["servers"]
"""
    assert large.check(gate, hosts=MANY).reasons == ()


def test_what_is_torn_down_in_one_part_is_what_it_set_up(large):
    gate = f"""\
import os, pytest
@pytest.fixture(scope="module")
def thing():
    path = f"{large.project}/thing-{{os.getpid()}}"
    open(path, "x").close()
    yield path
    os.unlink(path)
def test_a(host, thing): assert os.path.exists(thing)
"""
    assert large.check(gate, hosts=MANY).green
    assert not list(large.project.glob("thing-*"))


def test_an_observation_leaves_no_part_behind(large):
    gate = """\
def test_a(host):
    assert host.ansible.get_variables()["inventory_hostname"] != "h2"
    host.run("sleep 600")
"""
    result = large.check(gate, MANY[:4], purpose=GatePurpose.OBSERVE, timeout=PATIENCE)
    assert result.reasons[0].startswith("h2: test_a failed")
    assert large.left() == ()


def test_a_report_of_many_parts_is_not_garbled(large):
    long = "x" * 15_000
    gate = f"""\
import pytest
@pytest.mark.parametrize("n", range(20))
def test_a(host, n): assert 0, "{long}\\U0001f600\\udcff"
"""
    result = large.check(gate, hosts=MANY, timeout=PATIENCE)
    assert len(result.checks) == 20 * len(MANY)
    assert {c.outcome for c in result.checks} == {CheckOutcome.FAILED}


def test_a_gate_may_shout_to_the_end(large):
    gate = "def test_a(host):\n    print('x' * 300_000)\n"
    assert large.check(gate, hosts=MANY).green
