"""A pytest plugin: tells the process that started a gate what each check came to, line by line.

It is loaded into the gate's own process and imports nothing of drcli but `gate_parts`, which runs
the checks of different hosts in different processes, and `session`, which carries them. Its job
(hosts and the inventory as Ansible reads it) comes in one file descriptor, its report goes out
through another, so nothing a check prints is mistaken for a result. Without them it does nothing,
and the gate file runs under plain pytest as well.

Every host is asked for a sign of life before its first check, all at once. The checks of one that
gives none are reported unreachable without being run, and so is a check during which a host was
lost: also when it "passed", for on a host that is gone nothing is running either.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import testinfra
import testinfra.backend.base
import testinfra.backend.podman
import testinfra.backend.ssh
import testinfra.utils.ansible_runner as testinfra_ansible

from orchestrator.gate_parts import Parts
from orchestrator.session import SURE, NotEnded, SessionBackend, Unreachable, carry_ansible

JOB_FD = "DRCLI_GATE_JOB"
REPORT_FD = "DRCLI_GATE_REPORT"

_PROBE_LIMIT = 30.0  # seconds; ssh's own ConnectTimeout and ServerAlive normally answer before
_LONGEST = 16_000  # characters of one message
_SSH_FAILED = 255
_NO_SHELL = {125, 255}  # exit codes of `podman exec` for a container that does not run
_WHERE = re.compile(r" \+ +(?:where|and) ")
_RANK = ("passed", "skipped", "failed", "error", "unreachable")


class HostUnreachable(Exception):  # noqa: N818 -- what pytest shows to a person
    """A host gives no sign of life; the text is what ssh said."""


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


class _Reach:
    """Which hosts answer; told of every command that ended as if its host were gone."""

    def __init__(self, report: Callable[..., None]) -> None:
        self._report = report
        self._suspects: list[Any] = []
        self._lost: dict[int, str] = {}  # by the id() of a backend, all of which live to the end
        self._asked: dict[str, threading.Thread] = {}
        self.silent: dict[str, str] = {}
        self._patch()

    def ask(self, inventory: str, hosts: list[str]) -> None:
        """Ask every host at once; a daemon thread each, so that none can keep the process alive."""
        runner = testinfra_ansible.AnsibleRunner.get_runner(inventory)

        def ask_one(name: str) -> None:
            found = runner.get_host(name)
            if found is None:  # a connection only Ansible itself can make
                return
            said = self._sign_of_life(found.backend)
            if said:
                self._note(name, found.backend, said)

        for name in hosts:
            self._asked[name] = threading.Thread(target=ask_one, args=(name,), daemon=True)
            self._asked[name].start()

    def wait_for(self, host: str | None) -> None:
        """Wait until it is known whether a host answers."""
        asked = self._asked.pop(host or "", None)
        if asked is None:
            return
        asked.join(_PROBE_LIMIT)
        if asked.is_alive() and host not in self.silent:
            self.silent[str(host)] = "timed out"
            self._report(kind="unreachable", host=host, said="timed out")

    def lost(self) -> tuple[str, str] | None:
        """The first host that was lost since the last call, and what ssh said."""
        found = None
        suspects, self._suspects = self._suspects, []
        for backend in suspects:
            said = self._lost.get(id(backend)) or self._sign_of_life(backend)
            if said:
                name = self._name(backend)
                self._note(name, backend, said)
                found = found or (name, said)
        return found

    def _note(self, name: str, backend: Any, said: str) -> None:  # noqa: ANN401 -- untyped
        self._lost[id(backend)] = said
        if name not in self.silent:
            self.silent[name] = said
            self._report(kind="unreachable", host=name, said=said)

    def _sign_of_life(self, backend: Any) -> str:  # noqa: ANN401 -- testinfra is untyped
        """What ssh said when the host did not even run `true`; empty when it did."""
        said = ""
        for _ in range(2):
            try:
                done = self._run(backend, "true")
            except (RuntimeError, OSError) as error:
                done = error.args[0] if error.args else error
            if getattr(done, "rc", 255) == 0:
                return ""
            said = str(getattr(done, "stderr", done)).strip() or "no answer"
            if isinstance(backend, SessionBackend) or any(words in said for words in SURE):
                break  # a session tries again itself
        return said

    def _run(self, backend: Any, command: str) -> Any:  # noqa: ANN401 -- testinfra is untyped
        if isinstance(backend, SessionBackend):
            return self._session(backend, command)
        if isinstance(backend, testinfra.backend.ssh.SshBackend):
            return self._ssh(backend, backend.get_command(command))
        if isinstance(backend, testinfra.backend.podman.PodmanBackend):
            return self._podman(backend, command)
        return backend.run(command)

    def _patch(self) -> None:
        """Have testinfra tell of every command whose exit code may mean that the host is gone."""
        ssh, podman = testinfra.backend.ssh.SshBackend, testinfra.backend.podman.PodmanBackend
        session: Any = SessionBackend
        self._ssh, self._podman, self._session = ssh.run_ssh, podman.run, session.run

        def run_session(backend: Any, command: str, *args: str, **kwargs: Any) -> Any:  # noqa: ANN401
            self._refuse_lost(backend)
            try:
                done = self._session(backend, command, *args, **kwargs)
            except (Unreachable, NotEnded):
                self._suspects.append(backend)
                raise
            if done.rc == _SSH_FAILED and backend.session.route.connection == "ssh":
                raise RuntimeError(done)  # as with testinfra's ssh: no check may live on this code
            return done

        def run_ssh(backend: Any, command: str) -> Any:  # noqa: ANN401 -- testinfra is untyped
            self._refuse_lost(backend)
            try:
                return self._ssh(backend, command)
            except RuntimeError:  # exit code 255: ssh's own, or the command's
                self._suspects.append(backend)
                raise

        def run(backend: Any, command: str, *args: str, **kwargs: Any) -> Any:  # noqa: ANN401
            self._refuse_lost(backend)
            done = self._podman(backend, command, *args, **kwargs)
            if done.rc in _NO_SHELL:
                self._suspects.append(backend)
            return done

        ssh.run_ssh, podman.run, session.run = run_ssh, run, run_session

    def _refuse_lost(self, backend: Any) -> None:  # noqa: ANN401 -- testinfra is untyped
        if id(backend) in self._lost:
            self._suspects.append(backend)
            raise HostUnreachable(f"{self._name(backend)}: {self._lost[id(backend)]}")

    @staticmethod
    def _name(backend: Any) -> str:  # noqa: ANN401 -- testinfra is untyped
        """The inventory's name of the host, else the address that was asked for."""
        for runner in testinfra_ansible.AnsibleRunner._runners.values():  # noqa: SLF001
            for name, known in runner._host_cache.items():  # noqa: SLF001
                if known is not None and known.backend is backend:
                    return str(name)
        return str(backend.hostname)


