"""Every error a person can meet, in one tree: a message, a hint, an exit code.

DrcliError                     3  a bug, unless a subclass says otherwise
+-- InputError                 2  wrong usage or wrong input: file, line, field, what to do
+-- MachineError               2  this machine lacks something: podman, root, disk
+-- RecoveryError              1  an expected failure: not recovered, held, lock taken
|   +-- LockedError            1  another run of the site is under way
|   +-- JournalError           1  the journal cannot be written or read: the run stops
+-- Interrupted              130  Ctrl-C or a signal
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class DrcliError(Exception):
    """An error: a message for a person, a hint (what to do next) and the process's exit code."""

    exit_code = 3

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(DrcliError):
    """Wrong usage or wrong input; the message names file, line and field where there are any."""

    exit_code = 2


class MachineError(DrcliError):
    """This machine lacks something drcli needs; the hint names the mend."""

    exit_code = 2


class RecoveryError(DrcliError):
    """An expected failure of a recovery or of the lab."""

    exit_code = 1


class LockedError(RecoveryError):
    """Another run of the same site holds its lock; the message says who and since when."""


class JournalError(RecoveryError):
    """The journal cannot be written or read; the run stops before it acts any further."""


class Interrupted(DrcliError):  # noqa: N818 -- it is a request to stop, not a fault
    """Ctrl-C or a signal: children were ended and the journal closed before this is raised."""

    exit_code = 130


def one_line(text: object) -> str:
    """Foreign text for a message: on one line, with nothing that a terminal would obey."""
    words = " ".join(str(text).split())
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)


@contextmanager
def noting(errors: list[InputError], prefix: str = "") -> Iterator[None]:
    """Put a wrong input into `errors` and go on, so that all are told at once."""
    try:
        yield
    except InputError as error:
        errors.append(InputError(prefix + error.message, hint=error.hint))


def join_errors(errors: Sequence[InputError]) -> InputError:
    """Several wrong inputs as one error with a line for each, so that all are mended in one go."""
    if len(errors) == 1:
        return errors[0]
    lines = [
        f"{error.message}; {error.hint[:1].lower()}{error.hint[1:].rstrip('.')}"
        if error.hint and "\n" not in error.message
        else error.message
        for error in errors
    ]
    hint = "Correct each of these, then: drcli validate"
    return InputError("\n".join(dict.fromkeys(lines)), hint=hint)
