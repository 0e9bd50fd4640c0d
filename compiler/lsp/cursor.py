"""Where in a recipe the cursor stands, read off the text before it: works where the text is no YAML yet."""

from __future__ import annotations

import re
from typing import Final, Literal

from msgspec import Struct

from compiler.lsp.flow import Flow, quoted_end
from schemas.diagnostic import Path

Kind = Literal["key", "value", "item"]

_BREAK: Final = re.compile(r"\r\n|[\n\r]")
_NAME: Final = r"""[^\s#:{}\[\],"'&*!|>%@`-][^:#]*|-[^\s:#][^:#]*"""
KEY: Final = re.compile(rf"""("(?:[^"\\]|\\.)*"\s*|'(?:[^']|'')*'\s*|{_NAME}):(?=\s|$)""")
_DASH: Final = re.compile(r"-(\s+|$)")
_MARKS: Final = re.compile(r"([&!]\S*\s+)*")
"""Anchors and tags before a value."""
_SCALAR: Final = re.compile(r"[|>][-+0-9]*\s*(#.*)?$")


class Cursor(Struct, frozen=True):
    """`path`: of the mapping for a `key`, else of the value; an `item` of a list may become either.

    `typed`: what stands before the cursor, without its quote. `start` and `end`: the offsets of the whole word, within
    its quotes. `colon`: whether a colon follows. `glued`: the colon before it has no space behind it.
    """

    path: Path
    kind: Kind
    typed: str
    start: int
    end: int
    quote: str = ""
    colon: bool = False
    glued: bool = False
    flow: bool = False


class _Frame(Struct, frozen=True):
    """A key or an item (its number) that begins at a column."""

    column: int
    part: str | int


def cursor_at(text: str, offset: int) -> Cursor | None:
    """The place of an offset; None in comments, in blocks of text and behind closed quotes."""
    scan, start = _Scan(), 0
    for found in _BREAK.finditer(text):
        if offset <= found.start():
            return scan.finish(text[start : found.start()], offset - start, start)
        scan.line(text[start : found.start()])
        start = found.end()
    return scan.finish(text[start:], max(offset - start, 0), start)


