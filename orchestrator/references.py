"""Variables of an inventory with their plain references filled in; nothing is evaluated.

`{{ site_domain }}` and `{{ prefixes.core }}.{{ number }}` are read off other variables. Whatever is
more than a reference (a filter, a lookup, a condition) is left out: only Ansible could tell, by
running it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from orchestrator.jinja import holds_template

_NAME = r"[A-Za-z_]\w*"
_PART = rf"\.{_NAME}|\.\d+|\[\d+\]|\['[^'\]]*'\]|\[\"[^\"\]]*\"\]"
_REFERENCE = re.compile(rf"\{{\{{-?\s*({_NAME})((?:{_PART})*)\s*-?\}}\}}")
_DEEPEST = 8  # references that lead to references
_LONGEST = 4_096


def plain(host: str, variables: Mapping[str, object]) -> dict[str, object]:
    """A host's variables without templates; those that only Ansible can evaluate are left out."""
    known = {"inventory_hostname": host, **variables}
    filling = _Filling(known)
    found = {name: filling.filled(value, _DEEPEST) for name, value in known.items()}
    return {name: value for name, value in found.items() if not holds_template(value)}


class _Filling:
    """Fills references in; each text once, so that some that multiply cost no more than others."""

    def __init__(self, known: Mapping[str, object]) -> None:
        self._known = known
        self._done: dict[tuple[str, int], object] = {}

    def filled(self, value: object, depth: int) -> object:
        match value:
            case str() if "{{" in value and depth and len(value) <= _LONGEST:
                if (value, depth) not in self._done:
                    self._done[value, depth] = self._text(value, depth)
                return self._done[value, depth]
            case dict():
                return {key: self.filled(part, depth) for key, part in value.items()}
            case list() | tuple():
                return [self.filled(part, depth) for part in value]
            case _:
                return value

    def _text(self, text: str, depth: int) -> object:
        whole = _REFERENCE.fullmatch(text)
        if whole:
            found = self._looked_up(whole)
            if isinstance(found, str):
                return self.filled(found, depth - 1)
            return text if found is None or holds_template(found) else found

        def one(reference: re.Match[str]) -> str:
            found = self.filled(self._looked_up(reference), depth - 1)
            return str(found) if isinstance(found, str | int) else reference.group()

        filled = _REFERENCE.sub(one, text)
        return filled if len(filled) <= _LONGEST else text

    def _looked_up(self, reference: re.Match[str]) -> object | None:
        value: object = self._known.get(reference.group(1))
        for part in re.findall(_PART, reference.group(2)):
            key = part.strip(".[]'\"")
            if isinstance(value, Mapping):
                value = value.get(key)
            elif isinstance(value, list) and key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            else:
                return None
        return value
