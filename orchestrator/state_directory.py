"""Where a controller keeps its own memory: journal, locks, artifacts, logs of drcli's own bugs.

STATE/journal.db       every event of every run
STATE/locks/SITE.lock  one run a site at a time
STATE/artifacts/RUN/   what each attempt of a playbook left
STATE/bug-*.log        a traceback, for whoever mends drcli
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
import traceback
from datetime import UTC, datetime
from pathlib import Path

from platformdirs import user_state_dir

from orchestrator.errors import InputError, MachineError, one_line

JOURNAL = "journal.db"
VARIABLE = "DRCLI_STATE_DIR"


def state_directory(given: Path | None = None) -> Path:
    """The folder given, else DRCLI_STATE_DIR, else the user's own; it is not made yet.

    Raises:
        InputError: it begins with `~NAME`, and there is no such user; or it is not UTF-8.
    """
    named = given or os.environ.get(VARIABLE)
    folder = below_home(Path(named)).absolute() if named else Path(user_state_dir("drcli"))
    try:
        str(folder).encode()
    except UnicodeEncodeError:  # the journal keeps paths below it, as text
        raise InputError(
            f"the state directory {one_line(folder)}: its path is not UTF-8",
            hint=f"Name another folder with --state-dir or {VARIABLE}.",
        ) from None
    return folder


def below_home(path: Path) -> Path:
    """A path that a person wrote, with the home that its `~` or `~NAME` means.

    Raises:
        InputError: there is no such user.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: there is no user {path.parts[0][1:]!r} with a home",
            hint="Write the whole path.",
        ) from None


def make_private(folder: Path) -> Path:
    """Make `folder` (and what is missing above it) for this user alone, mode 0700; return it.

    Raises:
        MachineError: it cannot be made, is not a folder, is another user's, who could put a
            journal of his own there, or is open to others and holds more than drcli's memory.
    """
    try:
        for missing in reversed([folder, *folder.parents]):
            if not missing.is_dir():
                missing.mkdir(mode=0o700, exist_ok=True)
        found = folder.stat()
        if found.st_uid != os.geteuid():
            raise MachineError(
                f"the state directory {folder} belongs to {_user(found.st_uid)}",
                hint=f"Work as that user, or name a folder of your own with --state-dir or "
                f"{VARIABLE}.",
            )
        if found.st_mode & 0o077:
            _require_own(folder, found.st_mode)
            folder.chmod(0o700)
    except OSError as error:
        raise MachineError(
            f"cannot use the state directory {folder}: {error.strerror or error}",
            hint=f"Name a writable folder with --state-dir or {VARIABLE}.",
        ) from error
    return folder


def _require_own(folder: Path, mode: int) -> None:
    """Closing a folder that others use, as /tmp, would hurt them."""
    near = (folder, *folder.parents[:2])  # STATE/artifacts/RUN is two below STATE
    if any(folder.iterdir()) and not any((each / JOURNAL).is_file() for each in near):
        raise MachineError(
            f"the state directory {folder} is open to others (mode {stat.S_IMODE(mode):o}) and "
            "holds what is not drcli's",
            hint=f"Name a folder of its own with --state-dir or {VARIABLE}, or close this one: "
            f"chmod 700 {shlex.quote(str(folder))}",
        )


def write_private(path: Path, text: str) -> None:
    """Write a file that this user alone may read, mode 0600 whatever it was before.

    Raises:
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def write_bug_log(error: BaseException, state_dir: Path) -> Path | None:
    """Write the traceback to a new file of mode 0600; None when even that is impossible."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    path = state_dir / f"bug-{stamp}.log"
    try:
        make_private(state_dir)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as log:
            log.writelines(traceback.format_exception(error))
    except (OSError, MachineError):
        return None
    return path
