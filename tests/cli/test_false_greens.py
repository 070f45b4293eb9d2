"""Every green that is false: each comes out red here, for the reason that is named."""

from __future__ import annotations

import os
import signal
import time
from threading import Event as Flag

import pytest
from small_site import SmallSite
from tiny_site import PROJECT

from orchestrator.events import CheckOutcome, GatePurpose, PlaybookOutcome, TaskFailed, TaskStarted

DEBUG = "- ansible.builtin.debug: {msg: x}"
PASSING = """\
def test_a(host):
    assert host.run("true").rc == 0
"""


@pytest.fixture
def site(tmp_path):
    return SmallSite(tmp_path)


def failed(result):
    """The reasons of a playbook that must not have succeeded."""
    assert result.outcome is PlaybookOutcome.FAILED
    return "; ".join(result.reasons)


def red(result):
    """The reasons of a gate that must not be green."""
    assert not result.green
    assert result.reasons
    return "; ".join(result.reasons)


# Playbooks


def test_the_same_play_does_succeed(site):
    result = site.play(DEBUG)
    assert (result.outcome, result.reasons) == (PlaybookOutcome.SUCCEEDED, ())
    assert {host: line.ok for host, line in result.stats.items()} == {"h1": 1, "h2": 1}


def test_a_play_whose_group_does_not_exist(site):
    result = site.play("- hosts: nosuch\n  gather_facts: false\n  tasks:\n    " + DEBUG)
    assert "no host matched" in failed(result)


def test_a_second_play_whose_group_does_not_exist(site):
    first = f"- hosts: servers\n  gather_facts: false\n  tasks:\n    {DEBUG}\n"
    result = site.play(first + first.replace("servers", "nosuch"))
    assert "no host or group is called 'nosuch'" in failed(result)


def test_a_play_that_leaves_out_a_host(site):
    result = site.play("- hosts: h1\n  gather_facts: false\n  tasks:\n    " + DEBUG)
    assert failed(result) == "h2: no play ran on it"


def test_a_play_without_a_task(site):
    assert "h1: no" in failed(site.play("- hosts: servers\n  gather_facts: false\n  tasks: []"))


def test_a_play_whose_every_task_is_skipped(site):
    result = site.play(DEBUG + "\n  when: false")
    assert "h1: no task was done on it (1 skipped)" in failed(result)


def test_tags_that_leave_nothing_to_do(site):
    site.write("ansible.cfg", "[tags]\nrun = never_there\n")
    assert "h1: no" in failed(site.play(DEBUG))


def test_stale_tags_of_the_environment_and_of_an_env_folder_have_no_effect(site, monkeypatch):
    monkeypatch.setenv("ANSIBLE_RUN_TAGS", "never_there")
    site.write("env/cmdline", "--tags never_there")
    assert site.play(DEBUG).outcome is PlaybookOutcome.SUCCEEDED


def test_an_unreachable_host_with_ignore_unreachable(site):
    site.inventory.write_text(site.inventory.read_text().replace("192.0.2.1", "127.0.0.1"))
    result = site.play(
        "- hosts: s1\n  gather_facts: false\n  ignore_unreachable: true\n"
        "  vars: {ansible_port: 1}\n  tasks:\n"
        "    - ansible.builtin.ping:\n    " + DEBUG,
        hosts=("s1",),
    )
    assert "s1: unreachable, connection refused" in failed(result)


def test_a_failure_with_ignore_errors_is_shown(site):
    site.play("- name: Try\n  ansible.builtin.command: /bin/false\n  ignore_errors: true")
    told = [t for t in site.told if isinstance(t, TaskFailed)]
    assert [(t.host, t.task, t.ignored) for t in sorted(told, key=lambda t: t.host)] == [
        ("h1", "Try", True),
        ("h2", "Try", True),
    ]


def test_a_rescued_failure_is_shown(site):
    site.play(
        "- block:\n    - name: Try\n      ansible.builtin.command: /bin/false\n"
        "  rescue:\n    " + DEBUG
    )
    told = [t for t in site.told if isinstance(t, TaskFailed)]
    assert {(t.host, t.rescued) for t in told} == {("h1", True), ("h2", True)}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda n: n.name)
