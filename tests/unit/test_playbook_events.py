"""Ansible's events as they come, and what holds at their end."""

from __future__ import annotations

import pytest

from orchestrator.events import TaskFailed
from orchestrator.playbook_events import Watch, shortcomings
from orchestrator.redaction import Redactor

FALSE = {"msg": "non-zero return code", "rc": 1, "cmd": ["/bin/false"], "stderr": "no"}


class Attempt:
    def __init__(self):
        self.told = []
        self.watch = Watch("web", self.told.append, Redactor(["canary"]))

    def task(self, name, *hosts):
        self.take("playbook_on_task_start", name=name, play="Play")
        for host in hosts:
            self.take("runner_on_start", host=host, task=name)

    def fail(self, host, task="One", **fields):
        fields = {"res": FALSE, "task_path": "/p/web.yml:5", **fields}
        self.take("runner_on_failed", host=host, task=task, **fields)

    def stats(self, **counts):
        processed = {host: 1 for hosts in counts.values() for host in hosts}
        self.take("playbook_on_stats", processed=processed, **counts)

    def take(self, kind, stdout="", **data):
        self.watch.take({"event": kind, "event_data": data, "stdout": stdout})

    def failures(self):
        return [(t.host, t.task, t.rescued) for t in self.told if isinstance(t, TaskFailed)]


@pytest.fixture
def attempt():
    return Attempt()


def test_every_host_ok_is_no_shortcoming(attempt):
    attempt.stats(ok={"h1": 2, "h2": 1}, changed={"h1": 1})
    assert shortcomings(attempt.watch, ("h1", "h2"), 0) == ()
    assert attempt.watch.stats["h1"].changed == 1


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ({}, "no host matched"),
        ({"ok": {"h2": 1}}, "h1: no play ran on it"),
        ({"skipped": {"h1": 3}}, "h1: no task was done on it (3 skipped)"),
        ({"ok": {"h1": 3}, "failures": {"h1": 1}}, "h1: 1 tasks failed"),
        ({"ok": {"h1": 3}, "dark": {"h1": 1}}, "h1: unreachable"),
    ],
)
def test_a_host_that_is_not_ok_is_a_shortcoming(attempt, counts, words):
    attempt.stats(**counts)
    assert words in "; ".join(shortcomings(attempt.watch, ("h1",), 0))


def test_a_play_for_a_group_that_does_not_exist_is_a_shortcoming(attempt):
    attempt.take(
        "warning", stdout="[WARNING]: Could not match supplied host pattern, ignoring: dbs"
    )
    attempt.take("playbook_on_no_hosts_matched", play="Second", play_pattern="dbs")
    attempt.stats(ok={"h1": 1})
    (reason,) = shortcomings(attempt.watch, ("h1",), 0)
    assert reason == "play 'Second': no host or group is called 'dbs'"


def test_a_play_for_other_hosts_than_the_limit_is_none(attempt):
    attempt.take("playbook_on_no_hosts_matched", play="Second", play_pattern="databases")
    attempt.stats(ok={"h1": 1})
    assert shortcomings(attempt.watch, ("h1",), 0) == ()


def test_no_stats_is_a_shortcoming_with_what_ansible_said(attempt):
    attempt.take("verbose", stdout="PLAY")
    attempt.take("verbose", stdout="[ERROR]: YAML parsing failed\r\nOrigin: /p/web.yml:6:6")
    (reason,) = shortcomings(attempt.watch, ("h1",), 4)
    assert "without its final stats: [ERROR]: YAML parsing failed\nOrigin: /p/web.yml:6:6" in reason


def test_an_exit_code_alone_is_a_shortcoming(attempt):
    attempt.stats(ok={"h1": 1})
    assert shortcomings(attempt.watch, ("h1",), 250) == ("ansible-playbook ended with code 250",)


def test_a_host_once_unreachable_stays_a_shortcoming(attempt):
    attempt.take("runner_on_unreachable", host="h1", task="Ping", res={"msg": "No route to host"})
    attempt.stats(ok={"h1": 2}, ignored={"h1": 1})
    (reason,) = shortcomings(attempt.watch, ("h1",), 0)
    assert reason.startswith("h1: unreachable, no route to host")
    assert attempt.told[-1].unreachable
    assert attempt.watch.dark == {"h1"}


def test_a_host_that_refuses_is_unreachable_but_not_dark(attempt):
    said = "Failed to connect to the host via ssh: root@h1: Permission denied (publickey)."
    attempt.take("runner_on_unreachable", host="h1", task="Ping", res={"msg": said})
    assert attempt.watch.unreachable
    assert attempt.watch.dark == set()


