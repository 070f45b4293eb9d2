"""Draws what a terminal showed (ANSI on stdin) as SVG on stdout."""

from __future__ import annotations

import io
import sys

from rich.console import Console
from rich.text import Text

text = Text.from_ansi(sys.stdin.read().rstrip())
width = max((len(line) for line in text.plain.splitlines()), default=80)
console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True)
console.print(text, soft_wrap=True)
sys.stdout.write(console.export_svg(title="drcli recover --site hosting-a"))
