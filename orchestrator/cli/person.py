"""Who gives a run's command, and what signals do to it."""

from __future__ import annotations

import getpass
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from orchestrator.attempt import end_processes
from orchestrator.inbox import Inbox

SECOND_CTRL_C = 1.0  # seconds a second signal spends on killing before it gives way to the run


def person() -> str:
    """The person at the keyboard, as far as this machine tells: `sudo` keeps who called it."""
    try:
        name = os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # no entry for this uid: containers, or a directory that is down
        name = str(os.getuid())
    return name.encode(errors="replace").decode()  # the journal keeps it: what is no text is `?`


@contextmanager
def signals(run: str) -> Iterator[Inbox]:
    """An inbox that a signal asks to stop; a second signal kills what the run still has running."""
    inbox = Inbox()

    def handle(number: int, _: FrameType | None) -> None:
        if inbox.stop.is_set():
            end_processes(f"{run}/", patience=SECOND_CTRL_C)
        inbox.request_stop(signal.Signals(number).name)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup wants the run to go on
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield inbox
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
