"""Findings: what a check says (`Finding`, about a path) and what a reader sees (`Diagnostic`, at a place)."""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct

Level = Literal["error", "warning"]
Path = tuple[str | int, ...]


class Span(Struct, frozen=True):
    """A stretch of a file. Lines and columns from 1, the end exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


WHOLE_FILE: Final = Span(0, 0, 0, 0)
"""Of a finding about a file that stands nowhere in it, such as one about `--set`."""


class Finding(Struct, frozen=True):
    """Something a check has to say about a path of the recipe; one place turns the path into line and column.

    `at` says whether the key or the value is marked.
    """

    code: str
    path: str
    message: str
    hint: str | None = None
    level: Level = "error"
    at: Literal["key", "value"] = "value"


class Diagnostic(Struct, frozen=True):
    """A finding with its place. `file` is as the user wrote it, or "--set"."""

    code: str
    level: Level
    message: str
    file: str
    span: Span
    path: str
    hint: str | None = None


def dotted(path: Path) -> str:
    """A path in the reader's spelling: `data.train[0].path`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
