"""Where a cluster may be spoken to, and how: in clear within one machine, else TLS both ways."""

from __future__ import annotations

import subprocess
import sys

import pytest

from orchestrator.errors import InputError
from orchestrator.scheduler_address import scheduler_address


@pytest.fixture
def tls(tmp_path):
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (tmp_path / name).write_text(name)
        (tmp_path / name).chmod(0o600)
    return tmp_path


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost"])
def test_in_clear_within_one_machine(host):
    address = scheduler_address(f"tcp://{host}:8786")
    assert str(address) == f"tcp://{host}:8786"
    assert address.certificates is None


@pytest.mark.parametrize(
    "host", ["10.0.0.5", "0.0.0.0", "[::]", "[fe80::1]", "scheduler", "127.0.0.1.evil"]
)
def test_in_clear_to_another_machine_is_refused_with_the_way_out(host, tls):
    with pytest.raises(InputError) as caught:
        scheduler_address(f"tcp://{host}:8786", tls)
    assert caught.value.exit_code == 2
    assert "refused: off loopback a cluster speaks TLS alone" in caught.value.message
    assert f"tls://{host}:8786" in caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        *("", "127.0.0.1:8786", "tcp://127.0.0.1", "ws://127.0.0.1:1", "inproc://x:1"),
        *("tls://a:b", "tls://:8786", "tls://a:99999", "tcp://127.0.0.1:8786/x"),
    ],
)
def test_what_is_no_such_address_is_refused(text, tls):
    with pytest.raises(InputError) as caught:
        scheduler_address(text, tls)
    assert "is not the address of a scheduler" in caught.value.message


def test_tls_wants_certificates(tls, monkeypatch):
    monkeypatch.delenv("DRCLI_CLUSTER_TLS", raising=False)
    with pytest.raises(InputError, match="no certificates"):
        scheduler_address("tls://10.0.0.5:8786")
    assert scheduler_address("tls://10.0.0.5:8786", tls).certificates.key == tls / "key.pem"
    monkeypatch.setenv("DRCLI_CLUSTER_TLS", str(tls))
    assert scheduler_address("tls://10.0.0.5:8786").certificates.ca == tls / "ca.pem"


def test_a_key_that_others_can_read_is_refused(tls):
    (tls / "key.pem").chmod(0o640)
    with pytest.raises(InputError) as caught:
        scheduler_address("tls://10.0.0.5:8786", tls)
    assert caught.value.hint == f"chmod 600 {tls / 'key.pem'}"


def test_a_missing_file_is_named(tls):
    (tls / "ca.pem").unlink()
    with pytest.raises(InputError, match=r"ca\.pem"):
        scheduler_address("tls://10.0.0.5:8786", tls)


@pytest.mark.parametrize(
    ("module", "slow"),
    [
        ("orchestrator.cli.recover", ("dask", "distributed")),
        ("orchestrator.cli.cluster", ("dask", "distributed")),
        ("orchestrator.cli.verify", ("dask", "distributed", "sqlalchemy", "ansible_runner")),
    ],
)
def test_nobody_waits_for_a_library_who_does_not_use_it(module, slow):
    code = f"import sys, {module}; sys.exit(bool({set(slow)} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
