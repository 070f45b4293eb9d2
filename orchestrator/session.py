"""A testinfra backend on one session kept open with each host; and the pytest plugin that adds it.

    pytest -p orchestrator.session --hosts=session://user@host:port
    pytest -p orchestrator.session --hosts=ansible://group --session

It says what `ssh HOST COMMAND` would, exactly, but logs in once: a command costs one round trip.
With `--session` the hosts of an Ansible inventory are reached so too (connections ssh, local,
podman and docker); what it cannot do is left to testinfra as before. docs/session.md says more.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest
import testinfra.backend
import testinfra.backend.ansible
import testinfra.backend.base
import testinfra.host
import testinfra.utils.ansible_runner as testinfra_ansible

from orchestrator.host_session import SURE, HostSession, NotEnded
from orchestrator.route import Route, ansible_route, ssh_route
from orchestrator.shell import Unreachable

__all__ = ["SURE", "NotEnded", "SessionBackend", "Unreachable", "carry_ansible", "open_all"]


class SessionBackend(testinfra.backend.base.BaseBackend):  # type: ignore[misc] # testinfra is untyped
    """Runs commands in a session with one host."""

    NAME = "session"
    limit: float | None = None  # seconds for each command that names none

    def __init__(
        self,
        hostspec: str,
        ssh_config: str | None = None,
        ssh_identity_file: str | None = None,
        timeout: int = 10,
        route: Route | None = None,
        *args: Any,  # noqa: ANN401 -- testinfra is untyped
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        name = hostspec
        if route is None:
            spec = self.parse_hostspec(hostspec)
            name = spec.name
            route = ssh_route(
                spec.name,
                user=spec.user,
                port=spec.port,
                password=spec.password,
                config=ssh_config,
                identity=ssh_identity_file,
                timeout=int(timeout),
            )
        super().__init__(name, *args, **kwargs)
        self.session = HostSession(route)

    def run(
        self,
        command: str,
        *args: str,
        timeout: float | None = None,
        repeat: bool = True,
        **_: Any,  # noqa: ANN401 -- options of other backends
    ) -> Any:  # noqa: ANN401 -- testinfra is untyped
        """Run a command; `timeout` are seconds, `repeat=False` says that it must not run twice.

        Raises:
            Unreachable: the host is, or the session was lost twice.
            NotEnded: the time limit was reached; the command was ended on the host.
        """
        data = self.encode(self.get_command(command, *args))
        limit = self.limit if timeout is None else timeout
        answer = self.session.run(data, limit=limit, repeat=repeat, ending=self.get_command)
        return self.result(answer.code, data, answer.out, answer.err)


testinfra.backend.BACKENDS["session"] = f"{__name__}.{SessionBackend.__name__}"


def carry_ansible() -> None:
    """From now on reach the hosts of `ansible://` through sessions, wherever that can be done."""
    connect = testinfra_ansible.get_ansible_host
    if getattr(connect, "carried", False):
        return

    def host(config: Any, inventory: Any, name: str, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        known = inventory["_meta"].get("hostvars", {}).get(name, {})
        identity = options.get("ssh_identity_file")
        if options.get("ssh_config") or testinfra_ansible.is_empty_inventory(inventory):
            return connect(config, inventory, name, *args, **options)
        route = ansible_route(name, known, identity=identity)
        if route is None:
            return connect(config, inventory, name, *args, **options)
        return _host(SessionBackend(name, route=route))

    def run(backend: Any, command: str, *args: str, **options: Any) -> Any:  # noqa: ANN401
        found = None if backend.force_ansible else _behind(backend)
        if found is None:
            return by_itself(backend, command, *args, **options)
        return found.run(backend.get_command(command, *args), **options)

    by_itself = testinfra.backend.ansible.AnsibleBackend.run
    host.carried = True  # type: ignore[attr-defined]
    testinfra_ansible.get_ansible_host = host
    testinfra.backend.ansible.AnsibleBackend.run = run


def open_all(hosts: Iterable[Any]) -> list[threading.Thread]:
    """Open the sessions of testinfra's hosts, all at once; returns the threads that do it.

    A host that cannot be reached says so to its first command.
    """

    def opening(session: HostSession) -> None:
        with suppress(Unreachable, OSError):
            session.open()

    backends = {id(backend): backend for host in hosts if (backend := _behind(host.backend))}
    threads = [
        threading.Thread(target=opening, args=(backend.session,), daemon=True)
        for backend in backends.values()
    ]
    for thread in threads:
        thread.start()
    return threads


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the plugin's options."""
    group = parser.getgroup("session", "testinfra through one session a host")
    group.addoption(
        "--session", action="store_true", help="reach the hosts of ansible:// through sessions too"
    )
    group.addoption(
        "--session-limit",
        type=float,
        metavar="SECONDS",
        help="end a command that takes longer, unless it names a limit of its own",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Do what the options say."""
    SessionBackend.limit = config.getoption("--session-limit")
    if config.getoption("--session"):
        carry_ansible()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Open the sessions of all hosts that have a check."""
    specs = (getattr(item, "callspec", None) for item in session.items)
    hosts = (spec.params.get("_testinfra_host") for spec in specs if spec)
    open_all({id(host): host for host in hosts if host is not None}.values())


def _host(backend: SessionBackend) -> Any:  # noqa: ANN401 -- testinfra is untyped
    host = testinfra.host.Host(backend)
    backend.set_host(host)
    return host


def _behind(backend: Any) -> SessionBackend | None:  # noqa: ANN401 -- testinfra is untyped
    """The session of a backend, or of the host that one of `ansible://` leads to."""
    if isinstance(backend, testinfra.backend.ansible.AnsibleBackend) and not backend.force_ansible:
        found = backend.ansible_runner.get_host(
            backend.host,
            ssh_config=backend.ssh_config,
            ssh_identity_file=backend.ssh_identity_file,
        )
        backend = found.backend if found is not None else None
    return backend if isinstance(backend, SessionBackend) else None
