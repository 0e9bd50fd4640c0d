"""Candidates as an editor takes them: each with the stretch that it replaces, quoted where it has to be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from lsprotocol import types as lsp

from compiler.lsp.candidates import Candidate, Sort, candidates
from compiler.lsp.cursor import Cursor, cursor_at
from compiler.lsp.document import Document, places_of
from compiler.lsp.ranges import stretch_range
from compiler.lsp.settings import Settings
from compiler.yaml_edit.spelling import spell

KINDS: Final[dict[Sort, lsp.CompletionItemKind]] = {
    "key": lsp.CompletionItemKind.Property,
    "word": lsp.CompletionItemKind.Value,
    "file": lsp.CompletionItemKind.File,
    "folder": lsp.CompletionItemKind.Folder,
    "module": lsp.CompletionItemKind.Module,
    "model": lsp.CompletionItemKind.Class,
    "gpu": lsp.CompletionItemKind.Constant,
}


def complete(document: Document, settings: Settings, position: lsp.Position) -> lsp.CompletionList:
    """What can stand at the cursor."""
    places = places_of(document)
    offset = places.of_editor(position.line, position.character)
    cursor = cursor_at(document.text, offset)
    if cursor is None or not cursor.start <= offset <= cursor.end:
        return lsp.CompletionList(is_incomplete=False, items=[])
    here, known = document.analysis(settings), document.readable(settings)
    replaced = stretch_range(places, (cursor.start, cursor.end))
    found = dict[str, lsp.CompletionItem]()
    for number, item in enumerate(candidates(cursor, known, here)):
        found.setdefault(item.text, _item(item, cursor, replaced, number))
    folders = any(item.kind is lsp.CompletionItemKind.Folder for item in found.values())
    return lsp.CompletionList(is_incomplete=folders, items=list(found.values()))


def _item(item: Candidate, cursor: Cursor, replaced: lsp.Range, number: int) -> lsp.CompletionItem:
    text = "".join(_written(item, cursor))
    return lsp.CompletionItem(
        label=item.text,
        kind=KINDS[item.kind],
        detail=item.detail or None,
        documentation=lsp.MarkupContent(lsp.MarkupKind.Markdown, item.about) if item.about else None,
        sort_text=f"{number:04}",
        filter_text=item.text,
        text_edit=lsp.TextEdit(replaced, text),
    )


def _written(item: Candidate, cursor: Cursor) -> Iterator[str]:
    if cursor.glued:
        yield " "
    if item.kind == "key" or item.snippet:
        yield item.snippet or item.text
    elif cursor.quote == '"':
        yield json.dumps(item.text, ensure_ascii=False)[1:-1]
    elif cursor.quote:
        yield item.text.replace("'", "''")
    else:
        yield item.text if item.kind == "word" and item.text in ("true", "false", "null") else _plain(item)


def _plain(item: Candidate) -> str:
    """A number of the language stays a number."""
    from compiler.yaml_reader import scalar

    number = item.kind == "word" and isinstance(scalar(item.text), int | float)
    return item.text if number else spell(item.text)
