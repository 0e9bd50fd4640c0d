"""Inlay hints: what `auto` became, how large each section's part of the memory is, rows and steps."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from lsprotocol import types as lsp

from compiler.lsp.analysis import Analysis
from compiler.lsp.document import Document, Shift, places_of
from compiler.lsp.memory_words import parts_in_words, verdict_words
from compiler.lsp.ranges import position_at, stretch_range
from compiler.lsp.row_counts import rows_of, training_rows
from compiler.lsp.settings import Settings
from compiler.overrides import path_of
from compiler.report.plan_text import setting
from compiler.shape import at
from compiler.yaml_edit.spelling import spell
from schemas.diagnostic import Path
from schemas.plan import Plan

Hint = tuple[int, str, str, "tuple[int, int, str] | None"]
"""Offset, words, tooltip, and what a click writes in the place of what."""


def inlay_hints(document: Document, settings: Settings, wanted: lsp.Range) -> list[lsp.InlayHint]:
    """Those of a range. Where the text cannot be read, the last ones stand beside what did not change."""
    analysis = document.readable(settings)
    if analysis is None:
        return []
    shift, places = Shift(analysis.text, document.text), places_of(document)
    found: list[lsp.InlayHint] = []
    for offset, words, tooltip, writes in _hints(analysis):
        moved = shift.forward(offset)
        if moved is None or not wanted.start.line <= places.editor(moved)[0] <= wanted.end.line:
            continue
        edits = _edits(document, analysis, writes)
        at_place, about = position_at(places, moved), _markdown(tooltip)
        found.append(lsp.InlayHint(at_place, words, text_edits=edits, tooltip=about, padding_left=True))
    return found


def _edits(document: Document, analysis: Analysis, writes: tuple[int, int, str] | None) -> list[lsp.TextEdit] | None:
    """What a double click writes: into the very text that was read, else nothing."""
    if writes is None or analysis.text != document.text:
        return None
    start, end, text = writes
    return [lsp.TextEdit(stretch_range(analysis.places, (start, end)), text)]


def _markdown(text: str) -> lsp.MarkupContent | None:
    return lsp.MarkupContent(lsp.MarkupKind.Markdown, text) if text else None


def _hints(analysis: Analysis) -> Iterator[Hint]:
    plan = analysis.solved
    if plan is None:
        return
    yield from _decided(analysis)
    yield from _sizes(analysis)
    yield from _counts(analysis, plan)


def _decided(analysis: Analysis) -> Iterator[Hint]:
    """Behind each `auto` that is written."""
    for name, decision in analysis.decisions.items():
        path = path_of(analysis.written(name))
        place = analysis.stretch(path) if path and at(analysis.source.data, path) == "auto" else None
        if place and analysis.text[slice(*place)].strip("'\"") == "auto":
            written = (*place, spell(decision.value))
            yield place[1], f"= {setting(name, decision.value)}", decision.because, written


def _sizes(analysis: Analysis) -> Iterator[Hint]:
    """Behind the head of each section that takes memory."""
    footprint = analysis.footprint
    if footprint is None:
        return
    for section, words, table in parts_in_words(footprint):
        end = _head_end(analysis, (section,))
        if end is not None:
            yield end, words, table, None
    end = _head_end(analysis, ("hardware",)) or _head_end(analysis, ("method",))
    if end:
        yield end, *verdict_words(footprint), None


def _head_end(analysis: Analysis, path: Path) -> int | None:
    """Behind the colon of a section whose leaves stand below, else behind its value."""
    key, value = analysis.stretch(path, key=True), analysis.stretch(path)
    if key is None or value is None:
        return None
    same = analysis.places.line_of(key[0]) == analysis.places.line_of(value[1])
    return value[1] if same and value[1] > key[1] else key[1] + 1


def _counts(analysis: Analysis, plan: Plan) -> Iterator[Hint]:
    for index, source in enumerate(plan.data.train):
        place = analysis.stretch(path_of(analysis.written(f"data.train[{index}].path")) or ())
        rows = rows_of(source)
        if place and rows is not None:
            yield place[1], f"{rows:,} rows", "", None
    batch = analysis.stretch(("training", "global_batch_size"))
    if batch:
        product = f"{plan.training.micro_batch_size} x {plan.accumulation} x {plan.devices}"
        about = f"micro_batch_size x accumulation x devices; at most {plan.tokens_per_step:,} tokens a step"
        yield batch[1], f"= {product}", about, None
    yield from _steps(analysis, plan)


def _steps(analysis: Analysis, plan: Plan) -> Iterator[Hint]:
    """Of unpacked rows, as packing needs their lengths."""
    place, epochs = analysis.stretch(("training", "epochs")), plan.training.epochs
    rows = None if plan.data.packing or epochs is None or place is None else training_rows(plan)
    if rows and place and epochs:
        steps = ceil(ceil(rows / plan.training.global_batch_size) * epochs)
        yield place[1], f"about {steps:,} steps", f"{rows:,} rows, none left out for its length", None
