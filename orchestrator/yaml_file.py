"""YAML from a person's hand -> plain values and where each stands; size, depth and aliases bounded.

YAML 1.2 (`no` and `22:22` are text), read from ruamel.yaml's stream of parse events, so that
nothing is ever constructed but mappings, sequences and scalars, and every fault of a file can be
told at once. Bounds are kept while reading: a file that nests deeply or whose aliases multiply is
refused before it takes memory or time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError

from orchestrator.errors import InputError, one_line

MAX_BYTES = 131_072
MAX_DEPTH = 24
MAX_VALUES = 10_000  # after aliases are expanded

MAX_TOLD = 30  # faults of one file

Location = tuple[str | int, ...]  # ("layers", 0, "name")
Event = Any  # ruamel.yaml types its events only in part
_TAG = "tag:yaml.org,2002:"
_PLAIN_TAGS = {_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map")}


@dataclass(frozen=True, order=True, kw_only=True)
class Place:
    """A place in a file; both numbers count from 1."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing wrong in a file: where, what, and what to do; `on_key` when the key is at fault."""

    location: Location
    what: str
    todo: str = ""
    on_key: bool = False
    place: Place | None = None


@dataclass(kw_only=True)
class Document:
    """The content of a file, where its parts stand, and the faults found while reading it."""

    path: Path
    content: object = None
    faults: list[Fault] = field(default_factory=list)
    values: dict[Location, Place] = field(default_factory=dict)
    keys: dict[Location, Place] = field(default_factory=dict)

    def place(self, location: Location, *, on_key: bool = False) -> Place:
        """Where a value (or its key) stands; for one that is not there, what would hold it."""
        if on_key and location in self.keys:
            return self.keys[location]
        while location and location not in self.values:
            location = location[:-1]
        return self.values.get(location, Place(line=1, column=1))

    def error(self, faults: list[Fault]) -> InputError:
        """All faults in one error, in the file's order: `FILE:LINE:COLUMN: field: what; do`."""
        placed = [(f.place or self.place(f.location, on_key=f.on_key), f) for f in faults]
        lines = [
            f"{self.path}:{place.line}:{place.column}: {_describe(fault)}"
            for place, fault in sorted(placed, key=lambda pair: pair[0])
        ]
        told = list(dict.fromkeys(lines))
        if len(told) > MAX_TOLD:
            told[MAX_TOLD:] = [f"{self.path}: and {len(told) - MAX_TOLD} more"]
        return InputError("\n".join(told), hint=f"Correct {self.path}.")


def dotted(location: Location) -> str:
    """A location as people write it: `layers[0].name`."""
    parts = (
        f".{part}" if re.fullmatch(r"[A-Za-z_][\w-]{0,62}", str(part)) else f"[{part!r}]"
        for part in location
    )
    return "".join(parts).removeprefix(".")


def read_yaml(path: Path) -> object:
    """The content of a YAML file: dicts, lists, texts, numbers, booleans and None.

    Raises:
        InputError: it cannot be read, is not such YAML or exceeds a bound; the message names every
            fault with line and column.
    """
    document = read_document(path)
    if document.faults:
        raise document.error(document.faults)
    return document.content


def read_document(path: Path) -> Document:
    """Read a YAML file; duplicate keys and foreign tags are left as faults for the caller to tell.

    Raises:
        InputError: it cannot be read, is not YAML at all or exceeds a bound.
    """
    document = Document(path=path)
    text = _text(path)
    try:
        events = YAML(typ="safe", pure=True).parse(text)
        _Reading(document, events).whole()
    except ReaderError as error:
        code = error.character if isinstance(error.character, int) else ord(error.character)
        fault = Fault(
            location=(),
            what=f"the character U+{code:04X} is not allowed",
            todo="remove it",
            place=_end_of(text[: error.position]),
        )
        raise document.error([fault]) from None
    except MarkedYAMLError as error:
        raise document.error([_syntax_fault(error, text)]) from None
    except (YAMLError, ValueError, AttributeError, AssertionError, IndexError, KeyError) as error:
        # ruamel.yaml lets some malformed files escape as bare Python errors.
        fault = Fault(location=(), what=f"not YAML: {one_line(error)}")
        raise document.error([fault]) from None
    return document


def decoded(raw: bytes, path: Path) -> str:
    """The text that a file's bytes are.

    Raises:
        InputError: they are not UTF-8; the message names the place of the first that is not.
    """
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fault = Fault(
            location=(),
            what=f"byte 0x{raw[error.start]:02x} is not UTF-8",
            todo="save the file as UTF-8",
            place=_end_of(raw[: error.start].decode("utf-8-sig", errors="replace")),
        )
        raise Document(path=path).error([fault]) from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", hint="Make it, or correct the name.") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(raw) > MAX_BYTES:
        raise InputError(
            f"{path}: larger than {MAX_BYTES // 1024} KiB", hint="Such a file is written by hand."
        )
    return decoded(raw, path)


