"""`drcli worker`, `drcli scheduler` and DRCLI_CLUSTER: what is refused before anything is done."""

from __future__ import annotations

import pytest

COMMANDS = [
    ("recover", "--site", "room-a"),
    ("verify", "--site", "room-a"),
]


@pytest.fixture
def without_dask(tmp_path):
    """An environment whose Python has no dask.distributed, as without the extra."""
    folder = tmp_path / "without"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "def none(name, *args):\n"
        "    return None if name in {'dask', 'distributed'} else find(name, *args)\n"
        "PathFinder.find_spec = none\n"
    )
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize(
    "words",
    [
        *COMMANDS,
        ("worker", "--site", "room-a", "--scheduler", "tcp://10.0.0.5:8786"),
        ("scheduler", "--listen", "tcp://10.0.0.5:8786"),
    ],
)
def test_in_clear_off_loopback_is_refused(drcli, make_project, words):
    env = {"DRCLI_CLUSTER": "tcp://10.0.0.5:8786"}
    done = drcli(*words, cwd=make_project(), env=env)
    assert done.returncode == 2
    assert "tcp://10.0.0.5:8786: refused: off loopback a cluster speaks TLS alone" in done.stderr
    assert "hint: Write tls://10.0.0.5:8786" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        *COMMANDS,
        ("worker", "--site", "room-a", "--scheduler", "tcp://127.0.0.1:8786"),
        ("scheduler", "--listen", "tcp://127.0.0.1:8786"),
    ],
)
def test_without_the_extra_it_is_named(drcli, make_project, without_dask, words):
    env = {"DRCLI_CLUSTER": "tcp://127.0.0.1:8786", **without_dask}
    done = drcli(*words, cwd=make_project(), env=env)
    assert done.returncode == 2
    assert "hint: Install it: pip install 'drcli[cluster]'" in done.stderr


def test_without_a_cluster_nobody_misses_the_extra(drcli, make_project, without_dask):
    project = make_project({"network": [{"name": "routing", "hosts": "img1"}]})
    done = drcli("recover", "--site", "room-a", cwd=project, env=without_dask)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", COMMANDS)
def test_a_scheduler_that_is_not_there_is_an_error_before_anything_starts(
    drcli, make_project, words
):
    project = make_project()
    done = drcli(*words, cwd=project, env={"DRCLI_CLUSTER": "tcp://127.0.0.1:1"})
    assert done.returncode == 2
    assert "cannot reach the scheduler tcp://127.0.0.1:1" in done.stderr
    assert "unset DRCLI_CLUSTER" in done.stderr
    assert drcli("runs", cwd=project).stdout.count("room-a") == 0
    assert not list((project / "marks").iterdir())


def test_a_worker_without_a_scheduler_says_so(drcli, make_project):
    words = ("--site", "room-a", "--scheduler", "tcp://127.0.0.1:1")
    done = drcli("worker", *words, cwd=make_project())
    assert done.returncode == 2
    assert "cannot reach the scheduler tcp://127.0.0.1:1" in done.stderr


@pytest.mark.parametrize("vault", ["script", "prompt"])
def test_a_vault_password_that_a_worker_would_have_to_ask_for_is_refused(
    drcli, make_project, tmp_path, vault
):
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\necho secret\n")
    script.chmod(0o755)
    source = script if vault == "script" else "prompt"
    words = ("--vault-id", f"dev@{source}")
    env = {"DRCLI_CLUSTER": "tcp://127.0.0.1:1"}
    done = drcli("recover", "--site", "room-a", *words, cwd=make_project(), env=env)
    assert done.returncode == 2
    assert "is no plain file: workers cannot ask for it" in done.stderr
