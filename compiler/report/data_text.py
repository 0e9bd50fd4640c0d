"""`ftc data` for a person: what is wrong with the rows, some of them as the model sees them, and their figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from compiler.build import Compiled
from compiler.data.lengths import Bar
from compiler.data.showing import Shown, Stretch
from compiler.data.tokenizer import Tokenizer
from compiler.data.verdict import Figures, RowFinding, Verdict
from compiler.report import data_words as words
from compiler.report.excerpt import Gap, Piece, brief, excerpt
from compiler.report.paint import Paint, printable
from compiler.report.text import SHADES, diagnostics_text, summary
from schemas.plan import Plan

WIDTH: Final = 40
"""Columns of the longest bar."""
MOST: Final = 2000
"""Characters of a row that are shown."""
EIGHTHS: Final = " ▏▎▍▌▋▊▉"


def data_text(
    compiled: Compiled,
    sources: Mapping[str, Sequence[str]],
    found: tuple[Verdict, Tokenizer] | None,
    paint: Paint,
) -> str:
    """Everything, and how many errors and warnings at the end. `sources`: as of `diagnostics_text`."""
    sections = [diagnostics_text(compiled.diagnostics, sources, paint)]
    levels = [item.level for item in compiled.diagnostics]
    if compiled.plan and found:
        verdict, tokenizer = found
        levels += [item.level for item in verdict.findings]
        sections = [
            _lines(_sources(compiled.plan, verdict), paint),
            sections[0] + "".join(_finding(item, paint) for item in verdict.findings),
            "\n".join(_shown(row, paint) for row in verdict.shown),
            *_parts(compiled.plan, verdict, tokenizer, paint),
        ]
    errors = levels.count("error")
    return "\n".join(part for part in sections if part) + "\n" + summary(errors, len(levels) - errors, paint)


def _lines(pairs: Iterator[tuple[str, str]], paint: Paint) -> str:
    listed = [(name, said) for name, said in pairs if said]
    width = max((len(name) for name, _ in listed), default=0)
    return "".join(f"{paint(name.ljust(width), bold=True)}  {printable(said)}\n" for name, said in listed)


def _sources(plan: Plan, verdict: Verdict) -> Iterator[tuple[str, str]]:
    for part, path, kind, count in words.sources(plan, verdict):
        yield part, f"{path}: {count}, {kind}"
    yield "validation", words.parted(plan, verdict)


def _finding(item: RowFinding, paint: Paint) -> str:
    head = f"{paint(words.place(item), bold=True)}: {paint(item.level, SHADES[item.level], bold=True)} "
    part = " (validation)" if item.part == "validation" else ""
    more = words.others(item)
    return f"{head}{paint(item.code, bold=True)}{part}: {printable(brief(item.message))}\n" + (
        f"    {more}\n" if more else ""
    )


def _shown(row: Shown, paint: Paint) -> str:
    count = words.counted(row)
    about = f" ({row.about})" if row.about else ""
    head = paint(f"{row.part}, {row.place}{about}{', ' if count else ''}{count}", "cyan")
    problem = [paint(f"not trained on: {printable(brief(row.problem))}", "red")] if row.problem else []
    notes = [paint(f"{code}: {printable(brief(what))}", "yellow") for code, what in row.notes]
    text = "".join(_pieces(excerpt(row.stretches, MOST), paint))
    lines = (*problem, *notes, *text.split("\n"))
    return f"{head}\n" + "".join(f"  {line}\n" if line else "\n" for line in lines)


def _pieces(pieces: Sequence[Piece], paint: Paint) -> Iterator[str]:
    """Without colours what is trained stands in brackets of its own."""
    opened = cut = False
    for piece in pieces:
        if isinstance(piece, Gap):
            yield paint(f" … {piece.characters:,} characters … ", "bright_black")
            continue
        if piece.trained != opened and not paint.on:
            yield "⟦" if piece.trained else "⟧"
        if piece.cut and not cut:
            yield paint(" [cut here: max_length] ", "red")
        opened, cut = piece.trained, piece.cut
        yield _painted(piece, paint)
    if opened and not paint.on:
        yield "⟧"


def _painted(stretch: Stretch, paint: Paint) -> str:
    """Line by line, so that no colour runs into the margin."""
    shade = "green" if stretch.trained else "bright_black" if stretch.special or stretch.cut else None
    lines = stretch.text.split("\n")
    return "\n".join(paint(printable(line), shade, bold=stretch.trained) for line in lines)


def _parts(plan: Plan, verdict: Verdict, tokenizer: Tokenizer, paint: Paint) -> Iterator[str]:
    if tokenizer.tokenizer is None:
        yield paint(printable(words.no_tokens(tokenizer)), "yellow") + "\n"
    for part, figures in verdict.figures.items() if tokenizer.tokenizer else ():
        if figures.counts.read:
            yield paint(part, bold=True) + "\n" + _lines(_figures(figures, plan), paint) + _chart(figures, plan, paint)
    yield _lines(_run(plan, verdict), paint) + "".join(f"  {a} and {b}\n" for a, b in _pairs(verdict))


def _figures(figures: Figures, plan: Plan) -> Iterator[tuple[str, str]]:
    yield "tokens", words.tokens(figures)
    yield "rows", words.fate(figures, plan)
    yield "answers end with", words.ends(figures)
    yield "lengths", words.lengths(figures, plan)


def _run(plan: Plan, verdict: Verdict) -> Iterator[tuple[str, str]]:
    if verdict.epoch:
        yield "an epoch", words.epoch(verdict.epoch, plan)
        yield "steps", words.steps(verdict.epoch, plan)
    yield "near-duplicates", words.alike(verdict)


def _pairs(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    return verdict.alike[2] if verdict.alike else ()


def _chart(figures: Figures, plan: Plan, paint: Paint) -> str:
    """A bar for each stretch of lengths, named by its longest; those over the limit in red, below a line."""
    most = max((bar.rows for bar in figures.bars), default=0)
    width = len(f"{figures.bars[-1].end:,}") if figures.bars else 0
    lines: list[str] = []
    limited = False
    for (beyond, filled), group in groupby(figures.bars, key=lambda bar: (bar.over, bar.rows > 0)):
        if beyond and not limited:
            lines.append(paint(f"{'':>{width}} ┄┄┄ max_length {plan.data.max_length:,} ┄┄┄", "red"))
        limited = beyond
        found = list(group)
        gap = not filled and len(found) > 2
        lines += [f"{'⋮':>{width}}"] if gap else [_bar(bar, width, most, paint) for bar in found]
    return "".join(f"  {line}\n" for line in lines)


def _bar(bar: Bar, width: int, most: int, paint: Paint) -> str:
    eighths = max(1, round(bar.rows / most * WIDTH * 8)) if bar.rows else 0
    drawn = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
    rows = f" {paint(drawn, 'red' if bar.over else 'blue')} {bar.rows:,}" if bar.rows else ""
    return f"{bar.end:>{width},}{rows}"
