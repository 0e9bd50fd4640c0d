"""Stretches of a text as an editor's ranges."""

from __future__ import annotations

from lsprotocol import types as lsp

from compiler.text_places import Places
from compiler.yaml_edit import Edit


def position_at(places: Places, offset: int) -> lsp.Position:
    """An offset as a position."""
    line, character = places.editor(offset)
    return lsp.Position(line, character)


def stretch_range(places: Places, stretch: tuple[int, int]) -> lsp.Range:
    """Two offsets as a range."""
    return lsp.Range(position_at(places, stretch[0]), position_at(places, max(stretch)))


def text_edits(places: Places, edits: tuple[Edit, ...]) -> list[lsp.TextEdit]:
    """Edits as an editor takes them."""
    return [lsp.TextEdit(stretch_range(places, (edit.start, edit.end)), edit.text) for edit in edits]
