"""Hovers: what a leaf became and why, what each target calls it, the memory of a section."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from lsprotocol import types as lsp

from backends.base import pattern, refused, spelled
from backends.release import release
from compiler.lsp.analysis import Analysis
from compiler.lsp.document import Document, Shift, places_of
from compiler.lsp.fix_words import fix_title
from compiler.lsp.leaf_words import leaf_page
from compiler.lsp.memory_words import SECTIONS, memory_page, parts_table
from compiler.lsp.ranges import stretch_range
from compiler.lsp.settings import Settings
from compiler.overrides import path_of
from compiler.report.matrix import Column, columns, markdown, said
from compiler.report.plan_text import setting
from compiler.shape import at
from schemas.diagnostic import Path, dotted
from schemas.plan import leaves
from schemas.support import Answer, Folded, Key, Ours


def hover(document: Document, settings: Settings, position: lsp.Position) -> lsp.Hover | None:
    """What is known of the key or value under the pointer."""
    analysis = document.readable(settings)
    if analysis is None:
        return None
    places = places_of(document)
    shift = Shift(analysis.text, document.text)
    offset = shift.back(places.of_editor(position.line, position.character))
    found = None if offset is None else _under(analysis, offset)
    if found is None:
        return None
    path, stretch = found
    parts = [part for part in _parts(analysis, path) if part]
    ends = [shift.forward(end) for end in stretch]
    if not parts or ends[0] is None or ends[1] is None:
        return None
    text = lsp.MarkupContent(lsp.MarkupKind.Markdown, "\n\n".join(parts))
    return lsp.Hover(text, stretch_range(places, (ends[0], ends[1])))


def _under(analysis: Analysis, offset: int) -> tuple[Path, tuple[int, int]] | None:
    """The smallest key or value around an offset, and its path."""
    found: list[tuple[int, str, tuple[int, int]]] = []
    for path in analysis.source.marks:
        place = analysis.source.place(path)
        for span in (place.key, place.value) if place else ():
            stretch = analysis.places.stretch(span) if span else (1, 0)
            if stretch[0] <= offset <= stretch[1] and "\n" not in analysis.text[slice(*stretch)].strip("\r\n"):
                found.append((stretch[1] - stretch[0], path, stretch))
    best = min(found, default=None, key=lambda item: (item[0], -len(item[1])))
    path = path_of(best[1]) if best else None
    return (path, best[2]) if best and path else None


def _parts(analysis: Analysis, path: Path) -> Iterator[str]:
    if analysis.settings.alone:
        yield leaf_page(analysis.source.data, path)
    name = analysis.planned(dotted(path))
    yield _resolved(analysis, name)
    if len(path) == 1:
        yield _section(analysis, str(path[0]))
    elif dotted(path) == "hardware.gpu":
        yield _memory(analysis)
    yield _called(analysis, name)


def _resolved(analysis: Analysis, name: str) -> str:
    decision = analysis.decisions.get(name)
    if decision is None:
        return ""
    return f"{name} = `{setting(name, decision.value)}`: {decision.because}"


def _section(analysis: Analysis, section: str) -> str:
    if section == "hardware":
        return _memory(analysis)
    chosen = [item for path, item in analysis.decisions.items() if path.startswith(f"{section}.")]
    rows = [[item.path, f"`{setting(item.path, item.value)}`", item.because] for item in chosen]
    parts = [markdown(["left to the compiler", "became", "because"], rows).rstrip()] if rows else []
    if analysis.footprint and section in SECTIONS:
        parts.insert(0, parts_table(analysis.footprint, SECTIONS[section]))
    return "\n\n".join(parts)


def _memory(analysis: Analysis) -> str:
    if analysis.footprint is None:
        return ""
    found = "\n".join(f"- {fix_title(fix)}" for fix in analysis.fixes)
    return memory_page(analysis.footprint) + (f"\n\nwhat helps:\n\n{found}" if found else "")


@cache
def _columns() -> tuple[Column, ...]:
    return columns()


def _called(analysis: Analysis, name: str) -> str:
    """The answer of each target's table for this leaf; of the value that stands here too, where it is refused."""
    across = _columns()
    if not across or pattern(name) not in across[0].table:
        return ""
    if all(isinstance(column.table[pattern(name)], Ours) for column in across):
        return ""
    planned = _planned(analysis, name)
    rows = [[column.title, _answer(column, pattern(name), planned, analysis)] for column in across]
    return markdown(["target", "calls it"], rows)


_UNKNOWN = object()


def _planned(analysis: Analysis, name: str) -> object:
    """The value of a leaf; of a recipe with errors only what was written."""
    path = path_of(analysis.written(name)) or ()
    said = at(analysis.source.data, path) not in (None, "auto")
    return leaves(analysis.plan).get(name, _UNKNOWN) if analysis.plan and (said or analysis.solved) else _UNKNOWN


def _answer(column: Column, leaf: str, planned: object, analysis: Analysis) -> str:
    answer = column.table[leaf]
    words = _words(answer)
    why = None if planned is _UNKNOWN else refused(answer, planned)
    asked = next((item.version for item in analysis.settings.asked if item.target == column.target), None)
    other = release(column.target, asked) if asked else None
    cannot = other is not None and planned is not _UNKNOWN and other.refuses(leaf, planned)
    if cannot and not why:
        return f"**not in {asked}**; {words}"
    return f"**refused here**: {why.why}; {words}" if why else words


def _words(answer: Answer) -> str:
    """The target's own word, and the values that it has not; why not, only where one of them stands."""
    if isinstance(answer, Key | Folded):
        key = answer.key if isinstance(answer, Key) else answer.into
        missing = ", ".join(f"`{spelled(value)}`" for value in answer.refused)
        return f"`{key}`" + (f"; not {missing}" if missing else "")
    return "ftc itself" if isinstance(answer, Ours) else said(answer)
