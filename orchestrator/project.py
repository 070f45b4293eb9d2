"""Where things lie: the project's folder, its sites, and paths that may not leave it."""

from __future__ import annotations

import configparser
import difflib
import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from orchestrator.errors import InputError
from orchestrator.state_directory import below_home

VARIABLE = "DRCLI_PROJECT"
_MOST_NAMES = 200  # that a misspelt one is compared with
_MOST_TOLD = 20
SLUG = r"^[a-z0-9][a-z0-9-]{0,62}$"


def find_project(start: Path | None = None) -> Path:
    """The folder that holds `inventories/`: `start` or the current folder, or the nearest above.

    DRCLI_PROJECT names it outright where no `start` is given.

    Raises:
        InputError: there is none.
    """
    named = os.environ.get(VARIABLE)
    if start is None and named:
        project = below_home(Path(named)).absolute()
        if not _is_dir(project / "inventories"):
            raise InputError(
                f"{VARIABLE}={named}: there is no folder inventories/ in it",
                hint="Name the folder of the project.",
            )
        return project
    here = (start or Path.cwd()).absolute()
    for folder in (here, *here.parents):
        if (folder / "inventories").is_dir():
            return folder
    raise InputError(
        f"no project here: {here} and the folders above it have no inventories/",
        hint=f"Go to the project's folder, or name it with --project or {VARIABLE}.",
    )


def site_names(project: Path) -> tuple[str, ...]:
    """The sites of a project, by name: the folders of `inventories/` that hold a site.yml.

    Raises:
        InputError: a folder cannot be read.
    """
    folder = project / "inventories"
    try:
        found = [f.name for f in folder.iterdir() if (f / "site.yml").is_file()]
    except OSError as error:
        raise InputError(
            f"{error.filename or folder}: cannot be read: {error.strerror}",
            hint="Work as a user who may read the project.",
        ) from error
    return tuple(sorted(name for name in found if is_slug(name)))


def site_folder(project: Path, name: str) -> Path:
    """`inventories/NAME` of an existing site.

    Raises:
        InputError: the name is none, no such site, or its folder lies outside the project.
    """
    names = site_names(project)
    if not is_slug(name):
        raise InputError(
            f"{name!r} cannot be a site's name",
            hint="A name is small letters, digits and hyphens. List the sites: drcli validate",
        )
    if name not in names:
        raise InputError(
            f"no site {name!r} in {project / 'inventories'}{did_you_mean(name, names)}",
            hint="A site is a folder with a site.yml.",
        )
    folder = project / "inventories" / name
    require_inside(project, folder)
    return folder


def is_slug(name: str) -> bool:
    """Whether a name is safe as a folder, a group and an argument."""
    return re.fullmatch(SLUG, name) is not None


def require_inside(project: Path, path: Path) -> None:
    """Refuse a path that a symbolic link leads out of the project.

    Raises:
        InputError: it does, or it leads nowhere but round.
    """
    try:
        target, root = path.resolve(), project.resolve()
    except (OSError, RuntimeError) as error:  # on Python 3.11 a RuntimeError of links
        said = getattr(error, "strerror", None) or "it leads to itself"
        raise InputError(
            f"{path}: cannot be followed: {said}", hint="Put the file itself there."
        ) from error
    if not target.is_relative_to(root):
        raise InputError(
            f"{path} leads out of the project, to {target}",
            hint="Put the file itself there, not a symbolic link.",
        )


def _is_dir(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, a folder that may not be searched
        return False


def ansible_setting(project: Path, name: str) -> str:
    """A setting of [defaults] in the project's ansible.cfg; empty when it is not there.

    Raises:
        InputError: the file cannot be read.
    """
    path = project / "ansible.cfg"
    config = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    try:
        config.read(path, encoding="utf-8")
        return config.get("defaults", name, fallback="").strip()
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        said = " ".join(str(error).split())
        raise InputError(f"{path}: cannot be read: {said}") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'dns'?` for the nearest known name, else `; there are: dns, time`."""
    names = list(islice(known, _MOST_NAMES))
    near = difflib.get_close_matches(name[:63], names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    more = ", ..." if len(names) > _MOST_TOLD else ""
    return f"; there are: {', '.join(names[:_MOST_TOLD])}{more}" if names else "; there is none"