def test_a_playbook_that_somebody_kills_in_its_last_task(site, number):
    def kill(event):
        if isinstance(event, TaskStarted) and event.task == "Last":
            # Not earlier: a worker that is just being forked can swallow Ansible's own SIGTERM.
            until = time.monotonic() + 15
            while sum(p.command == "sleep" for p in site.left()) < 2 and time.monotonic() < until:
                time.sleep(0.05)
            playbook = [p.pid for p in site.left() if p.command.startswith("ansible-play")]
            os.kill(min(playbook), number)

    last = "- name: Last\n  ansible.builtin.command: sleep 60"
    result = site.play(f"{DEBUG}\n{last}", tell=kill, timeout=40)
    assert "without its final stats" in failed(result)
    assert site.left() == ()


def test_a_stop_after_which_every_task_has_been_done(site):
    stop = Flag()
    stubborn = "- ansible.builtin.command: sh -c 'trap \"\" TERM; sleep 1'"
    result = site.play(f"{DEBUG}\n{stubborn}", tell=lambda _: stop.set(), stop=stop)
    assert result.outcome is PlaybookOutcome.CANCELLED
    assert site.left() == ()


# Gates


def test_the_same_gate_is_green(site):
    result = site.check(PASSING)
    assert (result.green, result.reasons) == (True, ())
    assert {(c.host, c.outcome) for c in result.checks} == {
        ("h1", CheckOutcome.PASSED),
        ("h2", CheckOutcome.PASSED),
    }


def test_a_failed_check_says_what_was_seen_and_where(site):
    gate = "def test_a(host):\n    out = host.run('echo 3').stdout.strip()\n"
    gate += "    assert out == '4', f'{out} servers answer'\n"
    result = site.check(gate, hosts=("h1",))
    assert "h1: test_a failed: 3 servers answer" in red(result)
    message = result.checks[0].message
    assert "assert '3' == '4'" in message
    assert "where" not in message
    assert message.endswith("(test_web.py:3)")


def test_a_host_that_the_inventory_does_not_know(site):
    assert "not in" in red(site.check(PASSING, hosts=("h1", "h9")))


def test_a_group_that_is_written_twice_is_refused_by_playbook_and_gate(site):
    site.inventory.write_text("servers: {hosts: {h1: }}\nservers: {hosts: {h2: }}\n")
    assert "duplicate mapping key 'servers'" in failed(site.play(DEBUG, hosts=("h2",)))
    assert "duplicate mapping key 'servers'" in red(site.check(PASSING, hosts=("h2",)))


def test_a_gate_that_names_a_group_which_does_not_exist_runs_on_its_components_hosts(site):
    result = site.check('testinfra_hosts = ["ansible://nosuch"]\n' + PASSING)
    assert result.green
    assert {check.host for check in result.checks} == {"h1", "h2"}


def test_no_host_at_all(site):
    assert "no hosts" in red(site.check(PASSING, hosts=()))


@pytest.mark.parametrize(
    "gate",
    [
        "import pytest\n@pytest.mark.skip\ndef test_a(host): pass\n",
        "import pytest\ndef test_a(host): pytest.skip('later')\n",
        "import pytest\n@pytest.mark.parametrize('x', [])\ndef test_a(host, x): pass\n",
    ],
    ids=["marked", "called", "nothing to run with"],
)
def test_checks_that_only_skip(site, gate):
    result = site.check(gate)
    assert " skipped: " in red(result)
    assert {c.outcome for c in result.checks} == {CheckOutcome.SKIPPED}


@pytest.mark.parametrize(
    "gate",
    [
        "import pytest\npytest.skip('not today', allow_module_level=True)\n",
        "import pytest\npytest.importorskip('no_such_module')\n",
    ],
)
def test_a_module_that_skips_itself(site, gate):
    assert "skips as a whole" in red(site.check(gate + PASSING))


@pytest.mark.parametrize("body", ["assert False", "assert True"], ids=["fails", "passes"])
def test_a_check_that_is_expected_to_fail(site, body):
    gate = f"import pytest\n@pytest.mark.xfail(reason='known')\ndef test_a(host): {body}\n"
    assert "test_a skipped: expected to fail (known)" in red(site.check(gate))


def test_checks_on_the_controller_alone(site):
    result = site.check("def test_a(): pass\ndef test_b(): pass\n")
    assert "h1: 0 checks ran on it, at least 1 must" in red(result)
    assert {c.host for c in result.checks} == {None}


