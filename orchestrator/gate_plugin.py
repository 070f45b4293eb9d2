"""A pytest plugin: tells the process that started a gate what each check came to, line by line.

It is loaded into the gate's own process. Its job (hosts, and the inventory as Ansible reads it) is
in a file, its report goes out through a pipe, so nothing a check prints is mistaken for a result.
Without a job it does nothing, and the gate file runs under plain pytest as well.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra.backend.base
import testinfra.backend.ssh
import testinfra.utils.ansible_runner as testinfra_ansible

from orchestrator.gate_passwords import hand_over_passwords
from orchestrator.gate_reach import HostUnreachable, Reach

JOB = "DRCLI_GATE_JOB"  # the path of a file
REPORT_FD = "DRCLI_GATE_REPORT"
DARK_PEERS = "dark_peers_allowed"  # the mark of a check

_LONGEST = 16_000  # characters of one message
_WHERE = re.compile(r" \+ +(?:where|and) ")
_RANK = ("passed", "skipped", "failed", "error", "unreachable")

Report = Callable[..., None]


@dataclass
class _Check:
    name: str
    host: str | None
    outcome: str = "passed"
    message: str = ""
    seconds: float = 0.0
    called: bool = False

    def worsen(self, outcome: str, message: str) -> None:
        if _RANK.index(outcome) > _RANK.index(self.outcome):
            self.outcome, self.message = outcome, message


class GateReport:
    """The hooks that report, and that keep checks from waiting for a host that is gone."""

    def __init__(self, hosts: list[str], reach: Reach, report: Report) -> None:
        self._hosts = hosts
        self._reach = reach
        self._report = report
        self._checks: dict[str, _Check] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Report how many checks there are; ask all hosts for a sign of life, all at once.

        The checks of a host that gives none come first: they end at once, and so does a gate that
        is to end with its first bad check.
        """
        self._report(kind="collected", checks=len(session.items))
        on = {_host(item) for item in session.items}
        self._reach.ask([host for host in self._hosts if host in on])
        session.items.sort(key=lambda item: _host(item) not in self._reach.silent)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Run no check on a host that is gone: each would wait for it again.

        A check with the mark `dark_peers_allowed` catches what is raised when it asks another host
        in vain, and says itself what that means; its own host must stay there for it, too.
        """
        host = _host(item)
        self._reach.dark_peers_of = host if item.get_closest_marker(DARK_PEERS) else None
        if host in self._reach.silent:
            raise HostUnreachable(self._reach.silent[host])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add a phase (setup, call, teardown) to what its check came to; the worst counts.

        A check during which a host was lost is unreachable, also when it "passed": on a host that
        is gone nothing is running either.
        """
        report = yield
        check = self._checks.setdefault(item.nodeid, _Check(_name(item), _host(item)))
        check.seconds += call.duration
        check.called = check.called or call.when == "call"
        error = call.excinfo.value if call.excinfo else None
        lost = self._reach.lost_since_last_asked()
        if lost or isinstance(error, HostUnreachable):
            check.worsen("unreachable", lost or str(error))
        elif hasattr(report, "wasxfail"):
            check.worsen("skipped", f"expected to fail ({report.wasxfail}) and {report.outcome}")
        elif report.skipped:
            check.worsen("skipped", _said(report.longrepr))
        elif report.failed:
            asserted = isinstance(error, AssertionError | pytest.fail.Exception)
            said = _said(report.longrepr) + _place(item, call)
            check.worsen("failed" if asserted else "error", said)
        return report

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Report a check when its last phase is over."""
        check = self._checks.pop(nodeid, None)
        if check is None:
            return
        if not check.called and check.outcome == "passed":
            check.worsen("error", "it did not run")
        self._report(
            kind="check",
            check=check.name,
            host=check.host,
            outcome=check.outcome,
            seconds=check.seconds,
            message=check.message,
        )

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Report a gate file that cannot be loaded, or skips itself."""
        if report.failed:
            self._report(kind="trouble", what=f"could not be loaded: {_said(report.longrepr)}")
        elif report.skipped:
            self._report(kind="trouble", what=f"skips as a whole: {_said(report.longrepr)}")

    def pytest_deselected(self, items: list[pytest.Item]) -> None:
        """Report checks that something took out."""
        self._report(kind="trouble", what=f"{len(items)} of its checks were deselected")

    def pytest_internalerror(self, excrepr: Any) -> None:  # noqa: ANN401 -- pytest's internal type
        """Report that pytest itself failed."""
        self._report(kind="trouble", what=f"pytest itself failed: {_said(excrepr)}")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        """Report that pytest came to its own end."""
        self._report(kind="end", code=int(exitstatus))


