"""Diagnostics as SARIF 2.1.0 (OASIS), which code hosts and editors read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path, PurePath

from schemas.diagnostic import Diagnostic
from schemas.version import VERSION

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(found: Iterable[Diagnostic]) -> str:
    """One run with all findings."""
    items = list(found)
    driver = {"name": "ftc", "version": VERSION, "rules": [{"id": code} for code in _codes(items)]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_result(item, _codes(items)) for item in items],
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _codes(items: Iterable[Diagnostic]) -> list[str]:
    return sorted({item.code for item in items})


def _result(item: Diagnostic, codes: list[str]) -> dict[str, object]:
    text = item.message if item.hint is None else f"{item.message}\n{item.hint}"
    return {
        "ruleId": item.code,
        "ruleIndex": codes.index(item.code),
        "level": item.level,
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": _uri(item.file)}, "region": _region(item)}}],
    }


def _uri(file: str) -> str:
    path = PurePath(file)
    if path.is_absolute():
        return Path(file).as_uri()
    return _quoted(path.as_posix())


def _quoted(path: str) -> str:
    from urllib.parse import quote

    return quote(path)


def _region(item: Diagnostic) -> dict[str, int]:
    span = item.span
    return {
        "startLine": max(span.line, 1),
        "startColumn": max(span.column, 1),
        "endLine": max(span.end_line, 1),
        "endColumn": max(span.end_column, 1),
    }
