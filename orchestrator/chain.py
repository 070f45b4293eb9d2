"""The chain of a run's records: each row carries a hash over itself and the hash before. Pure.

A row's hash is SHA-256, in hexadecimal, over the hash of the row before it (64 zeros for the first
of a run), a line feed, and the row's fields in the order of `FIELDS` as one compact JSON array in
ASCII. So whoever changes, takes out or moves a row would have to write every later hash anew, and
then the last one, the *head*, is another. What no chain can tell by itself: that its end was cut
off, that a whole run is gone, or that all of it was written anew. For these a head that was kept
elsewhere is compared.

`schema` is the journal's schema that a row was written under: rows of 1 and 2 had no hash, and
were chained when their journal was brought up. What happened to them before that, nothing tells.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError

GENESIS = "0" * 64
CHAINED_SINCE = 3  # the first schema whose rows are chained as they are written
FIELDS = (
    "run",
    "seq",
    "at",
    "elapsed",
    "kind",
    "subject",
    "detail",
    "schema",
    "fence",
    "event",
)
FORMAT = "drcli journal export 1"

Row = Mapping[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a run's chain came to: `fault` is empty when it holds; `head` is its last good hash.

    `late` counts the records that were chained only when an older journal was brought up.
    """

    run: str
    records: int
    head: str
    late: int = 0
    fault: str = ""
    hashes: frozenset[str] = frozenset()


def digest(before: str, row: Row) -> str:
    """The hash of a row that follows the one with the hash `before`."""
    content = json.dumps([row[name] for name in FIELDS], separators=(",", ":"))
    return hashlib.sha256(f"{before}\n{content}".encode("ascii")).hexdigest()


def check(run: str, rows: Iterable[Row]) -> Checked:
    """Go along a run's rows, in the order they stand in, to the first that breaks the chain."""
    head, late, hashes, number = GENESIS, 0, set(), 0
    fault = ""
    for number, row in enumerate(rows, 1):
        fault = _fault(run, number, head, row)
        if fault:
            number -= 1  # noqa: PLW2901 -- the last good one
            break
        head = row["hash"]
        hashes.add(head)
        late += row["schema"] < CHAINED_SINCE
    return Checked(
        run=run, records=number, head=head, late=late, fault=fault, hashes=frozenset(hashes)
    )


def _fault(run: str, number: int, before: str, row: Row) -> str:
    if row["run"] != run:
        return f"record {number} is of another run"
    if row["seq"] != number:
        return f"record {number} is missing: {row['seq']} stands in its place"
    if digest(before, row) != row["hash"]:
        return f"record {number} ({row['kind']}) is not what was written, or was put in"
    return ""


def exported(checked: Checked, rows: Iterable[Row]) -> Iterator[str]:
    """The lines of a file that can be checked without its journal: a heading, then the rows."""
    heading = {
        "format": FORMAT,
        "run": checked.run,
        "records": checked.records,
        "head": checked.head,
    }
    yield json.dumps(heading)
    for row in rows:
        yield json.dumps({name: row[name] for name in (*FIELDS, "hash")})


def check_file(path: Path) -> Checked:
    """Check a file made of `exported` by itself.

    Raises:
        InputError: it cannot be read, or is no such file.
    """
    hint = "Export a run again: drcli journal export RUN --out FILE"
    try:
        with path.open(encoding="utf-8") as file:
            heading = json.loads(file.readline(4096))
            if not isinstance(heading, dict) or heading.get("format") != FORMAT:
                raise InputError(f"{path}: not a file of `drcli journal export`", hint=hint)
            checked = check(str(heading.get("run")), map(_row, file))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not the lines of `drcli journal export`", hint=hint) from error
    promised = (heading.get("records"), heading.get("head"))
    if not checked.fault and (checked.records, checked.head) != promised:
        fault = f"its heading promises {heading.get('records')} records, here are {checked.records}"
        return Checked(run=checked.run, records=checked.records, head=checked.head, fault=fault)
    return checked


def _row(line: str) -> Row:
    row = json.loads(line)
    if not isinstance(row, dict) or {*FIELDS, "hash"} != row.keys():
        raise ValueError("other fields than a record has")
    if not isinstance(row["schema"], int):
        raise ValueError("no number of a schema")  # noqa: TRY004 -- told as any other wrong line
    return row
