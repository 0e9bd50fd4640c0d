"""`ftc data` for a person: what is wrong with the rows, some of them as the model sees them, and their figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from compiler.build import Compiled
from compiler.data.lengths import Bar
from compiler.data.showing import Shown, Stretch
from compiler.data.tokenizer import Tokenizer
from compiler.data.verdict import Figures, RowFinding, Verdict
from compiler.report import data_words as words
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
    more = words.others(item)
    return f"{head}{paint(item.code, bold=True)}: {printable(item.message)}\n" + (f"    {more}\n" if more else "")


def _shown(row: Shown, paint: Paint) -> str:
    count = f", {row.tokens} tokens, {row.trained} trained" if row.tokens is not None else ""
    about = f" ({row.about})" if row.about else ""
    head = paint(f"{row.part}, {row.place}{about}{count}", "cyan")
    text = "".join(_stretches(row, paint))
    problem = f"  {paint(row.problem, 'red')}\n" if row.problem else ""
    return f"{head}\n{problem}" + "".join(f"  {line}\n" for line in text.split("\n"))


def _stretches(row: Shown, paint: Paint) -> Iterator[str]:
    """Without colours what is trained stands in brackets of its own."""
    left = MOST
    opened = False
    for stretch in row.stretches:
        if stretch.trained != opened and not paint.on:
            yield "⟦" if stretch.trained else "⟧"
        opened = stretch.trained
        yield _painted(stretch, stretch.text[:left], paint)
        left -= len(stretch.text)
        if left <= 0:
            yield " …"
            break
    if opened and not paint.on:
        yield "⟧"


def _painted(stretch: Stretch, text: str, paint: Paint) -> str:
    """Line by line, so that no colour runs into the margin."""
    shade = "green" if stretch.trained else "bright_black" if stretch.special else None
    return "\n".join(paint(printable(line), shade, bold=stretch.trained) for line in text.split("\n"))


def _parts(plan: Plan, verdict: Verdict, tokenizer: Tokenizer, paint: Paint) -> Iterator[str]:
    if tokenizer.tokenizer is None:
        yield words.no_tokens(tokenizer) + "\n"
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
    """A bar for each stretch of lengths; those over the limit in red, under a line of their own."""
    if not figures.bars:
        return ""
    most = max(bar.rows for bar in figures.bars)
    width = len(f"{figures.bars[-1].end:,}")
    lines: list[str] = []
    for bar in figures.bars:
        if bar.over and (not lines or not lines[-1].startswith(" " * width + " ┄")) and not _over(lines):
            lines.append(" " * width + f" ┄┄ max_length {plan.data.max_length:,} ┄┄")
        lines.append(f"{f'{bar.end:,}'.rjust(width)} {_bar(bar, most, paint)}")
    return "".join(f"  {line}\n" for line in lines)


def _over(lines: Sequence[str]) -> bool:
    return any("┄┄" in line for line in lines)


def _bar(bar: Bar, most: int, paint: Paint) -> str:
    eighths = round(bar.rows / most * WIDTH * 8)
    drawn = "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()
    drawn = drawn or ("▏" if bar.rows else "")
    return f"{paint(drawn, 'red' if bar.over else 'blue')} {bar.rows:,}".strip() if bar.rows else ""
