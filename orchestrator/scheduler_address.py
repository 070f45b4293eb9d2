"""Where a cluster's scheduler is, and what proves who speaks: TLS both ways, or loopback alone.

Whoever can speak to a scheduler has its workers run what he likes. So an address off loopback is
refused without TLS, and one folder holds what a machine needs for it: `ca.pem`, the certificate of
an authority for this cluster alone, `cert.pem` and `key.pem`, the machine's own signed by it.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import InputError, MachineError

VARIABLE = "DRCLI_CLUSTER"
TLS_VARIABLE = "DRCLI_CLUSTER_TLS"
_ADDRESS = re.compile(
    r"(?P<scheme>[a-z]+)://(?P<host>\[[0-9a-fA-F:]+\]|[^\[\]:/\s]+):(?P<port>\d+)"
)


@dataclass(frozen=True, kw_only=True)
class Certificates:
    """The three files of a machine's TLS folder."""

    ca: Path
    cert: Path
    key: Path


@dataclass(frozen=True, kw_only=True)
class SchedulerAddress:
    """`scheme` is tcp (loopback alone) or tls; `certificates` are there exactly for tls."""

    scheme: str
    host: str
    port: int
    certificates: Certificates | None

    @property
    def loopback(self) -> bool:
        """Whether it cannot be reached from another machine."""
        return _is_loopback(self.host)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def scheduler_address(text: str, tls: Path | None = None) -> SchedulerAddress:
    """Read `tls://HOST:PORT`, or `tcp://` on loopback; `tls` or DRCLI_CLUSTER_TLS is the folder.

    Raises:
        InputError: it is no such address, would speak in clear to another machine, or a file of
            the TLS folder is missing or can be read by others.
        MachineError: the extra `cluster` is not installed.
    """
    if importlib.util.find_spec("distributed") is None:  # found, not imported: that is slow
        raise MachineError(
            f"{text}: a cluster needs dask.distributed, which is not installed here",
            hint="Install it: pip install 'drcli[cluster]'",
        )
    match = _ADDRESS.fullmatch(text)
    if match is None or match["scheme"] not in {"tcp", "tls"} or int(match["port"]) > 65_535:  # noqa: PLR2004 -- the last port
        raise InputError(
            f"{text!r} is not the address of a scheduler",
            hint="Write tls://HOST:8786, or on one machine tcp://127.0.0.1:8786.",
        )
    host, port = match["host"].strip("[]"), int(match["port"])
    if match["scheme"] == "tcp":
        if not _is_loopback(host):
            raise InputError(
                f"{text}: refused: off loopback a cluster speaks TLS alone, both ways",
                hint=f"Write tls://{match['host']}:{port}, and name the folder of the certificates "
                f"with {TLS_VARIABLE}. How to make them: docs/scale.md.",
            )
        return SchedulerAddress(scheme="tcp", host=host, port=port, certificates=None)
    named = os.environ.get(TLS_VARIABLE)
    folder = tls or (Path(named).expanduser().absolute() if named else None)
    if folder is None:
        raise InputError(
            f"{text}: no certificates to prove who we are",
            hint=f"Name the folder of ca.pem, cert.pem and key.pem with {TLS_VARIABLE}. "
            "How to make them: docs/scale.md.",
        )
    return SchedulerAddress(scheme="tls", host=host, port=port, certificates=_certificates(folder))


def _certificates(folder: Path) -> Certificates:
    found = Certificates(ca=folder / "ca.pem", cert=folder / "cert.pem", key=folder / "key.pem")
    for path in (found.ca, found.cert, found.key):
        if not path.is_file() or not os.access(path, os.R_OK):
            raise InputError(
                f"{path}: no such file, or not ours to read",
                hint="How to make certificates: docs/scale.md.",
            )
    if found.key.stat().st_mode & 0o077:
        raise InputError(f"{found.key}: others can read this key", hint=f"chmod 600 {found.key}")
    return found


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