def pytest_configure(config: pytest.Config) -> None:
    """Begin to report, when there is somebody to report to."""
    config.addinivalue_line("markers", f"{DARK_PEERS}: may ask other hosts in vain")
    if JOB not in os.environ:
        return
    job = json.loads(Path(os.environ.pop(JOB)).read_text(encoding="utf-8"))
    report_fd = int(os.environ.pop(REPORT_FD))
    os.set_inheritable(report_fd, False)  # noqa: FBT003 -- positional only

    def report(**line: object) -> None:
        bounded = {k: v[:_LONGEST] if isinstance(v, str) else v for k, v in line.items()}
        data = memoryview(json.dumps(bounded).encode() + b"\n")
        while data:
            data = data[os.write(report_fd, data) :]

    runner = _use_inventory(job["inventory"], job["control_path_dir"])
    reach = Reach(runner, testinfra.backend.ssh.SshBackend, report)
    config.pluginmanager.register(GateReport(job["hosts"], reach, report), "drcli-gate-report")


def _use_inventory(content: dict[str, Any], control_path_dir: str) -> Any:  # noqa: ANN401 -- testinfra is untyped
    """Give every `ansible://` host of this process the inventory as it is loaded already.

    Whichever file a gate names, and also when it names none. Connections to hosts are this gate's
    own: an `ansible` that testinfra starts is told so by the environment.
    """
    runner = testinfra_ansible.AnsibleRunner()
    runner.inventory = content
    runner.ansible_config.read_dict(
        {
            "ssh_connection": {"control_path": "%(directory)s/%%C"},
            "persistent_connection": {"control_path_dir": control_path_dir},
        }
    )
    testinfra_ansible.AnsibleRunner.get_runner = staticmethod(lambda _inventory_file: runner)
    testinfra.backend.base.CommandResult.__repr__ = _show_result
    hand_over_passwords(
        testinfra_ansible,
        testinfra.backend.base.BaseBackend,
        testinfra.backend.ssh.SshBackend,
        Path(control_path_dir),
    )
    return runner


def _show_result(result: Any) -> str:  # noqa: ANN401 -- testinfra is untyped
    """A command's result as a person reads it, in place of testinfra's."""

    def text(value: str | bytes) -> str:
        return value if isinstance(value, str) else value.decode("utf-8", "replace")

    streams = {"stdout": result._stdout, "stderr": result._stderr}  # noqa: SLF001
    said = "".join(f", {name}: {text(v).strip()}" for name, v in streams.items() if v.strip())
    return f"`{text(result.command)}` (exit code {result.rc}{said})"


def _host(item: pytest.Item) -> str | None:
    """The inventory's name of the host a check runs on; None for a check that takes no host."""
    spec = getattr(item, "callspec", None)
    found = spec.params.get("_testinfra_host") if spec else None
    return str(found.backend.get_hostname()) if found is not None else None


def _name(item: pytest.Item) -> str:
    """The check's function, its class before it, and its parameters but the host."""
    function = str(getattr(item, "originalname", None) or item.name)
    owner = getattr(item, "cls", None)
    name = f"{owner.__name__}.{function}" if owner else function
    spec = getattr(item, "callspec", None)
    if spec is None:
        return name
    found = spec.params.get("_testinfra_host")
    host_id = found.backend.get_pytest_id() if found is not None else None
    others = [part for part in spec._idlist if part != host_id]  # noqa: SLF001 -- no public way
    return f"{name}[{'-'.join(others)}]" if others else name


def _place(item: pytest.Item, call: pytest.CallInfo[None]) -> str:
    """The innermost line of the project's own code that an error came through."""
    root = item.config.rootpath
    for entry in reversed(call.excinfo.traceback if call.excinfo else ()):
        if Path(entry.path).is_relative_to(root):
            return f"\n({Path(entry.path).relative_to(root)}:{entry.lineno + 1})"
    return ""


def _said(longrepr: Any) -> str:  # noqa: ANN401 -- pytest's many kinds of representation
    """The assertion or error of a report, where it stands, without the traceback."""
    crash = getattr(longrepr, "reprcrash", None)
    if crash is not None:
        said = str(crash.message).removeprefix("AssertionError: ")
        if said.startswith("assert "):
            return said
        # Where the check says itself what it saw, how pytest came to its values is noise.
        return "\n".join(line for line in said.splitlines() if not _WHERE.match(line))
    if isinstance(longrepr, tuple):
        return str(longrepr[-1])
    lines = str(longrepr).strip().splitlines()
    errors = [line[1:].strip() for line in lines if line.startswith("E ")]
    return "\n".join(errors or lines[-20:])
