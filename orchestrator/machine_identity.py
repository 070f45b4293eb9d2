"""The right machine before anything is changed: /etc/machine-id against the inventory's variable.

A host key says that a machine is one of ours; after a power cut, with addresses given out anew, it
may still be another one of ours. Where a host has the variable `machine_id`, the machine that
answers at its address must have that id, else its component's playbook does not start.

Asked in a process of its own, in the attempt's environment, through one session a host: routes are
found there as they are for gates, and nothing of it outlives the attempt. A host that does not
answer is not held against anybody here: the playbook cannot reach it either.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event as Flag
from typing import Any

from orchestrator.attempt import end_processes, environment, new_mark
from orchestrator.errors import InputError, RecoveryError
from orchestrator.gate_inventory import Inventories, files_of, vault_settings, with_options
from orchestrator.host_session import HostSession, NotEnded
from orchestrator.route import ansible_route
from orchestrator.shell import Unreachable
from orchestrator.work import PlaybookRequest

VARIABLE = "machine_id"
_AT_ONCE = 50
_LIMIT = 15.0  # seconds for one host's answer, once it is reached
_POLL = 0.1
_MENTIONS = (VARIABLE.encode(), b"$ANSIBLE_VAULT;", b"plugin:")


def strangers(request: PlaybookRequest, inventories: Inventories, stop: Flag) -> tuple[str, ...]:
    """Why these hosts are not those of the inventory, a line each; none when they are, or silent.

    Raises:
        InputError: the inventory cannot be read.
        RecoveryError: the hosts could not be asked, or not within the request's time limit.
    """
    if not _may_declare(request.inventory, request.project):
        return ()
    mark = new_mark(request.run, f"{request.component}-identity", request.attempt)
    child = {**environment(request.project, mark), **vault_settings(request.options)}
    try:
        content = inventories.load(request.inventory, child, request.project, stop)
    except InputError:
        if stop.is_set():
            return ()  # the playbook itself will say so
        raise
    known = with_options(content, request.options)["_meta"]["hostvars"]
    expected = {
        host: _plain(known[host][VARIABLE])
        for host in request.hosts
        if known.get(host, {}).get(VARIABLE) is not None
    }
    wrong = [
        f"{host}: its {VARIABLE} in the inventory is no machine id: write 32 hexadecimal digits, "
        "in quotes"
        for host, wanted in expected.items()
        if not re.fullmatch(r"[0-9a-f]{32}", wanted)
    ]
    if wrong or not expected:
        return tuple(wrong)
    key = request.options.private_key
    asked = {
        "hosts": {host: known[host] for host in expected},
        "identity": str(key.absolute()) if key else None,
    }
    found = _ask(asked, child, request, mark, stop)
    return tuple(
        f"{host}: the machine at its address is {found[host]}, by the inventory it is {wanted}: "
        "the address belongs to another machine now; nothing was changed on it"
        for host, wanted in expected.items()
        if found.get(host) not in {None, wanted}
    )


def _may_declare(inventory: Path, project: Path) -> bool:
    """Whether a host may have the variable: read as text, since most inventories do not."""
    try:
        texts = (path.read_bytes() for path in files_of(inventory, project))
        return os.access(inventory, os.X_OK) or any(
            mention in text for text in texts for mention in _MENTIONS
        )
    except OSError:
        return True  # whoever loads it says what is wrong


def _ask(
    asked: Mapping[str, Any],
    child: Mapping[str, str],
    request: PlaybookRequest,
    mark: str,
    stop: Flag,
) -> dict[str, str | None]:
    deadline = time.monotonic() + request.timeout
    question: str | None = json.dumps(asked)
    with subprocess.Popen(  # noqa: S603 -- fixed words
        [sys.executable, "-P", "-m", __name__],
        cwd=request.project,
        env=dict(child),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            while True:
                try:
                    said, _ = process.communicate(question, timeout=_POLL)
                except subprocess.TimeoutExpired:
                    question = None  # it is on its way
                    if stop.is_set():
                        return {}
                    if time.monotonic() < deadline:
                        continue
                    raise _unasked(f"not within {request.timeout:g} s") from None
                if process.returncode:
                    raise _unasked(f"exit code {process.returncode}")
                return dict(json.loads(said))
        finally:
            end_processes(mark)


def _unasked(why: str) -> RecoveryError:
    return RecoveryError(f"its hosts could not be asked which machines they are: {why}")


def _machine_id(name: str, variables: Mapping[str, Any], identity: str | None) -> str | None:
    """What a host says it is; None when it does not say."""
    try:
        # Anybody may read it: becoming another user could only fail.
        route = ansible_route(name, {**variables, "ansible_become": False}, identity=identity)
        if route is None:
            return None
        session = HostSession(route)
        try:
            answer = session.run(b"cat /etc/machine-id", limit=_LIMIT)
        finally:
            session.close()
    except (Unreachable, NotEnded, OSError, ValueError):
        return None
    return _plain(answer.out.decode("ascii", "replace")) or None


def _plain(text: object) -> str:
    return str(text).strip().lower().replace("-", "")


def main() -> None:
    """Read who is to be asked from stdin, ask all at once, print what each said."""
    asked = json.load(sys.stdin)
    hosts = asked["hosts"]
    with ThreadPoolExecutor(min(_AT_ONCE, len(hosts))) as threads:
        found = threads.map(lambda n: _machine_id(n, hosts[n], asked["identity"]), hosts)
        json.dump(dict(zip(hosts, found, strict=True)), sys.stdout)


if __name__ == "__main__":
    main()