def test_fewer_checks_than_declared(site):
    assert "h1: 1 checks ran on it, at least 2 must" in red(site.check(PASSING, minimum=2))


def test_a_syntax_error_in_the_gate(site):
    reasons = red(site.check("def test_a(host)\n    pass\n"))
    assert "test_web.py: could not be loaded" in reasons
    assert "SyntaxError" in reasons


def test_an_error_in_a_conftest(site):
    site.write("conftest.py", "raise RuntimeError('broken fixture file')\n")
    assert "broken fixture file" in red(site.check(PASSING))


def test_a_gate_without_a_check(site):
    assert red(site.check("minimum_checks = 1\n")) == "no check was run"


def test_a_gate_that_is_not_there(site):
    gate = site.project / "test_web.py"
    site.write("conftest.py", f"import os\nos.path.exists('{gate}') and os.unlink('{gate}')\n")
    assert "file or directory not found" in red(site.check(PASSING))


def test_a_selection_in_the_environment_or_in_a_configuration_has_no_effect(site, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    site.write("pyproject.toml", "[tool.pytest.ini_options]\naddopts = '-k nothing'\n")
    site.write("pytest.ini", "[pytest]\naddopts = -k nothing\n")
    assert site.check(PASSING).green


def test_checks_that_a_conftest_takes_out(site):
    site.write(
        "conftest.py",
        "def pytest_collection_modifyitems(config, items):\n"
        "    config.hook.pytest_deselected(items=items[1:])\n"
        "    del items[1:]\n",
    )
    assert "1 of its checks were deselected" in red(site.check(PASSING))


def test_checks_that_a_conftest_takes_out_in_silence(site):
    site.write("conftest.py", "def pytest_collection_modifyitems(items):\n    del items[1:]\n")
    assert "h2: 0 checks ran on it" in red(site.check(PASSING))


def test_a_check_that_returns_instead_of_asserting(site):
    assert "instead of `return`" in "".join(
        c.message for c in site.check("def test_a(host): return host.run('false').rc == 0\n").checks
    )
    assert not site.check("def test_a(host): return True\n").green


def test_an_assertion_that_is_always_true(site):
    assert "always true" in red(site.check("def test_a(host): assert (False, 'why')\n"))


def test_a_class_of_checks_that_pytest_does_not_collect(site):
    never = "class TestA:\n    def __init__(self): pass\n    def test_b(self, host): assert False\n"
    assert "__init__" in red(site.check(PASSING + never))


@pytest.mark.parametrize(
    "body",
    [
        "    t = Thread(target=lambda: 1 / 0)\n    t.start()\n    t.join()\n",
        "    Falls()\n",
    ],
    ids=["thread", "del"],
)
def test_an_error_that_reaches_no_check(site, body):
    head = "from threading import Thread\nclass Falls:\n    def __del__(self): 1 / 0\n"
    assert "ExceptionWarning" in red(site.check(f"{head}def test_b(host):\n{body}"))


@pytest.mark.parametrize(
    "check",
    ["async def test_b(self): assert False", "def test_b(self): return False",
     "def test_b(self):\n        yield\n        assert False"],
    ids=["async", "return", "yield"],
)  # fmt: skip
def test_a_check_of_a_unittest_that_is_not_run(site, check):
    gate = f"import unittest\nclass TestA(unittest.TestCase):\n    {check}\n"
    assert "TestA.test_b" in red(site.check(PASSING + gate))


def test_a_gate_that_ends_its_process_with_success(site):
    assert "pytest ended with code 0" in red(
        site.check(PASSING + "def test_z(host):\n    import os\n    os._exit(0)\n")
    )


def test_an_exit_code_that_was_made_good(site):
    site.write("conftest.py", "def pytest_sessionfinish(session):\n    session.exitstatus = 0\n")
    assert "test_a failed" in red(site.check("def test_a(host): assert False\n"))


def test_a_gate_that_says_nothing_and_pretends_to_be_done(site):
    gate = "import os\nos.closerange(3, 256)\n" + PASSING
    assert red(site.check(gate, timeout=10))


def test_a_negative_check_on_a_host_that_is_gone(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    gate = "def test_a(host):\n    assert host.run('exit 3').rc == 3\n"
    gate += "def test_b(host):\n    assert not host.service('sshd').is_running\n" * 1
    assert site.check(gate, hosts=("s1", "s2")).checks[0].outcome is CheckOutcome.PASSED
    site.gone.write_text("192.0.2.2")
    result = site.check(gate, hosts=("s1", "s2"))
    assert "s2: unreachable, no route to host" in red(result)
    assert result.unreachable == ("s2",)
    outcomes = {(c.host, c.outcome) for c in result.checks if c.host == "s2"}
    assert outcomes == {("s2", CheckOutcome.UNREACHABLE)}


def test_a_host_that_is_lost_during_a_check_that_swallows_the_error(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    gate = f"""\
def test_a(host):
    open({str(site.gone)!r}, "w").write("192.0.2.1")
    try:
        assert not host.service("sshd").is_running
    except Exception:
        pass
def test_b(host):
    pass
"""
    result = site.check(gate, hosts=("s1",))
    assert [c.outcome for c in result.checks] == [CheckOutcome.UNREACHABLE] * 2
    assert red(result) == "s1: unreachable, no route to host: is it powered and on the network?"


def test_a_host_that_a_check_asks_and_that_is_gone_is_named(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    site.gone.write_text("192.0.2.2")
    gate = """\
import testinfra
def test_a(host):
    assert testinfra.get_host("ansible://s2").run("true").rc == 0
def test_b(host):
    assert testinfra.get_host("ansible://s2").run("true").rc == 0
"""
    result = site.check(gate, hosts=("s1",))
    assert [c.outcome for c in result.checks] == [CheckOutcome.UNREACHABLE] * 2
    assert "s2: unreachable, no route to host" in red(result)
    assert "s1: test_a unreachable: s2: " in red(result)
    assert len(site.tried.read_text()) == 2  # the command, the question; test_b tries nothing


ASKS_S2 = """\
import pytest, testinfra
@pytest.mark.dark_peers_allowed
def test_a(host):
    with pytest.raises(Exception):
        testinfra.get_host("ansible://s2").run("true")
    host.run("true")
"""


def test_a_check_that_says_so_may_ask_another_host_in_vain(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    site.gone.write_text("192.0.2.2")
    result = site.check(ASKS_S2, hosts=("s1",))
    assert result.green, result
    assert result.unreachable == ()
    uncaught = ASKS_S2.replace("with pytest.raises(Exception)", "if True")
    assert "s1: test_a unreachable: s2: " in red(site.check(uncaught, hosts=("s1",)))


def test_the_checks_after_it_may_not(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    site.gone.write_text("192.0.2.2")
    after = ASKS_S2 + ASKS_S2.replace("@pytest.mark.dark_peers_allowed", "").replace("_a(", "_b(")
    result = site.check(after, hosts=("s1",))
    assert [c.outcome for c in result.checks] == [CheckOutcome.PASSED, CheckOutcome.UNREACHABLE]
    assert "s2: unreachable" in red(result)


def test_another_host_that_is_there_and_lets_nobody_in_is_not_dark(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    site.gone.write_text("192.0.2.2")
    for said in ("Host key verification failed.", "root@192.0.2.2: Permission denied (publickey)."):
        site.said.write_text(said)
        assert "s1: test_a unreachable: s2: " in red(site.check(ASKS_S2, hosts=("s1",)))


ASKS_BOTH = """\
import pytest
@pytest.mark.dark_peers_allowed
def test_a(host, printed):
    assert printed(["s1", "s2"], "echo here") == {}
"""


def test_a_gate_that_asks_several_hosts_leaves_out_the_dark_ones_alone(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    site.write("conftest.py", (PROJECT / "playbooks" / "conftest.py").read_text())
    both = ASKS_BOTH.replace("{}", "{'s1': 'here', 's2': 'here'}")
    assert site.check(both, hosts=("s1",)).green
    odd = ASKS_BOTH.replace("echo here", "exit 255")  # no lost host: the command's own exit code
    assert [c.outcome for c in site.check(odd, hosts=("s1",)).checks] == [CheckOutcome.ERROR]
    site.gone.write_text("192.0.2.2")
    assert site.check(ASKS_BOTH.replace("{}", "{'s1': 'here'}"), hosts=("s1",)).green
    site.said.write_text("Host key verification failed.")
    assert "s2: " in red(site.check(ASKS_BOTH.replace("{}", "{'s1': 'here'}"), hosts=("s1",)))


def test_its_own_host_must_stay_there_for_it_too(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    lose = f"    open({str(site.gone)!r}, 'w').write('192.0.2.1 192.0.2.2')\n"
    swallow = "    with pytest.raises(Exception):\n        host.run('true')\n"
    gate = ASKS_S2.replace("(host):\n", f"(host):\n{lose}").replace("    host.run('true')\n", "")
    gate = gate.replace('    host.run("true")\n', swallow)
    result = site.check(gate, hosts=("s1",))
    assert "s1: unreachable" in red(result)


def test_a_command_that_ends_as_if_its_host_were_gone_is_no_lost_host(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    result = site.check("def test_a(host): host.run('exit 255')\n", hosts=("s1",))
    assert [c.outcome for c in result.checks] == [CheckOutcome.ERROR]
    assert result.unreachable == ()
    assert "exit code 255" in red(result)


def test_many_checks_on_a_host_that_is_gone_cost_its_timeout_once(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    site.gone.write_text("192.0.2.1 192.0.2.2")
    gate = "import pytest\n@pytest.mark.parametrize('n', range(50))\n" + PASSING.replace(
        "(host)", "(host, n)"
    )
    result = site.check(gate, hosts=("s1", "s2"))
    assert len(result.checks) == 100
    assert len(site.tried.read_text()) == 2  # once each


def test_an_observation_looks_at_a_host_that_is_gone_first(site, monkeypatch):
    site.fake_ssh(monkeypatch)
    site.gone.write_text("192.0.2.2")
    result = site.check(PASSING, hosts=("s1", "s2"), purpose=GatePurpose.OBSERVE)
    assert [(c.host, c.outcome) for c in result.checks] == [("s2", CheckOutcome.UNREACHABLE)]


@pytest.mark.parametrize(("gone", "good"), [("192.0.2.9", False), ("192.0.2.1", True)])
def test_of_several_names_for_an_address_playbook_and_gate_take_the_same(
    site, monkeypatch, gone, good
):
    site.fake_ssh(monkeypatch)
    site.write("host_vars/s1.yml", "ansible_ssh_host: 192.0.2.9\n")
    site.gone.write_text(gone)
    play = f"- hosts: s1\n  gather_facts: false\n  tasks:\n    {DEBUG.replace('debug', 'ping')}\n"
    play = play.replace("{msg: x}", "")
    played = site.play(play, hosts=("s1",))
    assert (played.outcome is PlaybookOutcome.SUCCEEDED) == good, played.reasons
    assert site.check(PASSING, hosts=("s1",)).green == good


def test_every_way_to_a_host_goes_by_the_same_inventory(site):
    """All its files, a later one over an earlier, with or without the option."""
    second = site.write("second.yml", "all: {hosts: {h1: {color: blue, db_password: hidden}}}")
    gate = """\
import testinfra
def test_a(host, request):
    file = request.config.getoption("ansible_inventory")
    assert file.endswith("/hosts.yml")
    for how in ({}, {"ansible_inventory": file}):
        found = testinfra.get_host("ansible://h1", **how).ansible.get_variables()
        assert found["color"] == "blue"
        assert found["groups"]["servers"] == ["h1", "h2"]
        told = testinfra.get_host("ansible://h1", **how).ansible("debug", "var=color")
        assert told["color"] == "blue"
    assert not host.backend.get_variables()["db_password"]
"""
    result = site.check(gate, hosts=("h1",), inventory=(site.inventory, second))
    assert "test_a failed" in red(result)
    assert "hidden" not in str(result)
    gate = gate.replace("not host.", "host.")
    assert site.check(gate, hosts=("h1",), inventory=(site.inventory, second)).green


def test_an_observation_ends_with_its_first_bad_check(site):
    gate = "def test_a(host):\n    assert False\n\n\n" + PASSING.replace("test_a", "test_b")
    result = site.check(gate, hosts=("h1",), purpose=GatePurpose.OBSERVE, minimum=2)
    assert [check.outcome for check in result.checks] == [CheckOutcome.FAILED]
    assert red(result).startswith("h1: test_a failed")
    assert "must" not in red(result)


def test_an_observation_that_meets_no_bad_check_still_counts_them(site):
    result = site.check(PASSING, purpose=GatePurpose.OBSERVE, minimum=2)
    assert "1 checks ran on it, at least 2 must" in red(result)
