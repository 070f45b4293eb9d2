"""What makes Ansible take a text for a template, which it would run on the controller."""

from __future__ import annotations

# The last is a header that gives a text delimiters of its own: `#jinja2:variable_start_string:'[['`
# makes a template of one that has none of the first three.
_MARKS = ("{{", "{%", "{#", "#jinja2:")


def is_template(text: str) -> bool:
    """Whether Ansible might run something in this text."""
    return any(mark in text for mark in _MARKS)


def holds_template(value: object) -> bool:
    """Whether any text in a value, names of mappings included, is one."""
    match value:
        case str():
            return is_template(value)
        case dict():
            return any(holds_template(part) for pair in value.items() for part in pair)
        case list() | tuple():
            return any(holds_template(part) for part in value)
        case _:
            return False
