"""Recovers a site again and again in one process, and says after each what that process holds.

Run as `python soaking.py PROJECT STATE SOCKETS TIMES`; one JSON line for each recovery.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from orchestrator.cli.main import main as drcli


def recover(state):
    said = StringIO()
    with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as ended:
        drcli.main(args=["recover", "--site", "room-a", "--state-dir", state])
    assert ended.value.code == 0, said.getvalue()


def held(sockets):
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "files": len(list(Path("/proc/self/fd").iterdir())),
        "threads": threading.active_count(),
        "children": len(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()),
        "sockets": len(list(sockets.iterdir())),
        "folders": len(list(Path(os.environ["XDG_RUNTIME_DIR"]).iterdir())),
        "memory": pages * os.sysconf("SC_PAGE_SIZE"),
    }


def main():
    project, state, sockets, times = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    os.chdir(project)
    for _ in range(int(times)):
        for mark in (project / "marks").iterdir():
            mark.unlink()
        recover(state)
        sys.stdout.write(json.dumps(held(sockets)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
