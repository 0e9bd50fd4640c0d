"""Diagnostics as SARIF 2.1.0 (OASIS), which code hosts and editors read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import quote

from compiler.codes import Page, pages
from compiler.codes import text_of as page_text
from compiler.report.meant import meant
from schemas.diagnostic import WHOLE_FILE, Diagnostic
from schemas.version import VERSION

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
HERE: Final = "%SRCROOT%"
"""Code hosts take it for the root of the repository, in which ftc is started there."""
_BREAK: Final = re.compile(r"(?<!\n)\n(?!\n)")
"""Where a page breaks a line for the sake of its width."""

Node = dict[str, object]
Sources = Mapping[str, Sequence[str]]


def sarif(found: Iterable[Diagnostic], sources: Sources | None = None, unread: Iterable[tuple[str, str]] = ()) -> str:
    """One run with all findings. `sources`: the lines of each file. `unread`: files that could not be read, and why."""
    items, missing = list(found), list(unread)
    codes = sorted({item.code for item in items})
    driver = {"name": "ftc", "version": VERSION, "semanticVersion": VERSION, "rules": [_rule(code) for code in codes]}
    run = {
        "tool": {"driver": driver},
        "invocations": [_invocation(missing)],
        "originalUriBaseIds": {HERE: {"description": {"text": "the folder in which ftc was started"}}},
        "columnKind": "unicodeCodePoints",
        "results": [_result(item, codes, (sources or {}).get(item.file, ())) for item in items],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _rule(code: str) -> Node:
    page = pages().get(code)
    if page is None:
        return {"id": code}
    return {
        "id": code,
        "shortDescription": {"text": page.title},
        "fullDescription": {"text": _BREAK.sub(" ", page.text)},
        "help": {"text": page_text(page), "markdown": page.text + _examples(page)},
        "defaultConfiguration": {"level": page.level},
    }


def _examples(page: Page) -> str:
    shown = (("Bad", page.bad), ("Good", page.good))
    return "".join(f"\n\n{name}:\n\n```yaml\n{text.strip()}\n```" for name, text in shown if text)


def _invocation(unread: Sequence[tuple[str, str]]) -> Node:
    """What was not looked at is said, so that a report without results is none of a clean recipe."""
    said = [
        {"level": "error", "message": {"text": why}, "locations": [{"physicalLocation": _file(name)}]}
        for name, why in unread
    ]
    return {"executionSuccessful": not said, **({"toolExecutionNotifications": said} if said else {})}


def _result(item: Diagnostic, codes: list[str], lines: Sequence[str]) -> Node:
    text = item.message if item.hint is None else f"{item.message}\n{item.hint}"
    place: Node = {"physicalLocation": {**_file(item.file), **_region(item)}}
    if item.path:
        place["logicalLocations"] = [{"fullyQualifiedName": item.path, "kind": "property"}]
    return {
        "ruleId": item.code,
        "ruleIndex": codes.index(item.code),
        "level": item.level,
        "message": {"text": text},
        "locations": [place],
        **_fixes(item, lines),
    }


def _fixes(item: Diagnostic, lines: Sequence[str]) -> Node:
    word = meant(item, lines)
    if word is None:
        return {}
    change: Node = {"deletedRegion": _region(item)["region"], "insertedContent": {"text": word}}
    changes: list[Node] = [{**_file(item.file), "replacements": [change]}]
    return {"fixes": [{"description": {"text": f"write {word}"}, "artifactChanges": changes}]}


def _file(name: str) -> Node:
    """The file below the folder in which ftc runs; one from elsewhere by its whole address."""
    path = os.path.relpath(name)
    if path.startswith(os.pardir):
        return {"artifactLocation": {"uri": Path(os.path.abspath(name)).as_uri()}}  # noqa: PTH100 - ".." taken out, links not
    return {"artifactLocation": {"uri": quote(Path(path).as_posix()), "uriBaseId": HERE}}


def _region(item: Diagnostic) -> Node:
    span = item.span
    if span == WHOLE_FILE:
        return {}
    region = {
        "startLine": max(span.line, 1),
        "startColumn": max(span.column, 1),
        "endLine": max(span.end_line, 1),
        "endColumn": max(span.end_column, 1),
    }
    return {"region": region}
