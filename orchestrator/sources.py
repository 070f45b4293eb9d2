"""The files a plan is made of: read, never executed."""

from __future__ import annotations

import ast
import hashlib
import warnings
from collections.abc import Iterable, Iterator
from importlib.util import decode_source
from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.project import require_inside

_DECLARATION = "minimum_checks"
_NOT_CONTENT = {"__pycache__", ".pytest_cache", ".ansible"}


def minimum_checks(gate: Path) -> int:
    """The fewest checks a gate says it runs on each host: its `minimum_checks = N`, N at least 1.

    Raises:
        InputError: the file cannot be read as Python, does not declare it so, or has two checks of
            one name.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # pytest shows them, with the gate's checks
            tree = ast.parse(decode_source(gate.read_bytes()), filename=str(gate))
        _refuse_twice(gate, tree.body, {})
    except SyntaxError as error:
        raise InputError(
            f"{gate}:{error.lineno or 1}:{error.offset or 1}: not Python: {error.msg}",
            hint="Correct the gate.",
        ) from None
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        words = getattr(error, "strerror", None) or error
        raise InputError(f"{gate}:1:1: cannot be read: {words}", hint="Correct it.") from None
    found = [node for statement in tree.body if (node := _declared(statement)) is not None]
    where = f"{gate}:{found[-1].lineno}:{found[-1].col_offset + 1}" if found else f"{gate}:1:1"
    if len(found) != 1:
        how = "is declared more than once" if found else "is not declared"
        raise InputError(
            f"{where}: {_DECLARATION} {how}",
            hint=f"Write `{_DECLARATION} = N`: the fewest checks it runs on each host.",
        )
    value = found[0].value if isinstance(found[0], ast.Constant) else None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(
            f"{where}: {_DECLARATION} must be a number from 1 on, written out",
            hint="It is read without running the file.",
        )
    return value


def _refuse_twice(gate: Path, body: list[ast.stmt], lines: dict[str, int]) -> None:
    """Of two checks of one name Python keeps the second, and the first is never run.

    `lines` has the names of the scope so far, and gets those of `body`.
    """
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if node.name in lines and node.name.startswith(("test", "Test")):
                raise InputError(
                    f"{gate}:{node.lineno}:{node.col_offset + 1}: "
                    f"{node.name} is already on line {lines[node.name]}",
                    hint="Give it a name of its own: the first one would never run.",
                )
            lines[node.name] = node.lineno
        if isinstance(node, ast.ClassDef):
            _refuse_twice(gate, node.body, {})
        before = dict(lines)
        for branch in _branches(node):
            names = dict(before)  # what another branch has is no first one
            _refuse_twice(gate, branch, names)
            lines.update(names)
        if isinstance(node, ast.Try | ast.TryStar):
            _refuse_twice(gate, node.finalbody, lines)


def _branches(node: ast.stmt) -> tuple[list[ast.stmt], ...]:
    """The statements of which Python runs the one list or the other, in the scope of the node."""
    match node:
        case ast.If():
            return node.body, node.orelse
        case ast.With():
            return (node.body,)
        case ast.Try() | ast.TryStar():
            return [*node.body, *node.orelse], *(handler.body for handler in node.handlers)
        case _:
            return ()


def _declared(statement: ast.stmt) -> ast.expr | None:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name == _DECLARATION:
            return value
        case ast.AnnAssign(target=ast.Name(id=name), value=value) if name == _DECLARATION:
            return value
        case _:
            return None


def content_hash(project: Path, site: str) -> str:
    """SHA-256 of all that a recovery of the site runs, in hex.

    That is ansible.cfg, everything in playbooks/ (roles and gates too) and in inventories/SITE/
    except its lab/: names and bytes, in a fixed order, each with its length before it.
    Links count as what they lead to.

    Raises:
        InputError: a file cannot be read, or a symbolic link leads out of the project.
    """
    return hash_of(project, source_files(project, site))


def source_files(project: Path, site: str) -> Iterator[Path]:
    """The files that `content_hash` is made of, in its order.

    Raises:
        InputError: a symbolic link leads out of the project.
    """
    inventory = project / "inventories" / site
    for root in (project / "ansible.cfg", project / "playbooks", inventory):
        yield from files_below(root, project=project, without=(inventory / "lab",))


def hash_of(project: Path, files: Iterable[Path]) -> str:
    """SHA-256 of the names and bytes of these files of the project, in hex.

    Raises:
        InputError: a file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        for path in files:
            name = path.relative_to(project).as_posix().encode("utf-8", "surrogateescape")
            for part in (name, _content(path)):
                digest.update(len(part).to_bytes(8, "big") + part)
    except OSError as error:
        raise InputError(
            f"{error.filename}: cannot be read: {error.strerror}",
            hint="The plan's hash is made of every file in playbooks/ and the site's folder.",
        ) from error
    return digest.hexdigest()


def files_below(
    path: Path,
    *,
    project: Path | None = None,
    without: tuple[Path, ...] = (),
    above: tuple[Path, ...] = (),
) -> Iterator[Path]:
    """Every file at or below a path, in a fixed order, behind links as well, as Ansible reads them.

    A link that leads round is not followed.

    Raises:
        InputError: a folder cannot be read, or a link leads out of the project that is named.
    """
    if path in without or path.name in _NOT_CONTENT or path.suffix == ".pyc":
        return
    if project and path.is_symlink():
        require_inside(project, path)
    if not path.is_dir():
        if path.exists():
            yield path
        return
    real = path.resolve()
    if real not in above:
        try:
            inside = sorted(path.iterdir())
        except OSError as error:
            raise InputError(
                f"{path}: cannot be read: {error.strerror}",
                hint="Ansible reads every file in playbooks/ and the site's folder.",
            ) from error
        for inner in inside:
            yield from files_below(inner, project=project, without=without, above=(*above, real))


def _content(path: Path) -> bytes:
    if not path.is_file():
        return b"no file"  # a pipe or a socket: opening it might never return
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