def _end_of(text: str) -> Place:
    return Place(line=text.count("\n") + 1, column=len(text.rpartition("\n")[2]) + 1)


def _syntax_fault(error: MarkedYAMLError, text: str) -> Fault:
    mark = error.problem_mark or error.context_mark
    place = Place(line=mark.line + 1, column=mark.column + 1) if mark else None
    what = "; ".join(one_line(part) for part in (error.problem, error.context) if part)
    tab = mark and text[mark.index : mark.index + 1] == "\t"
    todo = "indent with spaces, not tabs" if tab else ""
    return Fault(location=(), what=f"not YAML: {what or 'syntax error'}", todo=todo, place=place)


def _describe(fault: Fault) -> str:
    where = f"{dotted(fault.location)}: " if fault.location else ""
    return one_line(f"{where}{fault.what}{f'; {fault.todo}' if fault.todo else ''}")


class _Reading:
    """One pass over the parse events of a file."""

    def __init__(self, document: Document, events: Iterator[Event]) -> None:
        self._document = document
        self._events = events
        self._resolve = YAML(typ="safe", pure=True).resolver.resolve
        self._anchors: dict[str, tuple[object, int]] = {}  # name -> value, number of values in it
        self._count = 0

    def whole(self) -> None:
        """Read the one document of the file."""
        read = False
        for event in self._events:
            if isinstance(event, DocumentStartEvent) and read:
                self._refuse(event, (), "a second document", "keep one `---` document a file")
            if isinstance(event, NodeEvent):
                self._document.content = self._value(event, ())
                read = True

    def _value(self, event: Event, location: Location) -> object:
        self._document.values.setdefault(location, _place(event))
        self._spend(event, location, 1)
        if len(location) > MAX_DEPTH:
            self._refuse(
                event, location[:3], f"nested deeper than {MAX_DEPTH} levels", "flatten it"
            )
        if isinstance(event, AliasEvent):
            return self._alias(event, location)
        before = self._count
        self._check_tag(event, location)
        if isinstance(event, MappingStartEvent):
            value: object = self._mapping(location)
        elif isinstance(event, CollectionStartEvent):
            value = self._sequence(location)
        else:
            value = self._scalar(event, location)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._count - before + 1)
        return value

    def _mapping(self, location: Location) -> Mapping[str, object]:
        found: dict[str, object] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            if not isinstance(event, ScalarEvent):
                self._refuse(event, location, "a key that is not text", "write `name: value`")
            self._check_tag(event, location)
            key: str = event.value
            inner = (*location, key)
            if key in found:
                first = self._document.keys[inner].line
                what, todo = f"written twice, first in line {first}", "keep one of them"
                place = _place(event)
                self._document.faults.append(
                    Fault(location=inner, what=what, todo=todo, place=place)
                )
            self._document.keys.setdefault(inner, _place(event))
            value = self._value(next(self._events), inner)
            found.setdefault(key, value)
        return found

    def _sequence(self, location: Location) -> list[object]:
        found: list[object] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            found.append(self._value(event, (*location, len(found))))
        return found

    def _scalar(self, event: Event, location: Location) -> object:
        text: str = event.value
        tag = event.tag or self._resolve(ScalarNode, text, event.implicit)
        try:
            match str(tag).removeprefix(_TAG):
                case "null":
                    return None
                case "bool":
                    return text.lower() == "true"
                case "int":
                    return int(text.replace("_", ""), 0 if text.lstrip("+-0")[:1] in "xob" else 10)
                case "float":
                    text_of_float = text.replace("_", "").lower()
                    return float(text_of_float.replace(".inf", "inf").replace(".nan", "nan"))
        except ValueError:
            self._document.faults.append(Fault(location=location, what="a number out of range"))
        return text

    def _alias(self, event: Event, location: Location) -> object:
        if event.anchor not in self._anchors:
            self._refuse(event, location, f"the alias *{event.anchor} has no anchor before it", "")
        value, count = self._anchors[event.anchor]
        self._spend(event, location, count)
        return value

    def _check_tag(self, event: Event, location: Location) -> None:
        tag = str(event.tag) if event.tag else ""
        if tag and tag != "!" and tag not in _PLAIN_TAGS:
            what = f"the tag {tag.replace(_TAG, '!!')} is refused"
            fault = Fault(
                location=location, what=what, todo="write a plain value", place=_place(event)
            )
            self._document.faults.append(fault)

    def _spend(self, event: Event, location: Location, values: int) -> None:
        self._count += values
        if self._count > MAX_VALUES:
            what = f"more than {MAX_VALUES} values once aliases are expanded"
            self._refuse(event, location[:3], what, "write less, or without aliases")

    def _refuse(self, event: Event, location: Location, what: str, todo: str) -> NoReturn:
        fault = Fault(location=location, what=what, todo=todo, place=_place(event))
        raise self._document.error([*self._document.faults, fault])


def _place(event: Event) -> Place:
    return Place(line=event.start_mark.line + 1, column=event.start_mark.column + 1)
