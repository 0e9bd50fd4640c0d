"""Colour, where a person looks."""

from __future__ import annotations

import os
import sys
from typing import Literal, TextIO

from msgspec import Struct

Shade = Literal["red", "green", "yellow", "blue", "magenta", "cyan", "bright_black"] | None


class Paint(Struct, frozen=True):
    """Colours text, or leaves it as it is."""

    on: bool

    def __call__(self, text: str, shade: Shade = None, *, bold: bool = False) -> str:
        if not self.on or not text:
            return text
        # click.style, which costs an import of click where only text is wanted.
        from click import style

        return style(text, fg=shade, bold=bold or None)


def painter(stream: TextIO = sys.stdout) -> Paint:
    """Colours on a terminal only, and not where NO_COLOR is set (no-color.org)."""
    return Paint(stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb")


def printable(text: str) -> str:
    """The text with what would steer a terminal shown as a dot."""
    return "".join(char if char.isprintable() else " " if char == "\t" else "·" for char in text)