class _Scan:
    """Keys and items that are open at the end of what was read."""

    def __init__(self) -> None:
        self.frames: list[_Frame] = []
        self.flow: Flow | None = None
        self.scalar: int | None = None
        """The column of the key whose block of text is being read."""
        self.base = 0
        """The column of the line in which brackets were opened."""

    def line(self, line: str) -> None:
        """Read a line that ends before the cursor."""
        indent = len(line) - len(line.lstrip())
        if not line.strip() or self._inside_text(line, indent):
            return
        if self.flow:
            if self._continues(line, indent):
                self.flow.read(line)
                self.flow.newline()
                self._close_flow()
                return
            self.flow = None
        if line.lstrip().startswith(("#", "---", "...", "%")):
            return
        column, rest = self._dashes(line, indent)
        found = KEY.match(rest)
        if found:
            self._open_key(column, _bare(found[1]))
            self._value(rest[found.end() :].strip(), column)
        elif rest.startswith(("{", "[")):
            self._value(rest, column)

    def finish(self, line: str, at: int, start: int) -> Cursor | None:
        """The cursor in this line."""
        indent = len(line) - len(line.lstrip()) if line.strip() else at
        if self._inside_text(line, indent):
            return None
        if self.flow and self._continues(line, indent):
            return self._in_flow(self.flow, line, 0, at, start)
        return None if line[:at].lstrip().startswith("#") else self._in_block(line, indent, at, start)

    def _in_block(self, line: str, indent: int, at: int, start: int) -> Cursor | None:
        column, _ = self._dashes(line[:at] if at >= indent else " " * at, min(indent, at))
        rest = line[column:at]
        found = KEY.match(rest) or _glued_key(rest)
        value = column
        if found:
            self._open_key(column, _bare(found[1]))
            value += found.end()
            value += len(line[value:at]) - len(line[value:at].lstrip())
            marks = _MARKS.match(line[value:at])
            value += marks.end() if marks else 0
        if line[value:at].startswith(("{", "[")):
            return self._in_flow(Flow(), line, value, at, start)
        if found:
            return self._word(line, value, at, start, "value")
        dashed = bool(self.frames) and isinstance(self.frames[-1].part, int) and self.frames[-1].column < column
        if not dashed:
            self._pop(column, item=False)
        return self._word(line, column, at, start, "item" if dashed else "key")

    def _word(self, line: str, begin: int, at: int, start: int, kind: Kind) -> Cursor | None:
        typed = line[begin:at]
        quote = typed[0] if typed[:1] in ("'", '"') else ""
        if re.search(r"(^|\s)#", typed) and not quote:
            return None
        if quote:
            if typed.count(quote) > 1:
                return None
            end = quoted_end(line, at, quote)
            return Cursor(self.path(), kind, typed[1:], start + begin + 1, start + end, quote)
        stop = re.compile(r"\s+#|\s*$" if kind == "value" else r"\s*:(?=\s|$)|\s+#|\s*$").search(line, at)
        end = stop.start() if stop else at
        colon = stop is not None and ":" in stop[0]
        glued = kind == "value" and line[begin - 1 : begin] == ":"
        return Cursor(self.path(), kind, typed, start + begin, start + max(end, at), "", colon, glued)

    def _in_flow(self, flow: Flow, line: str, begin: int, at: int, start: int) -> Cursor | None:
        flow.read(line[begin:at], begin)
        if flow.closed or flow.comment:
            return None
        word = flow.word(line, at)
        return Cursor(
            (*self.path(), *flow.path()),
            flow.kind(),
            word.typed,
            start + word.start,
            start + word.end,
            word.quote,
            word.colon,
            word.glued,
            flow=True,
        )

    def path(self) -> Path:
        """The path of what is open."""
        return tuple(frame.part for frame in self.frames)

    def _inside_text(self, line: str, indent: int) -> bool:
        if self.scalar is None:
            return False
        if indent > self.scalar:
            return True
        if line.strip():
            self.scalar = None
        return False

    def _continues(self, line: str, indent: int) -> bool:
        """Whether brackets that were not closed go on here: a new section begins at their line's own column."""
        return indent > self.base or not line.strip() or line.lstrip()[:1] in ("}", "]")

    def _value(self, value: str, column: int) -> None:
        value = _MARKS.sub("", value, count=1)
        if _SCALAR.match(value):
            self.scalar = column
        elif value.startswith(("{", "[")):
            self.flow, self.base = Flow(), column
            self.flow.read(value)
            self.flow.newline()
            self._close_flow()

    def _close_flow(self) -> None:
        if self.flow and self.flow.closed:
            self.flow = None

    def _dashes(self, line: str, indent: int) -> tuple[int, str]:
        """Open an item for each dash that a line begins with; the column and text behind them."""
        column, rest = indent, line[indent:]
        while found := _DASH.match(rest):
            self._pop(column, item=True)
            self._open_item(column)
            column += found.end()
            rest = rest[found.end() :]
        return column, rest

    def _open_item(self, column: int) -> None:
        top = self.frames[-1] if self.frames else None
        if top and isinstance(top.part, int) and top.column == column:
            self.frames[-1] = _Frame(column, top.part + 1)
        else:
            self.frames.append(_Frame(column, 0))

    def _open_key(self, column: int, name: str) -> None:
        self._pop(column, item=False)
        self.frames.append(_Frame(column, name))

    def _pop(self, column: int, *, item: bool) -> None:
        """Close what does not hold this column; a list may stand at the column of its key."""
        while self.frames:
            top = self.frames[-1]
            same = top.column == column
            if top.column > column or (same and not item):
                self.frames.pop()
            else:
                return


def _glued_key(rest: str) -> re.Match[str] | None:
    """A key with its colon just typed, and no space yet."""
    return re.fullmatch(r"([A-Za-z_$][\w-]*):", rest)


def _bare(name: str) -> str:
    name = name.rstrip()
    return name[1:-1] if len(name) > 1 and name[0] in "'\"" and name[-1] == name[0] else name
