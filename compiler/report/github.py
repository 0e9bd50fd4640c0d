"""Diagnostics as GitHub's workflow commands, which it shows in the changed files."""

from __future__ import annotations

import os
from collections.abc import Iterable

from schemas.diagnostic import WHOLE_FILE, Diagnostic


def github(found: Iterable[Diagnostic], unread: Iterable[tuple[str, str]] = ()) -> str:
    """One command a line; the format is GitHub's "Workflow commands". `unread`: files that could not be read, and
    why."""
    missing = (f"::error file={_property(_relative(name))},title=ftc::{_escaped(why)}\n" for name, why in unread)
    return "".join((*missing, *map(_command, found)))


def _command(item: Diagnostic) -> str:
    span = item.span
    where = {
        "file": _relative(item.file),
        "line": str(span.line),
        "endLine": str(span.end_line),
        "col": str(span.column),
        "endColumn": str(max(span.end_column - 1, 1)),
        "title": item.code,
    }
    if span.end_line != span.line:
        # GitHub refuses columns of a stretch over several lines.
        del where["col"], where["endColumn"]
    if span == WHOLE_FILE:
        where = {"file": where["file"], "title": where["title"]}
    properties = ",".join(f"{key}={_property(value)}" for key, value in where.items())
    message = item.message if item.hint is None else f"{item.message}\n{item.hint}"
    return f"::{item.level} {properties}::{_escaped(message)}\n"


def _relative(name: str) -> str:
    """GitHub looks a file up from the folder in which the workflow runs."""
    path = os.path.relpath(name)
    return name if path.startswith(os.pardir) else path


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
