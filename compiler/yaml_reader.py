"""Events of a YAML stream → plain data and the marks of every key and value.

YAML 1.2 core schema: `2e-4` is a number, `no` and `on` are text, `012` is twelve. One pass with a stack of our own, so
that deep nesting costs no recursion and a huge document is given up early.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, Protocol, cast

import yaml

from schemas.diagnostic import Diagnostic, Span

MAX_DEPTH: Final = 100
MAX_NODES: Final = 20_000
"""Values after every alias is written out; a full recipe has about 150."""

_CONSTANTS: Final[dict[str, object]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
_NUMERIC: Final = frozenset("0123456789+-.")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,300}", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_BASED: Final = re.compile(r"0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}", re.ASCII)


def scalar(text: str) -> object:
    """The value of a plain scalar under YAML 1.2's core schema (yaml.org/spec/1.2.2, 10.3.2)."""
    if text[:1] not in _NUMERIC:
        return _CONSTANTS.get(text, text)
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _BASED.fullmatch(text):
        return int(text, 0)
    return _CONSTANTS.get(text, text)


class _Mark(Protocol):
    line: int
    column: int


class Event(Protocol):
    """What all events of PyYAML have; lines and columns from 0."""

    start_mark: _Mark
    end_mark: _Mark


class _ScalarEvent(Event, Protocol):
    value: str
    tag: str | None
    anchor: str | None
    implicit: tuple[bool, bool]


class _OpenEvent(Event, Protocol):
    tag: str | None
    anchor: str | None


class _AliasEvent(Event, Protocol):
    anchor: str


Marks = tuple[Event | None, Event, Event]
"""The event of the key, and those that begin and end the value; made into spans only when asked for."""


def span_of(start: Event, end: Event) -> Span:
    """From the beginning of one event to the end of another."""
    first, last = start.start_mark, end.end_mark
    return Span(first.line + 1, first.column + 1, last.line + 1, last.column + 1)


