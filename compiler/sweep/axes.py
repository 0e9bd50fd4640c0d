"""`--matrix key=a,b,c`: the leaves that a sweep varies, and the values of each.

A value is what `--set key=value` takes. Commas part the values; one that begins with a bracket or a quote runs to where
that closes: `method.target_modules=all-linear,[q_proj, v_proj]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, cast

from msgspec import Struct

from compiler.check import touches
from compiler.overrides import known_hint, override, path_of, read_value
from compiler.shape import admitted
from compiler.source import Source
from schemas.diagnostic import Diagnostic, Span

FILE: Final = "--matrix"
"""The file that a finding about an axis names; its line counts the options, from 1."""
FIXED: Final = {
    "name": "every point has a name of its own, made of the recipe's and its values: leave this axis out",
    "version": "it is the version of the language",
    "$schema": "it is for editors",
}
"""Leaves that are no axes, and why."""

_QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_OPEN: Final = {"[": "]", "{": "}"}
_EXAMPLE: Final = 'write --matrix "method.rank=8,16,32"'


class Value(Struct, frozen=True):
    """A value of an axis as it was written, and the column of the option at which it begins, from 1."""

    text: str
    column: int


class Axis(Struct, frozen=True):
    """A leaf that varies. `number`: which option it is, from 1."""

    key: str
    values: tuple[Value, ...]
    number: int


class _UnreadableError(Exception):
    """What is wrong with an option, where in it, and what to do."""

    def __init__(self, message: str, column: int, end: int, hint: str) -> None:
        super().__init__(message)
        self.message, self.column, self.end, self.hint = message, column, end, hint


def read_axes(matrix: Sequence[str], source: Source, sets: Sequence[str]) -> tuple[tuple[Axis, ...], list[Diagnostic]]:
    """The axes, and all that is wrong with them. `source`: the recipe as read; `sets`: all other changes to it."""
    axes, found = list[Axis](), list[Diagnostic]()
    for number, option in enumerate(matrix, start=1):
        try:
            axes.append(_axis(option, number))
        except _UnreadableError as error:
            span = Span(number, error.column, number, error.end)
            found.append(Diagnostic("FTC350", "error", error.message, FILE, span, "", error.hint))
    for axis in axes:
        found += [*_overlapping(axis, axes, sets), *_repeated(axis)]
    if not found:
        found += [item for axis in axes for item in _unknown(axis, axes, source, tuple(sets))]
    return tuple(axes), found


def _axis(option: str, number: int) -> Axis:
    key, equals, text = option.partition("=")
    whole = len(option) + 1
    if not equals or path_of(key) is None:
        raise _UnreadableError(f"cannot read --matrix {option[:80]}", 1, whole, _EXAMPLE)
    if not text.strip():
        raise _UnreadableError(f"{key} is given no values", 1, whole, _EXAMPLE)
    return Axis(key, tuple(_values(key, text, len(key) + 1)), number)


def _values(key: str, text: str, before: int) -> Iterator[Value]:
    """The values, each looked at as YAML. `before`: characters of the option in front of the text."""
    for start, end in _split(text, before):
        value, column = text[start:end].rstrip(), before + start + 1
        if not value:
            hint = "leave out the comma that is too much; no value at all is written null"
            raise _UnreadableError(f"{key} has an empty value", column, column + 1, hint)
        read = read_value(value)
        if read.data is None or read.diagnostics or set(read.data) != {"value"}:
            message = f"the value {value[:80]} of {key} is not readable as YAML"
            raise _UnreadableError(message, column, column + len(value), "put it in quotes")
        yield Value(value, column)


def _split(text: str, before: int) -> Iterator[tuple[int, int]]:
    """Where each value begins and ends."""
    at = 0
    while True:
        start = at + len(text[at:]) - len(text[at:].lstrip())
        end = _end(text, start, before)
        yield start, end
        if end >= len(text):
            return
        at = end + 1


def _end(text: str, start: int, before: int) -> int:
    """The comma after the value that begins here, or the end."""
    first = text[start : start + 1]
    if first not in ("[", "{", "'", '"'):
        comma = text.find(",", start)
        return len(text) if comma < 0 else comma
    closed = _closed(text, start)
    if closed is None:
        raise _UnreadableError(f"what {first} opens is not closed", before + start + 1, before + start + 2, "close it")
    rest = text[closed:]
    end = closed + len(rest) - len(rest.lstrip())
    if end < len(text) and text[end] != ",":
        hint = "put a comma between two values"
        raise _UnreadableError("something follows the value's end", before + end + 1, before + end + 2, hint)
    return end


def _closed(text: str, start: int) -> int | None:
    """The place after what closes the bracket or quote at `start`; a quote inside a word is none."""
    waiting, at, fresh = list[str](), start, True
    while at < len(text):
        char = text[at]
        quoted = _QUOTED.match(text, at) if fresh and char in "'\"" else None
        if fresh and char in "'\"" and quoted is None:
            return None
        at = quoted.end() if quoted else at + 1
        if char in _OPEN and not quoted:
            waiting.append(_OPEN[char])
        elif waiting and char == waiting[-1] and not quoted:
            waiting.pop()
        if not waiting:
            return at
        fresh = char in "[{,:" or (fresh and char.isspace())
    return None


def _overlapping(axis: Axis, axes: Sequence[Axis], sets: Sequence[str]) -> Iterator[Diagnostic]:
    """The same leaf varied twice, or varied and set."""
    twice = next(
        (other for other in axes if other.number < axis.number and touches(axis.key, frozenset({other.key}))), None
    )
    if twice:
        which = "twice" if twice.key == axis.key else f"beside {twice.key}"
        yield _of_key(axis, "FTC351", f"{axis.key} is varied {which}", "write all its values in one --matrix")
    named = (option.removeprefix("~").partition("=")[0] for option in sets)
    if any(touches(axis.key, frozenset({name})) for name in named if name):
        hint = "leave out one of them: an axis sets the leaf in every point"
        yield _of_key(axis, "FTC351", f"{axis.key} is varied, and set by --set or --gpu too", hint)
    if axis.key in FIXED:
        yield _of_key(axis, "FTC353", f"{axis.key} cannot be varied", FIXED[axis.key])


def _repeated(axis: Axis) -> Iterator[Diagnostic]:
    """Values that are the same: their runs would be too."""
    seen: dict[str, Value] = {}
    for value in axis.values:
        read = cast("dict[str, object]", read_value(value.text).data)["value"]
        plain = float(read) if isinstance(read, int | float) and not isinstance(read, bool) else read
        before = seen.setdefault(repr(plain), value)
        if before is not value:
            span = Span(axis.number, value.column, axis.number, value.column + len(value.text))
            message = f"{axis.key} has the value {value.text[:80]} twice"
            yield Diagnostic("FTC352", "error", message, FILE, span, axis.key, "leave one of them out")


def _unknown(axis: Axis, axes: Sequence[Axis], source: Source, sets: tuple[str, ...]) -> Iterator[Diagnostic]:
    """A path that the language has in none of the points: which leaves there are may hang on another axis."""
    path, base = path_of(axis.key) or (), override(source, sets).data
    if base is None or admitted(base, path):
        return
    others = (f"{other.key}={value.text}" for other in axes if other is not axis for value in other.values)
    if not any(admitted(override(source, (*sets, option)).data, path) for option in others):
        hint = known_hint(base, path) or "`ftc config RECIPE` shows every leaf that this recipe may have"
        yield _of_key(axis, "FTC354", f"there is no {axis.key} in this recipe", hint)


def _of_key(axis: Axis, code: str, message: str, hint: str) -> Diagnostic:
    return Diagnostic(
        code, "error", message, FILE, Span(axis.number, 1, axis.number, len(axis.key) + 1), axis.key, hint
    )
