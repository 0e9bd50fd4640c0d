"""Diagnostics as GitHub's workflow commands, which it shows in the changed files."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.diagnostic import Diagnostic


def github(found: Iterable[Diagnostic]) -> str:
    """One command a line; the format is GitHub's "Workflow commands"."""
    return "".join(_command(item) for item in found)


def _command(item: Diagnostic) -> str:
    span = item.span
    where = {
        "file": item.file,
        "line": str(span.line),
        "endLine": str(span.end_line),
        "col": str(span.column),
        "endColumn": str(max(span.end_column - 1, 1)),
        "title": item.code,
    }
    if span.end_line != span.line:
        # GitHub refuses columns of a stretch over several lines.
        del where["col"], where["endColumn"]
    properties = ",".join(f"{key}={_property(value)}" for key, value in where.items())
    message = item.message if item.hint is None else f"{item.message}\n{item.hint}"
    return f"::{item.level} {properties}::{_escaped(message)}\n"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
