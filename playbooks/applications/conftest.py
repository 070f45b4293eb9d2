"""What the gates of imaging share: a study of their own, sent and fetched from the client."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from testinfra.backend.base import CommandResult
from testinfra.host import Host

TAGS = """\
(0008,0016) UI [1.2.840.10008.5.1.4.1.1.7]
(0008,0018) UI [{uid}.1.1]
(0008,0020) DA [20250101]
(0008,0030) TM [120000]
(0008,0060) CS [OT]
(0008,0064) CS [SYN]
(0010,0010) PN [Gate^Client]
(0010,0020) LO [{patient}]
(0020,000d) UI [{uid}]
(0020,000e) UI [{uid}.1]
(0020,0011) IS [1]
(0020,0013) IS [1]
(0028,0002) US 1
(0028,0004) CS [MONOCHROME2]
(0028,0010) US 4
(0028,0011) US 4
(0028,0100) US 8
(0028,0101) US 8
(0028,0102) US 7
(0028,0103) US 0
(7fe0,0010) OW {words}
"""


@dataclass(frozen=True)
class Study:
    """A DICOM study of one image, in a folder of the client; `checksum` is of its data set."""

    client: Host
    folder: str
    uid: str
    checksum: str

    def store(self, server: str, port: int) -> str:
        """Send it (C-STORE); the status that the server answered."""
        said = self.client.run(
            "timeout 45 storescu -v -to 5 -td 30 %s %s %s/study.dcm", server, str(port), self.folder
        )
        answers = [line for line in _lines(said) if "Received Store Response" in line]
        return (answers or _lines(said))[-1].partition("Response ")[2] or _lines(said)[-1]

    def find(self, server: str, port: int) -> list[str]:
        """Ask for it (C-FIND); the identifiers of the studies that match."""
        said = self.client.run(
            "timeout 45 findscu -S -to 5 -td 30"
            " -k QueryRetrieveLevel=STUDY -k StudyInstanceUID=%s %s %s",
            self.uid, server, str(port),
        )  # fmt: skip
        matches = [line for line in _lines(said) if "(0020,000d)" in line]
        return [line.partition("[")[2].partition("]")[0].strip(" \0") for line in matches]

    def fetch(self, server: str, port: int) -> str:
        """Get it back (C-GET); the checksum of what came, or what was said instead."""
        got = f"{self.folder}/got"
        said = self.client.run(
            f"rm -rf {got} && mkdir {got} && timeout 45 getscu -v +B -S -to 5 -td 30 -od {got}"
            f" -k QueryRetrieveLevel=STUDY -k StudyInstanceUID={self.uid} {server} {port}"
        )
        checksum = self.client.run(f"dcmconv -F {got}/* {got}.set && sha256sum {got}.set")
        if checksum.rc == 0:
            return checksum.stdout.split()[0]
        answers = [line for line in _lines(said) if "Received C-GET Response" in line]
        return (answers or _lines(said))[-1]

    def remove(self, server: str, port: int) -> None:
        """Have the server forget it, over REST."""
        url = f"http://{server}:{port}"
        found = self.client.run(f"curl -sf -m 10 --data {self.uid} {url}/tools/lookup")
        for match in json.loads(found.stdout or "[]") if found.rc == 0 else []:
            self.client.run(f"curl -s -m 10 -X DELETE {url}{match['Path']}")


def write(host: Host, path: str, text: str) -> None:
    """Write a text to a file of a host, as it is: with backslashes, per cent signs and all."""
    host.check_output("printf %s %s >%s", "%s", text, path)


def _lines(said: CommandResult) -> list[str]:
    return (said.stdout + said.stderr).strip().splitlines() or ["it said nothing"]


@pytest.fixture
def study(
    client: Host, variables: dict[str, Any], address_of: Callable[..., str]
) -> Iterator[Study]:
    """A new study; afterwards it is gone from the client and from the imaging servers."""
    uid = f"2.25.{uuid.uuid4().int}"
    token = uuid.uuid4().hex[:16]
    words = "\\".join(token[at : at + 4] for at in range(0, 16, 4)) + "\\0000" * 4
    folder = client.check_output("mktemp -d /tmp/gate.XXXXXXXX")
    tags = TAGS.format(uid=uid, patient=f"GATE-{token}", words=words)
    write(client, f"{folder}/study.txt", tags)
    checksum = client.check_output(
        f"dump2dcm +te {folder}/study.txt {folder}/study.dcm"
        f" && dcmconv -F {folder}/study.dcm {folder}/study.set && sha256sum {folder}/study.set"
    ).split()[0]
    made = Study(client=client, folder=folder, uid=uid, checksum=checksum)
    yield made
    rest = variables.get("imaging_rest_port", variables.get("frontend_rest_port"))
    made.remove(address_of(variables["inventory_hostname"]), rest)
    client.run("rm -rf %s", folder)
