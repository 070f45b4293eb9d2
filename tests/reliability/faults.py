"""`make faults`: every fault of the catalogue, and every service stopped, one after another.

    python tests/reliability/faults.py             all that has not been done yet
    python tests/reliability/faults.py NAME ...    these faults, or the services of these components

Each fault is given to a lab in its seeded state. A row is printed when it is done and kept in
build/faults.json: whoever is interrupted goes on there; a row is done anew when its fault was
changed. The table goes to docs/reliability.md. Exit code 1 when any row is not as it must be.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from faults_on_the_lab import PATIENCE, Row, Site, read_site, stop_service, try_fault
from on_the_lab import NAME, PROJECT, Lab
from services_on_the_lab import SERVICES

KEPT = PROJECT / "build" / "faults.json"
PAGE = PROJECT / "docs" / "reliability.md"
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
        done = {} if chosen else _read()
        for name, fault in site.faults.items():
            digest = hashlib.sha256(json.dumps(fault | {"given": []}).encode()).hexdigest()[:12]
            if (chosen and name not in chosen) or done.get(name, {}).get("of") == digest:
                continue
            lab.must("lab", "reset")
            _keep(done, name, try_fault(lab, site, name), digest)
        for component in SERVICES:
            if (chosen and component not in chosen) or f"services of {component}" in done:
                continue
            _services(lab, component, done)
        rows = _read() if chosen else _whole(done, site)
        _write(rows)
    bad = [name for name, row in done.items() if row.get("wrong")]
    print(f"{len(done) - len(bad)} of {len(done)} as they must be"
          + (f"; not so: {', '.join(bad)}" if bad else f"; the lab {NAME} stays up"))  # fmt: skip
    return int(bool(bad))


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
            _keep(done, row.fault, row, component)
    done[f"services of {component}"] = {"mark": True}
    _save(done)


def _keep(done: dict[str, dict], name: str, row: Row, digest: str) -> None:
    done[name] = {**asdict(row), "of": digest}
    _save(done)
    print(_line(row.__dict__), flush=True)
    for what in row.wrong:
        print(f"    {what}", flush=True)


def _line(row: dict) -> str:
    verdict = "NOT SO" if row["wrong"] else "ok"
    return (
        f"{row['fault']:<32} {row['noticed']:<60} {row['expected']:<10} {row['got']:<10}"
        f" {row['seconds']:5.0f} s  {verdict}"
    )


def _read() -> dict[str, dict]:
    return json.loads(KEPT.read_text()) if KEPT.exists() else {}


def _save(done: dict[str, dict]) -> None:
    KEPT.parent.mkdir(exist_ok=True)
    whole = _read() | done
    KEPT.write_text(json.dumps(whole, indent=1))


def _whole(done: dict[str, dict], site: Site) -> dict[str, dict]:
    """What was done, without faults that are in the catalogue no more."""
    known = {c["name"] for c in site.components}
    return {
        name: row for name, row in done.items() if name in site.faults or row.get("of") in known
    }


def _write(rows: dict[str, dict]) -> None:
    table = [
        "| fault | the gate that noticed it | expected | came | seconds |",
        "|---|---|---|---|---|",
        *(
            f"| {row['fault']} | {row['noticed']} | {row['expected']}"
            f" | {row['got']}{' (not as it must be)' if row['wrong'] else ''}"
            f" | {row['seconds']:.0f} |"
            for row in rows.values()
            if "fault" in row
        ),
    ]
    text = PAGE.read_text(encoding="utf-8")
    found = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    assert found.search(text), f"{PAGE} has lost its markers"
    block = "\n".join([BEGIN, "", *table, "", END])
    PAGE.write_text(found.sub(lambda _: block, text), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