class GateReport:
    """The hooks that report, and that keep checks from waiting for a host that is gone."""

    def __init__(self, job: dict[str, Any], report: Callable[..., None]) -> None:
        self._report = report
        self._reach = _Reach(report)
        self._checks: dict[str, _Check] = {}
        self._inventory_file: str = job["inventory_file"]
        self._hosts: list[str] = job["hosts"]

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> None:
        """Ask the hosts of this process's checks for a sign of life, all at once."""
        on = {_host(item) for item in session.items}
        self._reach.ask(self._inventory_file, [host for host in self._hosts if host in on])

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Run no check on a host that is gone: each would wait for it again."""
        host = _host(item)
        self._reach.wait_for(host)
        if host in self._reach.silent:
            raise HostUnreachable(self._reach.silent[host])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add a phase (setup, call, teardown) to what its check came to; the worst counts."""
        report = yield
        check = self._checks.setdefault(item.nodeid, _Check(_name(item), _host(item)))
        check.seconds += call.duration
        check.called = check.called or call.when == "call"
        error = call.excinfo.value if call.excinfo else None
        lost = self._reach.lost()
        if lost:
            check.worsen("unreachable", f"{lost[0]}: {lost[1]}")
        elif isinstance(error, HostUnreachable):
            check.worsen("unreachable", str(error))
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


def pytest_configure(config: pytest.Config) -> None:
    """Begin to report, when there is somebody to report to."""
    if JOB_FD not in os.environ:
        return
    job_fd, report_fd = int(os.environ.pop(JOB_FD)), int(os.environ.pop(REPORT_FD))
    for descriptor in (job_fd, report_fd):
        os.set_inheritable(descriptor, False)  # noqa: FBT003 -- positional only
    with os.fdopen(job_fd, "rb") as file:
        job = json.load(file)
    writing = threading.Lock()

    def report(**line: object) -> None:
        bounded = {k: v[:_LONGEST] if isinstance(v, str) else v for k, v in line.items()}
        # One message of a SOCK_SEQPACKET socket: whole, whichever part of the gate sends at once.
        data = json.dumps(bounded, ensure_ascii=False).encode("utf-8", "replace")
        with writing:
            os.write(report_fd, data)

    _use_inventory(job["inventory_file"], job["inventory"])
    parts = Parts(job["hosts"], job["parts"], host_of=_host, report=report)
    config.pluginmanager.register(parts, "drcli-gate-parts")
    config.pluginmanager.register(GateReport(job, report), "drcli-gate-report")


def _use_inventory(path: str, content: dict[str, Any]) -> None:
    """Spare testinfra an `ansible-inventory` of its own; reach its hosts through sessions."""
    load = testinfra_ansible.get_ansible_inventory

    def inventory(config: Any, inventory_file: str | None) -> Any:  # noqa: ANN401 -- untyped
        return content if inventory_file == path else load(config, inventory_file)

    testinfra.backend.base.CommandResult.__repr__ = _show_result
    testinfra_ansible.get_ansible_inventory = inventory
    carry_ansible()


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
