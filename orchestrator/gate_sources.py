"""What is wrong with gates that their files tell: read, never run.

A gate that imports what is not installed, or has no check of a host, can never be green.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import decode_source
from pathlib import Path
from typing import TypeGuard

from orchestrator.finding import Finding, Severity
from orchestrator.plan import Component

# Fixtures that are there without a conftest.py, and lead to no host.
_PLAIN_FIXTURES = {
    "request", "tmp_path", "tmp_path_factory", "tmpdir", "tmpdir_factory", "monkeypatch", "capsys",
    "capfd", "capsysbinary", "capfdbinary", "caplog", "recwarn", "pytestconfig", "cache",
    "record_property", "record_testsuite_property", "doctest_namespace", "subtests",
}  # fmt: skip


def gate_findings(project: Path, components: Iterable[Component]) -> Iterator[Finding]:
    """What is wrong with the gates of these components, each file told once."""
    told: set[Path] = set()
    for component in components:
        files = [component.gate, *_conftests(project, component.gate)]
        trees = {path: tree for path in files if (tree := _tree(path)) is not None}
        for path, tree in trees.items():
            if path not in told:
                told.add(path)
                yield from _import_findings(path, tree)
        gate = trees.get(component.gate)
        if gate is not None:
            yield from _check_findings(component, gate, trees)


def _import_findings(path: Path, tree: ast.Module) -> Iterator[Finding]:
    for name, line in _imported(tree.body):
        if not _installed(name, path.parent):
            yield Finding(
                name="gate-import",
                severity=Severity.BLOCKS,
                where=f"{path}:{line}",
                what=f"it imports {name}, which is not installed",
                mend=f"install it beside drcli: {sys.executable} -m pip install {name}",
            )


def _imported(statements: Iterable[ast.stmt]) -> Iterator[tuple[str, int]]:
    """The packages that a file imports as it is loaded; not what it tries or imports in a check."""
    for statement in statements:
        match statement:
            case ast.Import(names=names):
                yield from ((name.name.split(".")[0], statement.lineno) for name in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.split(".")[0], statement.lineno
            case ast.ClassDef(body=body) | ast.With(body=body):
                yield from _imported(body)


def _installed(name: str, folder: Path) -> bool:
    """Whether it can be found; nothing is imported, for it is a name without a dot."""
    if name in sys.stdlib_module_names or name in sys.modules:
        return True
    try:
        beside = importlib.machinery.PathFinder.find_spec(name, [str(folder)])
        return bool(beside or importlib.util.find_spec(name))
    except (ImportError, ValueError):
        return False


def _check_findings(
    component: Component, gate: ast.Module, trees: dict[Path, ast.Module]
) -> Iterator[Finding]:
    checks = [node for node in ast.walk(gate) if _is_check(node)]
    fixtures = {
        node.name: node
        for tree in reversed(trees.values())
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.decorator_list
    }
    if not checks:
        yield Finding(
            name="gate",
            severity=Severity.BLOCKS,
            where=f"{component.gate}:1",
            what=f"it has no check: component {component.name} can never be verified",
            mend="write `def test_...(host):`",
        )
    elif not any(_may_reach_host(check, fixtures) for check in checks):
        yield Finding(
            name="unchecked-host",
            severity=Severity.BLOCKS,
            where=f"{component.gate}:{checks[0].lineno}",
            what=f"no check takes `host`: nothing looks at {', '.join(component.hosts)}",
            mend="write `def test_...(host):`; it then runs on each host",
        )


def _is_check(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")


def _may_reach_host(function: ast.AST, fixtures: Mapping[str, ast.AST]) -> bool:
    """Whether a check takes `host`, itself or through fixtures; unknown ones may."""
    waiting, seen = [function], set[str]()
    while waiting:
        node = waiting.pop()
        if getattr(node, "decorator_list", None) and "usefixtures" in ast.dump(node):
            return True
        arguments = getattr(node, "args", None)
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args)] if arguments else []
        parametrized = {word for n in ast.walk(node) for word in _words_of(n)}
        for name in names:
            if name == "host":
                return True
            if name in seen or name in {"self", "cls"} | _PLAIN_FIXTURES:
                continue
            seen.add(name)
            if name in fixtures:
                waiting.append(fixtures[name])
            elif name not in parametrized:
                return True
    return False


def _words_of(node: ast.AST) -> list[str]:
    """The words of a text, such as the names that `parametrize` gives."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace(",", " ").split()
    return []


def _conftests(project: Path, gate: Path) -> list[Path]:
    folders = [folder for folder in gate.parents if folder.is_relative_to(project)]
    return [path for folder in folders if (path := folder / "conftest.py").is_file()]


def _tree(path: Path) -> ast.Module | None:
    """A file's syntax; None when it cannot be read: the plan tells that of a gate."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(decode_source(path.read_bytes()), filename=str(path))
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
