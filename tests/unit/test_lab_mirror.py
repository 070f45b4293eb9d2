"""The mirror that apt is configured with, as the image of another machine can use it."""

from __future__ import annotations

import pytest

from orchestrator.lab.mirror import mirror_of

KEY = "/usr/share/keyrings/debian-archive-keyring.gpg"
DEB822 = f"""\
# Written by the installer
Types: deb deb-src
URIs: http://mirror.internal/debian
Suites: bookworm bookworm-updates
Components: main
 contrib
Signed-By: {KEY}

Types: deb
URIs: http://mirror.internal/debian-security
Suites: bookworm-security
Components: main
Signed-By: {KEY}
"""


@pytest.fixture
def apt(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_both_kinds_of_files_are_read(apt):
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822)
    (apt / "sources.list").write_text(
        "# deb http://old.internal/debian bookworm main\n"
        "deb [arch=amd64] http://second.internal/debian/ bookworm main  # nearer\n"
        "deb-src http://mirror.internal/debian bookworm main\n"
    )
    assert mirror_of("bookworm", apt) == (
        "deb http://second.internal/debian/ bookworm main",
        f"deb [signed-by={KEY}] http://mirror.internal/debian bookworm main contrib",
        f"deb [signed-by={KEY}] http://mirror.internal/debian bookworm-updates main contrib",
        f"deb [signed-by={KEY}] http://mirror.internal/debian-security bookworm-security main",
    )


def test_another_suite_is_no_mirror_of_this_one(apt):
    (apt / "sources.list.d" / "debian.sources").write_text(DEB822.replace("bookworm", "trixie"))
    assert mirror_of("bookworm", apt) == ()


def test_updates_alone_are_no_debian(apt):
    (apt / "sources.list").write_text("deb http://m.internal/debian bookworm-updates main\n")
    assert mirror_of("bookworm", apt) == ()


def test_a_machine_without_apt_has_none(tmp_path):
    assert mirror_of("bookworm", tmp_path / "nowhere") == ()


@pytest.mark.parametrize(
    "text",
    [
        "deb https://download.docker.example/linux/debian bookworm stable\n",
        "deb [signed-by=/etc/apt/keyrings/own.gpg] https://apt.own.example/debian bookworm main\n",
        "deb https://apt.own.example bookworm main\n",
        "deb file:/srv/debian bookworm main\n",
    ],
    ids=["no-main", "other-key", "not-debian", "no-network"],
)
def test_what_debian_has_not_signed_is_left_out(apt, text):
    (apt / "sources.list").write_text(text)
    assert mirror_of("bookworm", apt) == ()


@pytest.mark.parametrize("line", ["Enabled: no", "Types: deb-src"])
def test_what_is_switched_off_is_left_out(apt, line):
    name = line.split(":")[0]
    kept = [text for text in DEB822.splitlines() if not text.startswith(name)]
    text = "\n".join(kept).replace(f"Signed-By: {KEY}", f"Signed-By: {KEY}\n{line}")
    (apt / "sources.list.d" / "debian.sources").write_text(text)
    assert mirror_of("bookworm", apt) == ()
