"""A recipe's text: its plain data, and where every key and value of it stands."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, cast

import yaml
from msgspec import Struct, field

from compiler.errors import FtcError
from compiler.yaml_reader import Event, Marks, Reader, StopError, span_of
from schemas.diagnostic import Diagnostic, Span

MAX_BYTES: Final = 1 << 20

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml where it is there; the pure-Python parser is about ten times slower."""


class Place(Struct, frozen=True):
    """Where a key and its value stand. `key` is None for list items and for the recipe as a whole."""

    file: str
    key: Span | None
    value: Span


class Source(Struct, frozen=True):
    """A recipe as read. `data` is None when the text is no YAML mapping: nothing more can be said of it then.

    `marks`: dotted path → marks of everything that was written. `overrides`: places of what `--set` wrote.
    `removed`: places of the options that took something back.
    `broken`: dotted paths of what a diagnostic left out of `data` or left there in doubt.
    """

    file: str
    text: str
    data: dict[str, object] | None
    marks: Mapping[str, Marks]
    diagnostics: tuple[Diagnostic, ...] = ()
    overrides: Mapping[str, Place] = field(default_factory=dict[str, Place])
    broken: frozenset[str] = frozenset()
    removed: Mapping[str, Place] = field(default_factory=dict[str, Place])

    @property
    def written(self) -> frozenset[str]:
        """Dotted paths of everything that the user wrote, in the file or by `--set`."""
        return frozenset(self.marks).union(self.overrides)

    def place(self, path: str) -> Place | None:
        """Where this path was written, or taken back by `--set`; None if neither."""
        if path in self.overrides:
            return self.overrides[path]
        marks = self.marks.get(path)
        if marks is None:
            return self.removed.get(path)
        key, start, end = marks
        return Place(self.file, span_of(key, key) if key else None, span_of(start, end))


def read(path: Path) -> str:
    """The text of a recipe file. Raises `FtcError` (exit code 2) where there is none."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise FtcError(f"cannot read {path}: {(error.strerror or str(error)).lower()}", exit_code=2) from None
    except ValueError:
        raise FtcError(f"cannot read {str(path)!r}: not a file name", exit_code=2) from None
    if len(data) > MAX_BYTES:
        raise FtcError(f"cannot read {path}: larger than {MAX_BYTES >> 20} MiB, so not a recipe", exit_code=2)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FtcError(f"cannot read {path}: not UTF-8 text (byte {error.start})", exit_code=2) from None


def parse(text: str, file: str) -> Source:
    """Read a recipe's text. Never raises: whatever is wrong is in `diagnostics`."""
    reader = Reader(file)
    text = text.removeprefix("\ufeff")
    try:
        if len(text) > MAX_BYTES:
            raise StopError("FTC006", f"larger than {MAX_BYTES >> 20} MiB: a recipe is a few kilobytes")
        reader.document(_events(text))
        data = reader.mapping()
    except StopError as stop:
        return _unreadable(text, file, (*reader.diagnostics, stop.diagnostic(file)))
    except yaml.MarkedYAMLError as error:
        return _unreadable(text, file, (_syntax_error(error, file),))
    except (yaml.reader.ReaderError, UnicodeEncodeError):
        return _unreadable(text, file, (_bad_character(text, file),))
    return Source(file, text, data, reader.marks, tuple(reader.diagnostics), broken=frozenset(reader.broken))


def _events(text: str) -> Iterable[Event]:
    return cast("Iterable[Event]", yaml.parse(text, Loader=_LOADER))  # pyright: ignore[reportUnknownMemberType]


def _unreadable(text: str, file: str, diagnostics: tuple[Diagnostic, ...]) -> Source:
    return Source(file, text, None, {}, diagnostics)


_HINTS: Final = {
    "cannot start any token": "indent with spaces, not tabs; put text that begins with @, ` or % in quotes",
    "mapping values are not allowed": 'put text that holds ": " in quotes, or check the indentation',
    "could not find expected ':'": "a line of a section is `key: value`, with a space after the colon",
    "found unexpected ':'": "put a space after the colon",
    "did not find expected key": "check the indentation of this line against the ones above",
    "unexpected end of stream": "close the quote",
}


def _syntax_error(error: yaml.MarkedYAMLError, file: str) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    problem = str(error.problem or error.context or "not YAML")
    hint = next((hint for words, hint in _HINTS.items() if words in problem), None)
    span = Span(line, column, line, column + 1)
    return Diagnostic("FTC001", "error", f"not readable as YAML: {problem}", file, span, "", hint)


_NOT_YAML: Final = re.compile(r"[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")


def _bad_character(text: str, file: str) -> Diagnostic:
    found = _NOT_YAML.search(text)
    start = found.start() if found else 0
    line = text.count("\n", 0, start) + 1
    column = start - text.rfind("\n", 0, start)
    message = f"the character U+{ord(text[start]):04X} cannot stand in YAML"
    return Diagnostic("FTC001", "error", message, file, Span(line, column, line, column + 1), "", "remove it")
