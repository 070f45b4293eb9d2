"""What the gates of applications send is what they meant to send."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import testinfra

CONFTEST = Path(__file__).parents[2] / "playbooks" / "applications" / "conftest.py"


@pytest.fixture
def shared(monkeypatch):
    spec = importlib.util.spec_from_file_location("gates_of_applications", CONFTEST)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    "words",
    [
        "e5d6\\6ed9\\32ab\\412c",  # seen: \\412 became the end of a line, the gate red
        "aaaa\\cccc\\nnnn",
        "100 %s %d %%",
        'it\'s "quoted" $HOME `id`',
    ],
)
def test_a_study_has_the_words_that_were_drawn(shared, tmp_path, words):
    written = tmp_path / "a study.txt"
    shared.write(testinfra.get_host("local://"), str(written), f"first\n{words}\nlast\n")
    assert written.read_text() == f"first\n{words}\nlast\n"
