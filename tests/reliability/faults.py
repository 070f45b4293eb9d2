"""`make faults`: every fault of the catalogue, and every service stopped, one after another.

    python tests/reliability/faults.py             all that has not been done yet
    python tests/reliability/faults.py NAME ...    these faults, or the services of these components

Each fault is given to a lab in its seeded state. A row is printed when it is done and kept in
build/faults.json: whoever is interrupted goes on there; a row is done anew when its fault or the
code was changed, so that all of the table are of one code. When all are done, and none was chosen,
the table goes to docs/reliability.md. Exit code 1 when any row is not as it must be.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from faults_on_the_lab import PATIENCE, Row, Site, read_site, stop_service, try_fault
from on_the_lab import PROJECT, Lab
from reliability.table import code, measured
from services_on_the_lab import MUTATIONS, SERVICES

KEPT = PROJECT / "build" / "faults.json"
PAGE = PROJECT / "docs" / "reliability.md"
CODE, WHEN = code(), measured()  # as they are when it begins
BEGIN, END = "<!-- results: written by `make faults` -->", "<!-- end of the results -->"


def main(chosen: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(Path(folder))
        lab.must("lab", "up")
        site = read_site(lab)
        unknown = set(chosen) - set(site.faults) - set(SERVICES)
        if unknown:
            print(f"no fault and no component: {', '.join(sorted(unknown))}", file=sys.stderr)
            return 2
        done = _read(site)
        for name in site.faults:
            if name in chosen or not (chosen or _is_done(done.get(name))):
                lab.must("lab", "reset")
                _keep(done, try_fault(lab, site, name), _digest(site, name))
        for component in SERVICES:
            if component in chosen or not (chosen or _services_done(done, component)):
                _services(lab, component, done)
        if not chosen:
            _write([done[name] for name in _digests(site)])
        if not os.environ.get("DRCLI_KEEP_LAB"):
            lab.must("lab", "down")
    bad = [name for name, row in done.items() if row["wrong"]]
    told = f"; not so: {', '.join(bad)}" if bad else ""
    print(f"{len(done) - len(bad)} of {len(done)} as they must be{told}")
    return int(bool(bad))


def _digest(site: Site, name: str) -> str:
    """What a kept row must have been made of to count still."""
    fault = json.dumps(site.faults[name] | {"given": []}) + CODE
    return hashlib.sha256(fault.encode()).hexdigest()[:12]


def _digests(site: Site) -> dict[str, str]:
    """Every row of the table, in its order, and what it must have been made of to count still."""
    services = (f"{unit} stopped on {host}" for _, unit, host in MUTATIONS)
    return {name: _digest(site, name) for name in site.faults} | dict.fromkeys(services, CODE)


def _is_done(row: dict | None) -> bool:
    return row is not None and not row["wrong"]


def _services_done(done: dict[str, dict], component: str) -> bool:
    stopped = [(unit, host) for one, unit, host in MUTATIONS if one == component]
    return all(_is_done(done.get(f"{u} stopped on {h}")) for u, h in stopped)


def _services(lab: Lab, component: str, done: dict[str, dict]) -> None:
    """Stop each service of a component on each host; the component is whole before and after."""
    lab.must("lab", "reset")
    for unit, hosts in SERVICES[component].items():
        for host in hosts:
            row = stop_service(lab, component, unit, host)
            try:
                again = lab.recover("--component", component, timeout=PATIENCE)
                if again.code:
                    row.wrong.append("the component was not recovered afterwards")
            except subprocess.SubprocessError as error:
                row.wrong.append(str(error))
            _keep(done, row, CODE)


def _keep(done: dict[str, dict], row: Row, of: str) -> None:
    """Show a row, and keep it for whoever goes on after an interruption."""
    done[row.fault] = {**asdict(row), "of": of}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(done, indent=1))
    print(_line(done[row.fault]), flush=True)
    for what in row.wrong:
        print(f"    {what}", flush=True)


def _line(row: dict) -> str:
    verdict = "NOT SO" if row["wrong"] else "ok"
    return (
        f"{row['fault']:<32} {row['noticed']:<60} {row['expected']:<10} {row['got']:<10}"
        f" {row['seconds']:5.0f} s  {verdict}"
    )


def _read(site: Site) -> dict[str, dict]:
    """The rows that were kept and still count: of what there is, and of this code."""
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    digests = _digests(site)
    return {name: row for name, row in kept.items() if row["of"] == digests.get(name)}


def _write(rows: list[dict]) -> None:
    table = [
        "| fault | the gate that noticed it | expected | came | seconds |",
        "|---|---|---|---|---|",
        *(
            f"| {row['fault']} | {row['noticed']} | {row['expected']}"
            f" | {row['got']}{' (not as it must be)' if row['wrong'] else ''}"
            f" | {row['seconds']:.0f} |"
            for row in rows
        ),
    ]
    text = PAGE.read_text(encoding="utf-8")
    found = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    assert found.search(text), f"{PAGE} has lost its markers"
    block = "\n".join([BEGIN, WHEN, "", *table, "", END])
    PAGE.write_text(found.sub(lambda _: block, text), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
