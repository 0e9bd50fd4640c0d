"""Where things stand in a text: offsets, against lines and columns as YAML counts them and as editors do.

YAML breaks lines at U+0085, U+2028 and U+2029 too, and counts characters; an editor breaks them at CR, LF and CRLF, and
counts UTF-16 units unless both sides agreed on something else. An offset counts characters of the text.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from typing import Final, Literal

from msgspec import Struct

from schemas.diagnostic import Span

Encoding = Literal["utf-8", "utf-16", "utf-32"]

_YAML_BREAK: Final = re.compile(r"\r\n|[\n\r\x85\u2028\u2029]")
_EDITOR_BREAK: Final = re.compile(r"\r\n|[\n\r]")


class Places(Struct, frozen=True, dict=True):
    """A text whose places are asked for. No slots: lines are looked for once."""

    text: str
    encoding: Encoding = "utf-16"

    @cached_property
    def _yaml_lines(self) -> list[int]:
        """A byte order mark is no part of the first line."""
        start = len(self.text) - len(self.text.removeprefix("\ufeff"))
        return [start, *(found.end() for found in _YAML_BREAK.finditer(self.text))]

    @cached_property
    def _lines(self) -> list[int]:
        return [0, *(found.end() for found in _EDITOR_BREAK.finditer(self.text))]

    def of_mark(self, line: int, column: int) -> int:
        """The offset of a line and column of a `Span`, which count from 1."""
        if line > len(self._yaml_lines):
            return len(self.text)
        return min(self._yaml_lines[max(line, 1) - 1] + max(column, 1) - 1, len(self.text))

    def stretch(self, span: Span) -> tuple[int, int]:
        """Both ends of a span."""
        return self.of_mark(span.line, span.column), self.of_mark(span.end_line, span.end_column)

    def editor(self, offset: int) -> tuple[int, int]:
        """An offset as an editor's line and character, from 0."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self._lines, offset) - 1
        return line, units(self.text[self._lines[line] : offset], self.encoding)

    def of_editor(self, line: int, character: int) -> int:
        """The offset of an editor's line and character; beyond the end of a line, that end."""
        if line >= len(self._lines):
            return len(self.text)
        start, end = self._lines[line], self.line_end(line)
        return start + characters(self.text[start:end], character, self.encoding)

    def line_of(self, offset: int) -> int:
        """The editor's line in which an offset stands."""
        return bisect_right(self._lines, offset) - 1

    def line_start(self, line: int) -> int:
        """Where an editor's line begins."""
        return self._lines[line] if line < len(self._lines) else len(self.text)

    def line_end(self, line: int) -> int:
        """Where it ends, its break left out."""
        end = self._lines[line + 1] if line + 1 < len(self._lines) else len(self.text)
        found = self.text[self.line_start(line) : end]
        return self.line_start(line) + len(found.rstrip("\r\n"))

    @property
    def line_break(self) -> str:
        """What ends the lines of this text."""
        found = _EDITOR_BREAK.search(self.text)
        return found[0] if found else "\n"


def units(text: str, encoding: Encoding) -> int:
    """How long an editor takes this to be."""
    if encoding == "utf-32" or text.isascii():
        return len(text)
    return len(text.encode("utf-8", "surrogatepass")) if encoding == "utf-8" else len(text) + _beyond(text)


def _beyond(text: str) -> int:
    return sum(char > "\uffff" for char in text)


def characters(line: str, wanted: int, encoding: Encoding) -> int:
    """How many characters of a line that many units are; one that is cut in the middle is left out."""
    if encoding == "utf-32" or line.isascii():
        return min(wanted, len(line))
    passed = 0
    for index, char in enumerate(line):
        passed += units(char, encoding)
        if passed > wanted:
            return index
    return len(line)
