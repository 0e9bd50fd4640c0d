"""Diagnostics for a person: the place, the line with its stretch underlined, what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compiler.report.paint import Paint, Shade, printable
from schemas.diagnostic import Diagnostic, Level, Span

WIDTH = 120
OPTIONS = ("--set", "--matrix")
"""Where a finding stands that is about an option: its line says which, and no file has it."""
SHADES: Mapping[Level, Shade] = {"error": "red", "warning": "yellow"}


def diagnostics_text(found: Sequence[Diagnostic], sources: Mapping[str, Sequence[str]], paint: Paint) -> str:
    """All findings of one recipe. `sources`: the lines of its file, and of "--set" the options."""
    return "".join(_diagnostic(item, sources.get(item.file, ()), paint) for item in found)


def _diagnostic(item: Diagnostic, lines: Sequence[str], paint: Paint) -> str:
    shade = SHADES[item.level]
    head = f"{_place(item, paint)}: {paint(item.level, shade, bold=True)} {paint(item.code, bold=True)}: "
    text = head + printable(item.message) + "\n"
    hint = printable(item.hint or "")
    if not 0 < item.span.line <= len(lines):
        return text + (f"    {hint}\n" if hint else "")
    return text + _frame(lines[item.span.line - 1], item.span, hint, paint, shade)


def _place(item: Diagnostic, paint: Paint) -> str:
    at = "" if item.file in OPTIONS else f":{item.span.line}:{item.span.column}"
    return paint(f"{printable(item.file)}{at}", bold=True)


def _frame(line: str, span: Span, hint: str, paint: Paint, shade: Shade) -> str:
    """The line and, under it, carets and the hint. Of a long line only what is around the stretch."""
    start = span.column - 1
    end = max(span.end_column - 1 if span.end_line == span.line else len(line), start + 1)
    cut = max(0, start - WIDTH // 2) if len(line) > WIDTH else 0
    shown = printable(line)[cut : cut + WIDTH].rstrip()
    carets = "^" * min(_columns(line[start:end]) or 1, WIDTH)
    number = str(span.line)
    below = f"  {' ' * len(number)} | {' ' * _columns(line[cut:start])}{paint(carets, shade)} {hint}".rstrip()
    return f"  {paint(number, 'blue')} | {shown}\n{below}\n"


def _columns(text: str) -> int:
    """How wide a terminal shows it: two columns for East Asian characters, none for combining ones."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1 for char in text)


def summary(errors: int, warnings: int, paint: Paint, unfit: int = 0) -> str:
    """One line: how much was found, and how many recipes do not fit."""
    unfitting = (
        paint(f"{unfit} does not fit" if unfit == 1 else f"{unfit} do not fit", "red", bold=True) if unfit else ""
    )
    parts = [part for part in (_count(errors, "error", paint), _count(warnings, "warning", paint), unfitting) if part]
    return (", ".join(parts) or paint("no problems found", "green")) + "\n"


def _count(number: int, level: Level, paint: Paint) -> str:
    return paint(f"{number} {level}{'s' if number > 1 else ''}", SHADES[level], bold=True) if number else ""
