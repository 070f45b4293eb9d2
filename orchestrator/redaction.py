"""Text that came from hosts, made safe to keep and to show: no secrets, plain and bounded.

Known secrets (what the inventory has under a secret's name) are taken out wherever they stand;
unknown ones by what they are called, and private keys by their armour. Ansible itself censors what
`no_log` covers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

HIDDEN = "********"
LONGEST = 4_000  # characters of one message

_SHORTEST = 3  # a shorter "secret" would blank out half of every text
_DEEPEST = 40
_TELLING = 4  # characters of a secret that was cut
_FAR = 200  # characters from a cut in which its rest is looked for
_MAY_BE_CUT = 1_000  # characters of a text whose end may be a cut
_CUT = re.compile(r"(\.\.\.|…)")
_KEY = re.compile(
    r"pass(?:word|wd|phrase)|secret|api[_-]?key|private[_-]?key|credential"
    r"|(?:^|[^a-z])(?:pass|pwd|token|vault)s?(?:$|[^a-z])",
    re.IGNORECASE,
)
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # of camelCase
# Every repetition is bounded or cannot begin twice: a text must not be able to make this slow.
_WORD = r"(?:pass(?:word|wd|phrase)|secret|token|api[_-]?key|private[_-]?key)[\w.-]{0,40}"
_VALUE = r"""(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[^\s,;}\]"']+)"""
_ASSIGNED = re.compile(
    rf"""(?P<head>{_WORD}(?:\\?["'])?\s{{0,9}}[:=]\s{{0,9}}"""
    rf"""|(?<![\w.-])--?[\w.-]{{0,40}}?{_WORD}\s{{1,9}}){_VALUE}""",
    re.IGNORECASE,
)
_URL = re.compile(
    r"(?P<head>\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,100}:)[^\s/@]{1,200}(?=@)", re.IGNORECASE
)
_ARMOUR = re.compile(
    r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def is_secret_name(name: str) -> bool:
    """Whether something of this name looks like a secret: `db_password`, `apiKey`, `vault_x`.

    Where a secret is (`private_key_file`) is none: whoever mends a wrong path must see it.
    """
    return bool(_KEY.search(_HUMP.sub("_", name))) and not name.endswith(("_file", "_path"))


def secret_values(value: object, *, named: bool = False) -> set[str]:
    """The texts in `value`, at any depth, that stand under a name that looks like a secret's."""
    if isinstance(value, Mapping):
        items = value.items()
        return set().union(
            *(secret_values(v, named=named or is_secret_name(str(k))) for k, v in items)
        )
    if isinstance(value, list | tuple):
        return set().union(*(secret_values(v, named=named) for v in value))
    return {str(value)} if named and not isinstance(value, bool | None) else set()


class Redactor:
    """Takes secrets out of text and of what JSON can hold."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            parts = [secret, *secret.splitlines()]
            forms.update(form.strip() for p in parts for form in _written(p))
        long_first = sorted((f for f in forms if len(f) >= _SHORTEST), key=len, reverse=True)
        self._long = [form for form in long_first if len(form) > _TELLING]
        self._known = re.compile("|".join(map(re.escape, long_first))) if long_first else None

    def text(self, text: str) -> str:
        """The text without what is or looks like a secret."""
        if self._known:
            text = self._without_rests(self._known.sub(HIDDEN, text))
        text = _ARMOUR.sub(HIDDEN, text)
        text = _URL.sub(rf"\g<head>{HIDDEN}", text)
        return _ASSIGNED.sub(rf"\g<head>{HIDDEN}", text)

    def _without_rests(self, text: str) -> str:
        """The text without what is left of a secret where whoever wrote it has cut: `sesa...`."""
        pieces = _CUT.split(text)  # text, cut, text, cut, text
        for place in range(0, len(pieces), 2):
            if place + 1 < len(pieces) or len(text) >= _MAY_BE_CUT:
                pieces[place] = self._without_beginning(pieces[place])
            if place:
                pieces[place] = self._without_end(pieces[place])
        return "".join(pieces)

    def _without_beginning(self, text: str) -> str:
        for form in self._long:
            at = text.find(form[:_TELLING], max(len(text) - _FAR, 0))
            while at >= 0:
                if form.startswith(text[at:]):
                    return text[:at] + HIDDEN
                at = text.find(form[:_TELLING], at + 1)
        return text

    def _without_end(self, text: str) -> str:
        for form in self._long:
            at = text.rfind(form[-_TELLING:], 0, _FAR)
            while at >= 0:
                if form.endswith(text[: at + _TELLING]):
                    return HIDDEN + text[at + _TELLING :]
                at = text.rfind(form[-_TELLING:], 0, at + _TELLING - 1)
        return text

    def value(self, value: object, *, longest: int, depth: int = 0) -> object:
        """The same JSON value, redacted, each text cut at `longest` characters."""
        if isinstance(value, str):
            return cut(self.text(cut(value, longest * 4)), longest)
        if depth > _DEEPEST:
            return "(too deep)"
        if isinstance(value, Mapping):
            return {
                self.text(str(key)): HIDDEN
                if is_secret_name(str(key)) and not isinstance(item, bool | None)
                else self.value(item, longest=longest, depth=depth + 1)
                for key, item in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.value(item, longest=longest, depth=depth + 1) for item in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value if self.text(str(value)) == str(value) else HIDDEN
        return value

    def message(self, text: str, longest: int = LONGEST) -> str:
        """The text redacted, plain and at most `longest` characters, ready to be shown."""
        return cut(self.text(plain(cut(text, longest * 4))), longest)


def _written(secret: str) -> tuple[str, ...]:
    """How a secret may stand in JSON, in Python, on a command line, in an address."""
    json_ascii, json_text = json.dumps(secret), json.dumps(secret, ensure_ascii=False)
    url = quote(secret, safe="", errors="replace")
    shell = secret.replace("'", "'\"'\"'")  # as shlex.quote has it
    return (secret, json_ascii[1:-1], json_text[1:-1], repr(secret)[1:-1], shell, url)


def plain(text: str) -> str:
    """The text without escape sequences and control characters; newlines and tabs stay."""
    text = _ESCAPES.sub("", text.replace("\r\n", "\n"))
    return _CONTROL.sub("", text).strip()


def cut(text: str, longest: int) -> str:
    """The text, or its beginning and its end around a visible cut when it is longer."""
    if len(text) <= longest:
        return text
    mark = f" … [{len(text) - longest} characters cut] … "
    room = max(longest - len(mark), 0)
    tail = room // 3
    return text[: room - tail] + mark + (text[-tail:] if tail else "")
