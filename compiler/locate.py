"""A finding about a path → a diagnostic at a line and column."""

from __future__ import annotations

from compiler.source import Place, Source
from schemas.diagnostic import Diagnostic, Finding, Span


def locate(finding: Finding, source: Source) -> Diagnostic:
    """Place a finding: at the key or value of its path, or of the nearest path above it that was written."""
    place = source.place(finding.path)
    wanted = finding.at
    path = finding.path
    while place is None and path:
        path = _parent(path)
        place, wanted = source.place(path), "key"
    file, span = _mark(place, wanted) if place else (source.file, Span(1, 1, 1, 2))
    return Diagnostic(finding.code, finding.level, finding.message, file, span, finding.path, finding.hint)


def _parent(path: str) -> str:
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def _mark(place: Place, wanted: str) -> tuple[str, Span]:
    """One line of it: of a section, its key; of a list item or the whole recipe, where it begins."""
    span = place.value
    if place.key and (wanted == "key" or span.end_line > span.line or span == _empty(span)):
        return place.file, place.key
    if span.end_line > span.line:
        span = Span(span.line, span.column, span.line, span.column + 1)
    return place.file, span


def _empty(span: Span) -> Span:
    return Span(span.line, span.column, span.line, span.column)
