#!/usr/bin/python3
"""Look whether the site still has what it acknowledged; one JSON line for each write that it lacks.

    ledger-reader < ledger.jsonl
    ledger-reader --only study --imaging img1.hosting-a.internal:8042 < ledger.jsonl

Reads the ledger's lines on standard input. Prints nothing when all is there. Ends with 0 when it
could look, whatever it found, and with 1 when it could not.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import struct
import sys
from collections.abc import Iterable

import psycopg2

CONNECTION = (
    "host=db1,db2 port=5432 dbname=ledger user=ledger"
    " target_session_attrs=read-write connect_timeout=5"
)
Record = dict[str, object]


def lost(record: Record, why: str) -> None:
    print(json.dumps({**record, "why": why}))


def check_rows(records: Iterable[Record]) -> None:
    """Compare each row's payload with the checksum that was acknowledged."""
    connection = psycopg2.connect(CONNECTION)
    cursor = connection.cursor()
    cursor.execute("SELECT id, payload FROM acknowledged")
    found = {row: hashlib.sha256(payload.encode()).hexdigest() for row, payload in cursor}
    for record in records:
        if record["id"] not in found:
            lost(record, "the row is not there")
        elif found[record["id"]] != record["sha256"]:
            lost(record, f"its payload has checksum {found[record['id']]}")


def instance_of(uid: str) -> str:
    """The name that Orthanc gives to the one image of a study: a hash of its DICOM identifiers."""
    name = f"LEDGER|{uid}|{uid}.1|{uid}.1.1"
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[at : at + 8] for at in range(0, 40, 8))


def check_studies(records: Iterable[Record], server: str) -> None:
    """Fetch each image, as it was stored, and compare the checksum of its data set."""
    connection = http.client.HTTPConnection(server, timeout=30)
    for record in records:
        connection.request("GET", f"/instances/{instance_of(str(record['uid']))}/file")
        answer = connection.getresponse()
        content = answer.read()
        if answer.status == 404:
            lost(record, "the study is not there")
        elif answer.status != 200:
            raise OSError(f"{server} answered {answer.status} {answer.reason}")
        else:
            (header,) = struct.unpack("<I", content[140:144])
            sha256 = hashlib.sha256(content[144 + header :]).hexdigest()
            if sha256 != record["sha256"]:
                lost(record, f"its data set has checksum {sha256}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=("row", "study"), help="look for one kind alone")
    parser.add_argument(
        "--imaging", default="pacs.hosting-a.internal:8042", help="whom to ask for studies"
    )
    asked = parser.parse_args()
    records = [json.loads(line) for line in sys.stdin]
    rows = [record for record in records if record["kind"] == "row"]
    studies = [record for record in records if record["kind"] == "study"]
    try:
        if rows and asked.only != "study":
            check_rows(rows)
        if studies and asked.only != "row":
            check_studies(studies, asked.imaging)
    except (psycopg2.Error, OSError, http.client.HTTPException) as error:
        print(f"ledger-reader: could not look: {error}".strip(), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