class StopError(Exception):
    """The rest of the document cannot be read."""

    def __init__(self, code: str, message: str, event: Event | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.event, self.hint = code, event, hint

    def diagnostic(self, file: str) -> Diagnostic:
        """The same, for the user; at the beginning of the file if it has no event."""
        span = span_of(self.event, self.event) if self.event else Span(1, 1, 1, 2)
        return Diagnostic(self.code, "error", str(self), file, span, "", self.hint)


class _Frame:
    """A mapping or sequence being read. `key`: the event of the key whose value comes next; None: a key comes next.

    `skipped`: that key was refused, and so its value is read over. `before`: nodes counted before this one.
    """

    __slots__ = ("anchor", "before", "content", "key", "name", "opened", "path", "skipped")

    def __init__(self, content: dict[str, object] | list[object], path: str, opened: _OpenEvent, before: int) -> None:
        self.content, self.path, self.opened, self.before = content, path, opened, before
        self.anchor = opened.anchor
        self.key: Event | None = None
        self.name = ""
        self.skipped = False

    @property
    def awaits_key(self) -> bool:
        return self.key is None and self.content.__class__ is dict


class Reader:
    """Builds data, marks and diagnostics. `broken`: paths left out, or in doubt, because of a diagnostic."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.diagnostics: list[Diagnostic] = []
        self.marks: dict[str, Marks] = {}
        self.broken: set[str] = set()
        self._root: object = None
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[object, int]] = {}
        self._nodes = 0
        self._last: Event | None = None

    def document(self, events: Iterable[Event]) -> None:
        """Read all events of a stream. Raises `StopError`, and what the parser raises."""
        handlers: dict[type, Callable[[Event], None]] = {
            yaml.ScalarEvent: cast("Callable[[Event], None]", self._scalar),
            yaml.MappingStartEvent: cast("Callable[[Event], None]", self._open),
            yaml.SequenceStartEvent: cast("Callable[[Event], None]", self._open),
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.AliasEvent: cast("Callable[[Event], None]", self._alias),
            yaml.DocumentStartEvent: self._document,
        }
        for event in events:
            handler = handlers.get(type(event))
            if handler:
                handler(event)

    def mapping(self) -> dict[str, object]:
        """What was read. Raises `StopError` where that is no mapping."""
        root = self._root
        if isinstance(root, dict):
            return cast("dict[str, object]", root)
        found = "nothing" if root is None else "a list" if isinstance(root, list) else "a single value"
        hint = "begin with `version: 1`, and put each section on a line of its own"
        raise StopError("FTC007", f"a recipe is a mapping of sections, found {found}", None, hint)

    def _document(self, event: Event) -> None:
        if "" in self.marks:
            raise StopError("FTC008", "a recipe file holds one document; a second one begins here", event)

    def _scalar(self, event: _ScalarEvent) -> None:
        value = scalar(event.value) if event.implicit[0] else event.value
        frame = self._stack[-1] if self._stack else None
        if frame and frame.awaits_key:
            self._key(frame, event, value)
            return
        self._place(event, event.tag)
        self._last = event
        self._put(value)
        if event.anchor:
            self._anchors[event.anchor] = (value, 1)

    def _key(self, frame: _Frame, event: _ScalarEvent, name: object) -> None:
        """A key of a mapping. A refused one is skipped with its value; the first of two equal ones is kept."""
        path = _join(frame.path, event.value)
        silent = self._skipping()
        frame.key, frame.name, frame.skipped = event, event.value, True
        if silent:
            return
        if event.tag:
            self._report("FTC004", path, f"the tag {_tag(event.tag)} is not read", event, "leave it out")
        elif not isinstance(name, str):
            self._report(
                "FTC003", path, f"a key must be text, found {event.value or 'nothing'}", event, "put it in quotes"
            )
        elif name == "<<" and event.implicit[0]:
            self._report("FTC005", path, "merge keys (<<) are not read", event, "write the merged keys out here")
            self.broken.add(path)
        elif event.value in frame.content:
            first = self.marks[path][0] or event
            line = first.start_mark.line + 1
            self._report("FTC002", path, f'"{name}" is already set on line {line}', event, "keep one of the two")
        else:
            frame.skipped = False

    def _open(self, event: _OpenEvent) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise StopError("FTC006", f"nested deeper than {MAX_DEPTH} levels", event)
        if self._stack and self._stack[-1].awaits_key:
            raise StopError("FTC003", "a key must be text, found a list or a mapping", event)
        before = self._nodes
        path = self._place(event, event.tag)
        self._last = event
        self._stack.append(_Frame({} if isinstance(event, yaml.MappingStartEvent) else [], path, event, before))

    def _close(self, event: Event) -> None:
        """A block ends with its last value: libyaml puts the end before the next token, lines below."""
        frame = self._stack.pop()
        flow = event.end_mark.column > event.start_mark.column
        end = event if flow else self._last or event
        marks = self.marks.get(frame.path)
        if marks and marks[1] is frame.opened:
            self.marks[frame.path] = (marks[0], frame.opened, end)
        self._last = end
        self._put(frame.content)
        if frame.anchor:
            self._anchors[frame.anchor] = (frame.content, self._nodes - frame.before)

    def _alias(self, event: _AliasEvent) -> None:
        if self._stack and self._stack[-1].awaits_key:
            raise StopError("FTC003", f"a key must be text, found the alias *{event.anchor}", event)
        if event.anchor not in self._anchors:
            hint = f"mark a value above with &{event.anchor}"
            raise StopError("FTC001", f"*{event.anchor} names no anchor above it", event, hint)
        value, size = self._anchors[event.anchor]
        self._nodes += size - 1
        path = self._place(event, None)
        self._last = event
        if not self._skipping():
            self._expand(path, value, event)
        self._put(value)

    def _place(self, event: Event, tag: str | None) -> str:
        """Count a value and note where it stands. Returns its path."""
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise StopError("FTC006", f"more than {MAX_NODES:,} values, aliases written out", event)
        path, key = "", None
        if self._stack:
            frame = self._stack[-1]
            key = frame.key
            path = f"{frame.path}[{len(frame.content)}]" if key is None else _join(frame.path, frame.name)
        if not self._skipping():
            self.marks[path] = (key, event, event)
            if tag:
                self._report("FTC004", path, f"the tag {_tag(tag)} is not read", event, "leave it out")
                self.broken.add(path)
        return path

    def _expand(self, path: str, value: object, event: Event) -> None:
        """All that an alias stands for has the alias's place."""
        todo = [(path, value)]
        while todo:
            path, value = todo.pop()
            children: list[tuple[str, object]] = []
            if isinstance(value, dict):
                children = [(_join(path, key), child) for key, child in cast("dict[str, object]", value).items()]
            elif isinstance(value, list):
                children = [(f"{path}[{index}]", child) for index, child in enumerate(cast("list[object]", value))]
            self.marks.update((child, (None, event, event)) for child, _ in children)
            todo += children

    def _skipping(self) -> bool:
        """Whether what comes belongs to a key that was refused."""
        return any(frame.skipped for frame in self._stack)

    def _put(self, value: object) -> None:
        if not self._stack:
            self._root = value
            return
        frame = self._stack[-1]
        if isinstance(frame.content, list):
            frame.content.append(value)
            return
        if not frame.skipped:
            frame.content[frame.name] = value
        frame.key, frame.skipped = None, False

    def _report(self, code: str, path: str, message: str, event: Event, hint: str) -> None:
        self.diagnostics.append(Diagnostic(code, "error", message, self.file, span_of(event, event), path, hint))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _tag(tag: str) -> str:
    return tag.replace("tag:yaml.org,2002:", "!!")
