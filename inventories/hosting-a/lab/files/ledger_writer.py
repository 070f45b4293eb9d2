#!/usr/bin/python3
"""Write to the site as its users do, and say what was acknowledged, one JSON line each.

    ledger-writer --rows 100          a hundred rows, one commit each
    ledger-writer --rows 0            rows until it is ended or the site loses its power
    ledger-writer --studies 0         the same with images: one study at a time, over DICOM

A line is printed only after the site has said that the write is done: what stands on standard
output must be there after a power cut. A write that was not acknowledged is never printed and never
repeated under the same id. The checksum of a study is that of its data set, the file without its
header (which every server writes anew).
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import secrets
import struct
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg2

CONNECTION = (
    "host=db1,db2 port=5432 dbname=ledger user=ledger"
    " target_session_attrs=read-write connect_timeout=5"
)

STORE = ("pacs.hosting-a.internal", "4242")

# A small secondary capture of 16 x 16 grey points, as dcmtk's dump2dcm reads it.
STUDY = """\
(0008,0005) CS [ISO_IR 192]
(0008,0016) UI [1.2.840.10008.5.1.4.1.1.7]
(0008,0018) UI [{uid}.1.1]
(0008,0020) DA [20250101]
(0008,0030) TM [120000]
(0008,0050) SH [LAB]
(0008,0060) CS [OT]
(0008,0064) CS [SYN]
(0008,0090) PN []
(0010,0010) PN [Lab^Ledger]
(0010,0020) LO [LEDGER]
(0010,0030) DA []
(0010,0040) CS [O]
(0020,000d) UI [{uid}]
(0020,000e) UI [{uid}.1]
(0020,0010) SH [1]
(0020,0011) IS [1]
(0020,0013) IS [1]
(0020,0020) CS []
(0028,0002) US 1
(0028,0004) CS [MONOCHROME2]
(0028,0010) US 16
(0028,0011) US 16
(0028,0100) US 8
(0028,0101) US 8
(0028,0102) US 7
(0028,0103) US 0
(7fe0,0010) OW {words}
"""


def acknowledge(**what: object) -> None:
    print(json.dumps(what), flush=True)


def count(number: int) -> Iterator[int]:
    return itertools.count() if number == 0 else iter(range(number))


def write_rows(number: int, pause: float) -> None:
    """Insert and commit one row at a time; `number` 0 means until ended.

    A server that is away is tried again, as applications do; the row under way is given up.
    """
    connection = None
    for _ in count(number):
        payload = secrets.token_hex(64)
        sha256 = hashlib.sha256(payload.encode()).hexdigest()
        try:
            connection = connection or psycopg2.connect(CONNECTION)
            cursor = connection.cursor()
            cursor.execute(
                "INSERT INTO acknowledged (payload, sha256) VALUES (%s, %s) RETURNING id",
                (payload, sha256),
            )
            (row,) = cursor.fetchone()
            connection.commit()
        except psycopg2.Error as error:
            words = " ".join(str(error).split())
            print(f"ledger-writer: a row was not acknowledged: {words}", file=sys.stderr)
            connection = None
            time.sleep(1)
            continue
        acknowledge(kind="row", id=row, sha256=sha256)
        time.sleep(pause)


def make_study(folder: Path, uid: str) -> tuple[Path, str]:
    """A DICOM file of a new study, and the SHA-256 of its data set."""
    words = "\\".join(f"{word:04x}" for word in struct.unpack("<128H", secrets.token_bytes(256)))
    text, file = folder / "study.txt", folder / "study.dcm"
    text.write_text(STUDY.format(uid=uid, words=words), encoding="ascii")
    subprocess.run(["dump2dcm", "+te", text, file], check=True, capture_output=True)
    content = file.read_bytes()
    (header,) = struct.unpack("<I", content[140:144])
    return file, hashlib.sha256(content[144 + header :]).hexdigest()


def write_studies(number: int, pause: float) -> None:
    """Store one study after the other; `number` 0 means until ended."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in count(number):
            uid = f"2.25.{uuid.uuid4().int}"
            file, sha256 = make_study(Path(folder), uid)
            said = subprocess.run(
                ["storescu", "-v", "-to", "5", "-ta", "30", "-td", "30", *STORE, file],
                check=False, capture_output=True, text=True,
            )  # fmt: skip
            if (
                said.returncode == 0
                and "Received Store Response (Success)" in said.stdout + said.stderr
            ):
                acknowledge(kind="study", uid=uid, sha256=sha256)
            else:
                last = (said.stdout + said.stderr).strip().rpartition("\n")[2]
                print(f"ledger-writer: {uid} was not acknowledged: {last}", file=sys.stderr)
                time.sleep(1)
            time.sleep(pause)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--rows", type=int, help="how many rows; 0: until ended")
    what.add_argument("--studies", type=int, help="how many studies; 0: until ended")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two writes")
    asked = parser.parse_args()
    if asked.rows is not None:
        write_rows(asked.rows, asked.pause)
    else:
        write_studies(asked.studies, asked.pause)
    return 0


if __name__ == "__main__":
    sys.exit(main())
