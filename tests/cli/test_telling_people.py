"""Bulletins, hand-over, trend and evidence, through the real command on a real run."""

from __future__ import annotations

import hashlib
import json
import tarfile
from xml.etree import ElementTree as ET

import pytest

LAYERS = {
    "network": [{"name": "routing", "hosts": "img1", "settle": "0s"}],
    "applications": [
        {"name": "imaging", "hosts": "img1", "settle": "0s", "serves": ["radiology"]},
        {"name": "mail", "hosts": "img1", "settle": "0s", "serves": ["mail"]},
    ],
}
EXTRA = {
    "rto": "4h",
    "services": {
        "radiology": {"hospitals": ["north"], "criticality": "vital",
                      "title": {"en": "Medical imaging", "fr": "Imagerie médicale"}},
        "mail": {"hospitals": ["north"], "title": {"en": "Mail", "fr": "Messagerie"}},
    },
}  # fmt: skip


@pytest.fixture
def project(make_project):
    return make_project(LAYERS, extra=EXTRA)


@pytest.fixture
def half_up(project, drcli):
    """A recovery that brought back all but the imaging."""
    playbook = project / "playbooks/applications/imaging.yml"
    playbook.write_text(
        "- hosts: img1\n  gather_facts: false\n  tasks: [{ansible.builtin.fail: }]\n"
    )
    assert drcli("recover", "--site", "room-a", cwd=project).returncode == 1
    return project


def say(drcli, project, *words):
    done = drcli(*words, cwd=project)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_bulletin_in_two_languages_is_one_bulletin_and_the_next_refers_to_it(drcli, half_up):
    said = say(drcli, half_up, "bulletin", "--lang", "en", "--lang", "fr", "--zone", "UTC")
    english, french = said.split("room-a : ")
    assert english.startswith("room-a: bulletin 1, ")
    assert french.startswith("bulletin n° 1, ")
    assert "Not available:\n- Medical imaging (north)" in english
    assert "De nouveau disponibles :\n- Messagerie (north)" in french
    assert "This is the first bulletin." in english
    draft = say(drcli, half_up, "bulletin", "--draft")
    assert "bulletin 2" in draft
    again = say(drcli, half_up, "bulletin", "--for", "crisis")
    assert "bulletin 2" in again  # a draft is none
    assert "To be decided or repaired by a person:\n- imaging: " in again
    assert "The last bulletin was of" in again


def test_a_bulletin_for_nobody_or_nothing_is_told(drcli, project):
    assert drcli("bulletin", cwd=project).returncode == 2
    assert drcli("bulletin", "--lang", "de", cwd=project).returncode == 2
    assert drcli("handover", cwd=project).returncode == 2


def test_a_zone_that_is_none_is_told(drcli, half_up):
    done = drcli("bulletin", "--zone", "Mars/Olympus", cwd=half_up)
    assert done.returncode == 2
    assert "no such time zone" in done.stderr


def test_a_handover_names_what_failed_and_what_is_next(drcli, half_up):
    page = say(drcli, half_up, "handover")
    assert "## Down\n\n- imaging is failed" in page or "## Down\n- imaging is failed" in page
    assert "Medical imaging (vital) is down: imaging" in page
    assert "Next: drcli show" in page


def test_the_trend_has_each_recovery_and_a_picture(drcli, half_up, tmp_path):
    picture = tmp_path / "trend.svg"
    table = say(drcli, half_up, "trend", "--site", "room-a", "--out", str(picture))
    assert "not up" in table
    assert "MISSED" in table
    assert ET.parse(picture).getroot().tag.endswith("svg")
    (point,) = [json.loads(line) for line in say(
        drcli, half_up, "trend", "--site", "room-a", "--json").splitlines()]  # fmt: skip
    assert point["objective"] == 14400.0
    assert point["seconds"] is None


def test_the_evidence_is_whole_and_every_file_of_it_is_what_was_packed(drcli, half_up, tmp_path):
    archive = tmp_path / "evidence.tar.gz"
    say(drcli, half_up, "report", "--evidence", "--site", "room-a", "--out", str(archive))
    assert archive.stat().st_mode & 0o777 == 0o600
    with tarfile.open(archive) as packed:
        packed.extractall(tmp_path, filter="data")
    folder = tmp_path / "evidence-room-a"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    run = next(name for name in names if name.startswith("reports/"))[8:-5]
    assert names == {
        *("README.txt", "SHA256SUMS", "plan.html", "site.yml", "proofs.json", "drills.json"),
        *("trend.svg", f"reports/{run}.html", f"journal/{run}.jsonl"),
    }
    for line in (folder / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    checked = drcli("journal", "verify", "--file", folder / f"journal/{run}.jsonl", cwd=half_up)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_report_as_pdf_is_one_and_asks_nobody(drcli, half_up, tmp_path):
    out = tmp_path / "report.pdf"
    say(drcli, half_up, "report", "--format", "pdf", "--out", str(out))
    content = out.read_bytes()
    assert content.startswith(b"%PDF-")
    assert content.rstrip().endswith(b"%%EOF")
    assert out.stat().st_mode & 0o777 == 0o600
    assert drcli("report", "--format", "pdf", cwd=half_up).returncode == 2


@pytest.mark.parametrize("words", [("--evidence",), ("--evidence", "--site", "room-a")])
def test_evidence_wants_a_site_and_a_file(drcli, half_up, words):
    assert drcli("report", *words, cwd=half_up).returncode == 2


def test_a_notice_of_a_real_run_whose_target_is_dead_holds_nothing(drcli, make_project):
    notices = [{"when": ["failed", "finished"], "env": "ONCALL"},
               {"when": ["finished"], "env": "NOBODY_SET_THIS"}]  # fmt: skip
    project = make_project(LAYERS, extra={**EXTRA, "notices": notices})
    done = drcli("recover", "--site", "room-a", cwd=project, env={"ONCALL": "json://127.0.0.1:9/"})
    assert done.returncode == 0, done.stderr
    assert "notices 1 (ONCALL): 1 not delivered" in done.stderr
    assert "notices 2: NOBODY_SET_THIS is not in the environment" in done.stderr
    assert "127.0.0.1:9" not in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("notice", "told"),
    [
        ({"when": ["rain"], "env": "X"}, "'rain' is unknown"),
        (
            {"when": ["failed"], "env": "mailto://me:secret@host"},
            "is no name of a variable",
        ),
        ({"when": [], "env": "X"}, "empty"),
    ],
)
def test_a_wrong_rule_is_told_with_its_place(drcli, make_project, notice, told):
    project = make_project(LAYERS, extra={**EXTRA, "notices": [notice]})
    done = drcli("validate", "--site", "room-a", cwd=project)
    assert done.returncode == 2
    assert told in done.stderr
    assert "site.yml:" in done.stderr
