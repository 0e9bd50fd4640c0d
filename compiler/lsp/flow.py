"""Brackets on the way to the cursor: which key or item of them it stands in."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

from schemas.diagnostic import Path

_ENDS: Final = frozenset(",]}[{")


class Word(Struct, frozen=True):
    """The word at the cursor, as columns of its line: see `Cursor`."""

    typed: str
    start: int
    end: int
    quote: str
    colon: bool
    glued: bool


def quoted_end(line: str, at: int, quote: str) -> int:
    """Where quoted text ends; the end of the word where the quote is not closed yet."""
    close = line.find(quote, at)
    if close >= 0:
        return close
    rest = line[at:]
    return at + next((index for index, char in enumerate(rest) if char.isspace() or char in _ENDS), len(rest))


class _Frame:
    __slots__ = ("index", "key", "listed")

    def __init__(self, listed: bool) -> None:
        self.listed = listed
        self.index = 0
        self.key: str | None = None


class Flow:
    """What is open in brackets. `closed`: all of them were; `comment`: the line goes on as one."""

    def __init__(self) -> None:
        self.frames: list[_Frame] = []
        self.closed = self.comment = False
        self._token = self._quote = ""
        self._quoted = False
        self._begin = 0
        """The column at which the token begins."""
        self._colon = -1

    def read(self, text: str, column: int = 0) -> None:
        """Go on over these characters of a line, the first of which stands at that column."""
        for index, char in enumerate(text):
            if self.closed or self.comment:
                return
            following = text[index + 1 : index + 2]
            self._char(char, column + index, following, text[index - 1] if index else " ")

    def newline(self) -> None:
        """The line ends."""
        self.comment, self._quote = False, ""
        if not self._token.strip():
            self._token = ""

    def path(self) -> Path:
        """The parts of the path that brackets add."""
        parts = (frame.index if frame.listed else frame.key for frame in self.frames)
        return tuple(part for part in parts if part is not None)

    def kind(self) -> Literal["key", "value", "item"]:
        """What is being written."""
        frame = self.frames[-1] if self.frames else None
        return "key" if frame is None else "item" if frame.listed else "key" if frame.key is None else "value"

    def word(self, line: str, at: int) -> Word:
        """The word that the cursor is in: what was read of it, and the rest of it."""
        typed = self._token.lstrip()
        start = at - len(typed)
        if self._quote:
            return Word(typed, start, quoted_end(line, at, self._quote), self._quote, False, False)
        end = at
        key = self.kind() == "key"
        while end < len(line) and line[end] not in _ENDS and not (key and line[end] == ":"):
            if line[end] == "#" and line[end - 1 : end].isspace():
                break
            end += 1
        while end > at and line[end - 1].isspace():
            end -= 1
        glued = self.kind() == "value" and not typed and self._colon == at - 1
        return Word(typed, start, end, "", line[end : end + 1] == ":", glued)

    def _char(self, char: str, column: int, following: str, before: str) -> None:
        if self._quote:
            self._in_quote(char)
        elif char in "{[":
            self.frames.append(_Frame(char == "["))
            self._reset()
        elif char in "}]":
            self._pop()
        elif char == ",":
            self._next()
        elif char in "\"'" and not self._token.strip():
            self._quote, self._token, self._quoted = char, "", True
        elif char == "#" and before.isspace():
            self.comment = True
        elif char == ":" and (following.strip() in ("", *_ENDS) or self._quoted) and self._takes_key():
            self.frames[-1].key, self._colon = self._token.strip(), column
            self._reset()
        else:
            self._token += char

    def _in_quote(self, char: str) -> None:
        if char == self._quote and not self._token.endswith("\\"):
            self._quote = ""
        else:
            self._token += char

    def _takes_key(self) -> bool:
        return bool(self.frames) and not self.frames[-1].listed and self.frames[-1].key is None

    def _pop(self) -> None:
        if self.frames:
            self.frames.pop()
        self.closed = not self.frames
        self._reset()
        self._quoted = True

    def _next(self) -> None:
        if self.frames:
            self.frames[-1].index += 1
            self.frames[-1].key = None
        self._reset()

    def _reset(self) -> None:
        self._token, self._quoted = "", False
