"""Which hosts answer, as a gate sees it: asked before its checks, and whenever one seems lost.

Part of gate_plugin.py, which gives it testinfra's parts: it lives in the gate's own process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from orchestrator.ssh import is_dark

LIMIT = 30.0  # seconds; ssh's own ConnectTimeout and ServerAlive normally answer before


class HostUnreachable(Exception):  # noqa: N818 -- what pytest shows to a person
    """A host cannot be reached; the text is what ssh said. Gates import nothing else of drcli."""


class Reach:
    """Asks hosts for a sign of life; `silent` has those that gave none, and what ssh said.

    A command that ends as if its host were gone (exit code 255, ssh's own or the command's) is
    followed by another question. On a host that is lost nothing is tried again.
    `runner` is testinfra's one AnsibleRunner, `ssh` its SshBackend class, whose commands are
    watched from now on. While `dark_peers_of` names a host, others that are dark are no news; one
    that is there and lets nobody in is.
    """

    def __init__(self, runner: Any, ssh: Any, report: Callable[..., None]) -> None:  # noqa: ANN401 -- testinfra is untyped
        self.silent: dict[str, str] = {}
        self.dark_peers_of: str | None = None
        self._runner = runner
        self._report = report
        self._lost: dict[int, str] = {}  # by the id() of a backend, all of which live to the end
        self._news = ""
        self._backend = ssh
        self._ssh = ssh.run_ssh
        ssh.run_ssh = self._watched()

    def ask(self, hosts: Sequence[str]) -> None:
        """Ask every host at once; a daemon thread each, so that none can keep the process alive."""
        asked = {}
        for name in hosts:
            found = self._runner.get_host(name)
            if found is None:  # a connection only Ansible itself can make
                continue
            asked[name] = threading.Thread(
                target=self._ask_one, args=(name, found.backend), daemon=True
            )
            asked[name].start()
        deadline = time.monotonic() + LIMIT
        for name, thread in asked.items():
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self._note(name, "timed out")

    def lost_since_last_asked(self) -> str:
        """The host that a command found gone since the last call, and what ssh said, or nothing."""
        news, self._news = self._news, ""
        return news

    def _ask_one(self, name: str, backend: Any) -> None:  # noqa: ANN401 -- testinfra is untyped
        said = self._sign_of_life(backend)
        if said:
            self._lost[id(backend)] = said
            self._note(name, said)

    def _note(self, name: str, said: str) -> None:
        if name not in self.silent:
            self.silent[name] = said
            self._report(kind="unreachable", host=name, said=said)

    def _sign_of_life(self, backend: Any) -> str:  # noqa: ANN401 -- testinfra is untyped
        """What was said when the host did not even run `true`; empty when it did."""
        try:
            if isinstance(backend, self._backend):
                done = self._ssh(backend, backend.get_command("true"))
            else:
                done = backend.run("true")
        except (RuntimeError, OSError) as error:
            done = error.args[0] if error.args else error
        if getattr(done, "rc", 255) == 0:
            return ""
        return str(getattr(done, "stderr", done)).strip() or "no answer"

    def _watched(self) -> Callable[..., Any]:
        def run_ssh(backend: Any, command: str) -> Any:  # noqa: ANN401 -- testinfra is untyped
            name = self._name(backend)
            if id(backend) not in self._lost:
                try:
                    return self._ssh(backend, command)
                except RuntimeError:
                    said = self._sign_of_life(backend)
                    if not said:
                        raise
                    self._lost[id(backend)] = said
            said = self._lost[id(backend)]
            if self.dark_peers_of in {None, name} or not is_dark(said):
                self._note(name, said)
                self._news = f"{name}: {said}"
            raise HostUnreachable(f"{name}: {said}")

        return run_ssh

    def _name(self, backend: Any) -> str:  # noqa: ANN401 -- testinfra is untyped
        """The inventory's name of the host, else the address that was asked for."""
        for name, known in self._runner._host_cache.items():  # noqa: SLF001 -- no public way
            if known is not None and known.backend is backend:
                return str(name)
        return str(backend.hostname)
