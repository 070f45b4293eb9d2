"""The backups' drill and gate: whose line of the log counts after a promotion by mistake."""

from __future__ import annotations

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

import pytest

PLAYBOOKS = Path(__file__).parents[2] / "playbooks"


def loaded(name, path):
    loader = SourceFileLoader(name, str(PLAYBOOKS / path))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


@pytest.fixture
def drill(monkeypatch, tmp_path):
    """The drill's own module, where a repository answers and a restored server says `row`."""
    module = loaded("backups_drill", "roles/backups/files/backups-drill")
    monkeypatch.setattr(module, "run", lambda *_: json.dumps([{"backup": [{"label": "1F"}]}]))
    wanted, found = tmp_path / "wanted.json", tmp_path / "found.json"
    wanted.write_text('{"token": "row", "timeline": 3}')
    words = ["backups-drill", "site", str(tmp_path / "scratch"), str(wanted), str(found)]
    monkeypatch.setattr(module.sys, "argv", words)
    return module


def test_it_replays_the_line_that_the_primary_is_on_not_the_latest(drill, monkeypatch, tmp_path):
    seen = {}

    def look(scratch):
        seen["settings"] = (scratch / "postgresql.conf").read_text().splitlines()
        return "row", 7

    monkeypatch.setattr(drill, "look", look)
    drill.main()
    assert "recovery_target_timeline = '3'" in seen["settings"]
    assert json.loads((tmp_path / "found.json").read_text())["rows"] == 7
    assert not (tmp_path / "scratch").exists()


def test_what_it_must_find_is_what_was_asked_when_it_began(drill, monkeypatch, tmp_path):
    def look(scratch):
        (tmp_path / "wanted.json").write_text('{"token": "of a later run", "timeline": 3}')
        return "row", 7

    monkeypatch.setattr(drill, "look", look)
    drill.main()
    assert json.loads((tmp_path / "found.json").read_text())["token"] == "row"


def test_another_row_is_not_todays_database(drill, monkeypatch, tmp_path):
    monkeypatch.setattr(drill, "look", lambda scratch: ("of yesterday", 7))
    with pytest.raises(SystemExit, match="end before today: 'of yesterday'"):
        drill.main()
    assert not (tmp_path / "found.json").exists()


def gap(info_start, names, line):
    """The gate's check, of a repository with these segments and a primary on this line."""
    gate = loaded("gate_backups", "storage/test_backups.py")

    class Repository:
        def check_output(self, _):
            return " ".join(f"{name}-0123456789abcdef0123.lz4" for name in names)

    info = {"backup": [{"label": "1F", "archive": {"start": info_start}}], "archive": [{"id": "1"}]}
    told = lambda _: {"db1": line, "db2": ""}  # noqa: E731
    gate.test_the_archived_log_has_no_gap(Repository(), info, "/repository", "site", told)


def segments(timeline, *numbers):
    return [f"{timeline:08X}{0:08X}{number:08X}" for number in numbers]


def test_segments_of_another_line_fill_no_gap():
    gap(*segments(1, 3), segments(1, 3, 4, 5), "1")
    with pytest.raises(AssertionError, match="lacks 1 segments, the first is 4"):
        gap(*segments(1, 3), segments(1, 3, 5) + segments(2, 4, 5), "1")


def test_what_went_before_a_promotion_belongs_to_the_line_and_what_came_after_does_not():
    line = "2\n1\t0/5000060\tno recovery target specified\n"
    gap(*segments(1, 3), segments(1, 3, 4) + segments(2, 5, 6), line)
    with pytest.raises(AssertionError, match="lacks 1 segments, the first is 6"):
        gap(*segments(1, 3), segments(1, 3, 4, 5, 6) + segments(2, 5, 7), line)