def test_a_failure_names_host_task_place_command_and_what_it_said(attempt):
    attempt.task("One", "h1")
    attempt.fail("h1")
    attempt.stats(ok={"h1": 2}, failures={"h1": 1})
    (reason,) = shortcomings(attempt.watch, ("h1",), 2)
    assert reason == (
        "h1: task 'One' failed (/p/web.yml:5): `/bin/false` ended with exit code 1\nstderr: no"
    )


def test_an_ignored_failure_is_told_at_once_and_no_shortcoming(attempt):
    attempt.fail("h1", ignore_errors=True)
    assert attempt.told[-1].ignored
    attempt.stats(ok={"h1": 2}, ignored={"h1": 1})
    assert shortcomings(attempt.watch, ("h1",), 0) == ()


def test_a_rescued_failure_is_told_as_such_and_no_shortcoming(attempt):
    attempt.task("One", "h1")
    attempt.fail("h1")
    attempt.task("Mend", "h1")
    attempt.task("Next", "h1")
    attempt.stats(ok={"h1": 2}, rescued={"h1": 1})
    assert attempt.failures() == [("h1", "One", True)]
    assert shortcomings(attempt.watch, ("h1",), 0) == ()


def test_a_failure_of_a_host_that_takes_no_further_part_is_told_before_the_end(attempt):
    attempt.task("One", "h1", "h2")
    attempt.fail("h1")
    attempt.task("Two", "h2")
    assert attempt.failures() == []
    attempt.task("Three", "h2")
    assert attempt.failures() == [("h1", "One", False)]


def test_of_two_failures_the_one_before_the_last_was_rescued(attempt):
    attempt.task("One", "h1")
    attempt.fail("h1", "One")
    attempt.task("Mend", "h1")
    attempt.fail("h1", "Mend")
    attempt.stats(ok={"h1": 2}, rescued={"h1": 1}, failures={"h1": 1})
    assert attempt.failures() == [("h1", "One", True), ("h1", "Mend", False)]


def test_failures_without_stats_are_told_as_failures(attempt):
    attempt.fail("h1")
    attempt.watch.close()
    assert attempt.failures() == [("h1", "One", False)]


def test_a_loop_names_the_items_that_failed(attempt):
    results = [{"item": "a", "failed": False}, {"item": "b", "failed": True, "msg": "no b"}]
    attempt.fail("h1", res={"msg": "One or more items failed", "results": results})
    attempt.watch.close()
    assert attempt.told[-1].message == "item b: no b"


def test_a_result_too_large_for_its_event_is_replaced_by_what_was_printed(attempt):
    attempt.take(
        "runner_on_failed", stdout="fatal: [h1]: FAILED! =>", host="h1", task="One", res={}
    )
    attempt.watch.close()
    assert attempt.told[-1].message == "fatal: [h1]: FAILED! =>"


def test_messages_are_redacted_plain_and_bounded(attempt):
    attempt.fail("h1", res={"msg": "\x1b[31mcanary " + "x" * 100_000})
    attempt.watch.close()
    message = attempt.told[-1].message
    assert "canary" not in message
    assert "\x1b" not in message
    assert len(message) <= 4_000
    assert "characters cut" in message


def test_unknown_and_odd_events_do_no_harm(attempt):
    for event in ({}, {"event": None}, {"event": "new_kind", "event_data": None}, {"event": "EOF"}):
        attempt.watch.take(event)
    assert attempt.told == []


@pytest.mark.parametrize("kind", ["runner_item_on_failed", "runner_on_failed"])
@pytest.mark.parametrize(
    "res", [{"msg": "no", "results": 3}, {"msg": "no", "results": {"a": 1}}, "no", ["no"], 3]
)
def test_a_result_that_is_shaped_as_no_module_does_is_a_failure_all_the_same(attempt, kind, res):
    attempt.task("One", "h1")
    attempt.take(kind, "no", host="h1", task="One", res=res)
    attempt.fail("h1", res={"msg": "One or more items failed"})
    attempt.stats(failures={"h1": 2})
    assert "h1: task 'One' failed" in shortcomings(attempt.watch, ("h1",), 2)[0]
    assert attempt.told[1].message in {"no", ""}


def test_a_host_is_lost_whatever_the_shape_of_its_result(attempt):
    attempt.task("One", "h1")
    attempt.take("runner_on_unreachable", "no route", host="h1", task="One", res="gone")
    attempt.stats(dark={"h1": 1})
    assert "no route" in shortcomings(attempt.watch, ("h1",), 4)[0]
