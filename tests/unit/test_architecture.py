"""The rules of ARCHITECTURE.md that a machine can keep."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGE = PROJECT / "orchestrator"
MODULES = sorted(PACKAGE.rglob("*.py"))
SINGLE_IMPORTERS = {
    "ansible_runner": {"playbook.py"},
    "testinfra": {"gate_plugin.py"},
    "pytest": {"gate_plugin.py"},
    "click": {path.relative_to(PACKAGE).as_posix() for path in (PACKAGE / "cli").glob("*.py")},
    "sqlalchemy": {"journal.py"},
    "rich": {"console.py", "cli/lab.py", "cli/lab_shared.py"},
}
VAGUE = {"utils", "helpers", "common", "manager", "base"}


def imported(path: Path) -> set[str]:
    """The top-level names of everything a module imports, wherever in it the import stands."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("library", SINGLE_IMPORTERS)
def test_each_library_has_its_importers_and_no_other(library):
    importers = {p.relative_to(PACKAGE).as_posix() for p in MODULES if library in imported(p)}
    assert importers
    assert importers <= SINGLE_IMPORTERS[library]


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_no_module_is_longer_than_400_lines(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_no_module_has_a_name_that_says_nothing():
    assert not VAGUE & {path.stem for path in MODULES}


def test_imports_go_one_way():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_console_and_the_command_line_print():
    printers = {
        p.relative_to(PACKAGE).as_posix()
        for p in MODULES
        for node in ast.walk(ast.parse(p.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    }
    assert printers <= {"console.py"}


def test_the_architecture_page_names_every_module():
    page = (PROJECT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = [p.relative_to(PACKAGE).as_posix() for p in MODULES if p.name != "__init__.py"]
    assert not [name for name in named if f"`{name}`" not in page]
